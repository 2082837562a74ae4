"""The loop thread: waits that end early, other loops, forks."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Coroutine

import pytest

from maze._loop import _LoopThread, bridge, call


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
    hand_over = asyncio.run_coroutine_threadsafe

    async def work() -> None:
        await asyncio.sleep(0)

    def interrupted(coroutine: Coroutine[object, object, None], loop: asyncio.AbstractEventLoop) -> None:
        if had:
            hand_over(coroutine, loop)
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    coroutine = work()
    with pytest.raises(KeyboardInterrupt):
        call(coroutine)
    monkeypatch.undo()
    call(work())  # what the loop had before is over
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
