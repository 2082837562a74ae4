"""Turns on a real event loop: when they are taken, and of what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from maze_node.core.events import Event, StopAsked
from maze_node.turns import Turns


class Taken:
    """Turns that are only written down, with what the callbacks of the loop do."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.turns = Turns(self.loop, self._take)
        self.log: list[Any] = []
        self.then: list[str] = []
        """Posted in the midst of the next turn."""

    def post(self, *names: str) -> None:
        for name in names:
            self.turns.post(StopAsked(name))

    def _take(self, events: list[Event]) -> None:
        self.log.append([event.reason for event in events if isinstance(event, StopAsked)])
        then, self.then = self.then, []
        self.post(*then)


def turns(test: Callable[[Taken], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def run() -> None:
        await test(Taken())

    @wraps(test)
    def call() -> None:
        asyncio.run(run())

    del call.__wrapped__  # type: ignore[attr-defined]  # else pytest looks for a fixture
    return call


@turns
async def test_what_is_posted_by_the_way_is_one_turn_in_the_next_iteration(taken: Taken) -> None:
    taken.post("a", "b")
    assert taken.log == []
    await asyncio.sleep(0)
    assert taken.log == [["a", "b"]]
    await asyncio.sleep(0)
    assert len(taken.log) == 1


@turns
async def test_a_wrapped_callback_ends_in_its_turn(taken: Taken) -> None:
    taken.turns.ending(taken.post)("a", "b")
    assert taken.log == [["a", "b"]]
    await asyncio.sleep(0)
    assert len(taken.log) == 1


@turns
async def test_a_wrapped_callback_without_events_takes_no_turn(taken: Taken) -> None:
    taken.turns.ending(taken.log.append)("nothing")
    await asyncio.sleep(0)
    assert taken.log == ["nothing"]


@turns
async def test_what_was_posted_before_a_wrapped_callback_is_taken_with_it_and_in_order(taken: Taken) -> None:
    taken.post("before")
    taken.turns.ending(taken.post)("in")
    assert taken.log == [["before", "in"]]
    await asyncio.sleep(0)
    assert len(taken.log) == 1, "the turn that was due has nothing to take"
    taken.post("after")
    await asyncio.sleep(0)
    assert taken.log[1:] == [["after"]]


@turns
async def test_what_a_turn_posts_is_taken_in_the_next_iteration(taken: Taken) -> None:
    taken.then = ["second"]
    taken.turns.ending(taken.post)("first")
    assert taken.log == [["first"]], "one turn per iteration: others may have something to say, too"
    await asyncio.sleep(0)
    assert taken.log == [["first"], ["second"]]


@turns
async def test_events_of_a_callback_that_fails_are_not_lost(taken: Taken) -> None:
    def fail() -> None:
        taken.post("a")
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        taken.turns.ending(fail)()
    taken.post("b")
    await asyncio.sleep(0)
    assert taken.log == [["a", "b"]]


@turns
async def test_a_descriptor_that_is_readable_costs_one_iteration(taken: Taken) -> None:
    readable, writable = os.pipe()
    taken.loop.add_reader(readable, taken.turns.ending(lambda: taken.post(os.read(readable, 1).decode())))
    try:
        os.write(writable, b"x")
        # The first iteration finds it readable, and puts its callback behind this task; the second runs it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert taken.log == [["x"]]
    finally:
        taken.loop.remove_reader(readable)
        os.close(readable)
        os.close(writable)


@turns
async def test_steps_of_one_moment_are_one_turn(taken: Taken) -> None:
    soon = taken.loop.time() + 0.001
    for when, name in ((soon, "a"), (soon + 0.001, "c"), (soon, "b")):
        taken.turns.at(when, lambda name=name: taken.post(name))
    while sum(map(len, taken.log)) < 3:
        await asyncio.sleep(0)
    assert taken.log == [["a", "b"], ["c"]]
    taken.turns.at(soon, lambda: taken.post("late"))
    while len(taken.log) < 3:
        await asyncio.sleep(0)
    assert taken.log[2] == ["late"]
