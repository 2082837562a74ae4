"""The loop thread: waits that end early, other loops, forks."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from maze import _loop
from maze._loop import _LoopThread, ask, bridge, call


async def slow(started: threading.Event, stopped: threading.Event) -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        stopped.set()


def test_an_interrupted_wait_cancels_its_work() -> None:
    started, stopped = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        call(slow(started, stopped), 0.05)
    assert stopped.wait(5)


def test_a_cancelled_await_cancels_its_work() -> None:
    started, stopped = threading.Event(), threading.Event()

    async def user() -> None:
        waiting = asyncio.ensure_future(bridge(slow(started, stopped)))
        await asyncio.to_thread(started.wait)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(user())
    assert stopped.wait(5)


def test_blocking_calls_work_inside_a_running_loop() -> None:
    async def cell() -> str:
        return call(answer())

    async def answer() -> str:
        return "yes"

    assert asyncio.run(cell()) == "yes"


def test_the_end_of_the_loop_cancels_what_nobody_waits_for_any_more() -> None:
    started, stopped = threading.Event(), threading.Event()
    # A loop of the test's own: connections of other tests live on the process's.
    mine = _LoopThread()
    abandoned = asyncio.run_coroutine_threadsafe(slow(started, stopped), mine.loop)
    assert started.wait(5)
    mine.stop(5)
    assert stopped.is_set()
    assert abandoned.cancelled()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_a_loop_of_its_own() -> None:
    async def one() -> int:
        return os.getpid()

    assert call(one()) == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if call(one(), 10) == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert call(one()) == os.getpid()


@pytest.mark.parametrize("had", [False, True])
def test_an_interrupt_while_work_is_handed_over_leaves_no_coroutine_behind(
    had: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    loop = _loop._loop()
    interrupted(loop, monkeypatch, had=had)
    coroutine = work()
    with pytest.raises(KeyboardInterrupt):
        call(coroutine)
    call(work())  # what the loop had before is over
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def interrupted(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, *, had: bool) -> None:
    """Let the next one that hands something over to a loop be interrupted, before or after that has it."""
    hand_over = loop.call_soon_threadsafe

    def interrupt(*given: Any) -> None:
        monkeypatch.undo()
        if had:
            hand_over(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupt)


def test_an_error_of_the_work_is_raised_where_it_is_waited_for() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("no")

    async def be_cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(LookupError, match="no"):
        call(fail())
    with pytest.raises(CancelledError):
        call(be_cancelled())


def test_work_that_was_given_up_before_it_began_is_closed() -> None:
    async def work() -> None:
        raise AssertionError("nobody waits for it")

    async def both() -> _loop._Call[None]:
        called = _loop._Call(coroutine)
        called.begin()
        called.give_up()
        return called

    coroutine = work()
    call(both())
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_what_needs_no_coroutine_is_asked_for() -> None:
    gone: list[object] = []

    def answer(settle: Callable[[str], None]) -> None:
        asyncio.get_running_loop().call_later(0.001, settle, threading.current_thread().name)

    assert ask(answer, gone.append) == "maze-sdk"
    assert gone == []


@pytest.mark.parametrize("had", [False, True])
def test_who_was_asked_is_told_that_nobody_waits(had: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    gone: list[object] = []
    interrupted(_loop._loop(), monkeypatch, had=had)
    with pytest.raises(KeyboardInterrupt):
        ask(asked.append, gone.append)
    call(asyncio.sleep(0))
    assert len(gone) == 1
    assert asked in ([], gone)
