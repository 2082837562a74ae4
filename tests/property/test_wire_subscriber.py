"""A subscriber over a wire that loses, doubles and reorders: its view is the log, or it says that it cannot be.

The oracle is the log itself (support/event_wire.py). That it bites is tested too: each mutant is a check removed from
the machine, and a schedule that catches it must be found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from maze_protocol import subscriber as subscriber_module
from maze_protocol.subscriber import Diverged, Ended, Replayed, Subscriber
from support.event_wire import Event, EventWorld

INDEX = st.integers(0, 30)
STEP = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 5)),
    st.tuples(st.sampled_from(["deliver", "drop", "double", "answer"]), INDEX),
    st.tuples(st.sampled_from(["deliver", "answer"]), st.just(0)),
    st.sampled_from([("tip",), ("join",), ("restart",), ("lose_question",), ("seal",)]),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 3.5, 11.0])),
)
SCHEDULES = st.lists(STEP, max_size=60)
CUTS = st.lists(STEP | st.tuples(st.just("power_cut"), st.integers(1, 8)), max_size=60)


def play(schedule: list[tuple[Any, ...]], after: int = 0) -> EventWorld:
    """Run a schedule on a log of a few events, then seal it and let the wire be good."""
    world = EventWorld(after)
    world.commit(max(1, after))
    for action, *arguments in [("join",), *schedule]:
        getattr(world, action)(*arguments)
        world.check()
    world.seal()
    world.settle()
    return world


@given(SCHEDULES, st.integers(0, 5))
def test_the_view_is_the_log_whatever_the_wire_does(schedule: list[tuple[Any, ...]], after: int) -> None:
    play(schedule, after).check_converged()


@given(CUTS)
def test_a_log_that_lost_its_end_is_never_mixed_with_the_one_that_was_delivered(
    schedule: list[tuple[Any, ...]],
) -> None:
    world = play(schedule)
    assert len(world.ends) == 1
    if isinstance(world.ends[0], Ended):
        world.check_converged()
    else:
        # Told rightly: what was delivered last is not in the log any more.
        assert world.delivered[-1] not in world.log


@given(SCHEDULES)
def test_nothing_is_asked_twice_at_a_time(schedule: list[tuple[Any, ...]]) -> None:
    world = EventWorld()
    for action, *arguments in schedule:
        before = len(world.questions)
        getattr(world, action)(*arguments)
        assert len(world.questions) <= before + 1


def _take_gaps(self: Subscriber[Event], event: Event) -> None:
    if event.seq > self.seq:
        self._deliver(event)


def _take_doubles(self: Subscriber[Event], event: Event) -> None:
    if event.seq <= self.seq + 1:
        self._deliver(event)


def _never_ask(self: Subscriber[Event], now: float) -> None:
    """Hope for the wire."""


def _no_check(self: Subscriber[Event], feed: Replayed[Event]) -> bool:
    self._checking = False
    return True


def _no_epochs(self: Subscriber[Event], epoch: int, now: float) -> bool:
    self._heard_at = now
    return True


def _end_at_once(self: Subscriber[Event], feed: Any, now: float) -> None:
    if feed.sealed:
        self._end(Ended())


MUTANTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "gaps": ("_take", _take_gaps),
    "doubles": ("_take", _take_doubles),
    "no replay": ("_ask", _never_ask),
    "no confirmation": ("_confirmed", _no_check),
    "no epochs": ("_current", _no_epochs),
    "end at a tip": ("_tipped", _end_at_once),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, mutant = MUTANTS[name]
    original = getattr(Subscriber, method)
    monkeypatch.setattr(Subscriber, method, mutant)
    for kind, handler in subscriber_module._HANDLERS.items():
        if handler is original:
            monkeypatch.setitem(subscriber_module._HANDLERS, kind, mutant)

    @settings(phases=[Phase.generate], max_examples=2_000, database=None, derandomize=True, report_multiple_bugs=False)
    @given(CUTS)
    def search(schedule: list[tuple[Any, ...]]) -> None:
        world = play(schedule)
        if not any(isinstance(end, Diverged) for end in world.ends):
            world.check_converged()

    with pytest.raises(AssertionError):
        search()
