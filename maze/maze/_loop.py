"""One event loop on a daemon thread per process, on which all I/O of the SDK happens.

Both clients use it: `call` waits for a coroutine from ordinary code, `bridge` from anybody's event loop (Jupyter's
included), so nothing depends on which loop the caller runs, and Ctrl-C interrupts any wait. A daemon thread never holds
the process up.

A fork inherits no threads: the child forgets the loop and starts its own when needed. The loop polls with `poll`,
whose state is private: with `epoll` the child's garbage collector could unregister the parent's sockets.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["bridge", "call", "stop_loop", "submit"]

Result = TypeVar("Result")


class _LoopThread:
    """An event loop that runs on a thread of its own."""

    def __init__(self) -> None:
        # Windows has no poll, and no fork either.
        poll = getattr(selectors, "PollSelector", selectors.SelectSelector)
        self.loop = asyncio.SelectorEventLoop(poll())
        self.thread = threading.Thread(target=self._run, name="maze-sdk", daemon=True)
        self.thread.start()

    def stop(self, seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        self.thread.join(seconds)
        if not self.thread.is_alive():
            self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def _end(self) -> None:
        """Cancel what an interrupted caller left behind: a pending task would complain when the loop is freed."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        # In a callback of its own: this task shall be over, too, when the loop stops.
        self.loop.call_soon(self.loop.stop)


_lock = threading.Lock()
_running: _LoopThread | None = None
_inherited: list[_LoopThread | None] = []
"""Loops of parent processes: kept, so that no destructor touches what the parent uses."""


def submit(work: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Run a coroutine on the loop thread."""
    try:
        return asyncio.run_coroutine_threadsafe(work, _loop())
    except BaseException:
        # Interrupted before the loop had it, nobody would ever await it. If the loop runs it by now: ValueError.
        with suppress(ValueError):
            work.close()
        raise


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _lock:
        if _running is None:
            _running = _LoopThread()
        return _running.loop


def call(work: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
    """Run a coroutine on the loop thread and wait for it; an interrupted wait cancels it."""
    future = submit(work)
    try:
        return future.result(timeout)
    except BaseException:
        future.cancel()
        raise


async def bridge(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on the loop thread and await it from another loop; cancelling one cancels the other."""
    return await asyncio.wrap_future(submit(work))


def stop_loop(seconds: float) -> None:
    """End the loop, waiting at most so long; for the end of the process."""
    global _running
    with _lock:
        stopping, _running = _running, None
    if stopping is not None:
        stopping.stop(seconds)


def _after_fork() -> None:
    global _lock, _running
    _lock = threading.Lock()
    _inherited.append(_running)
    _running = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
