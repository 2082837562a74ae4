"""One event loop on a daemon thread per process, on which all I/O of the SDK happens.

Both clients use it: `call` waits for a coroutine from ordinary code, `bridge` from anybody's event loop (Jupyter's
included), so nothing depends on which loop the caller runs, and Ctrl-C interrupts any wait. A daemon thread never holds
the process up.

A fork inherits no threads: the child forgets the loop and starts its own when needed. The loop polls with `poll`,
whose state is private: with `epoll` the child's garbage collector could unregister the parent's sockets.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

__all__ = ["ask", "bridge", "call", "stop_loop", "submit"]

Result = TypeVar("Result")
Settle = Callable[[Result], None]
"""Takes a result, once."""


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


class _Wait(Generic[Result]):
    """What one thread waits for that another one will know. A lock is all that takes."""

    __slots__ = ("_error", "_over", "_result")

    def __init__(self) -> None:
        self._over = threading.Lock()
        self._over.acquire()
        self._error: BaseException | None = None
        self._result: Result

    def settle(self, result: Result) -> None:
        """Let the other thread go on with a result."""
        self._result = result
        self._over.release()

    def fail(self, error: BaseException) -> None:
        """Let the other thread go on with an error."""
        self._error = error
        self._over.release()

    def wait(self, timeout: float | None = None) -> Result:
        """Return the result.

        Raises:
            TimeoutError: there is none after so many seconds.
        """
        if not self._over.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise TimeoutError
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # it refers to this frame, which refers to us
        return self._result


class _Call(_Wait[Result]):
    """A coroutine on the loop thread, and the thread that waits for it."""

    __slots__ = ("_task", "_work")

    def __init__(self, work: Coroutine[Any, Any, Result]) -> None:
        super().__init__()
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start to work; on the loop thread."""
        self._task = asyncio.ensure_future(self._do())

    def give_up(self) -> None:
        """Stop working; on the loop thread."""
        if self._task is not None:
            self._task.cancel()
        if inspect.getcoroutinestate(self._work) == inspect.CORO_CREATED:
            self._work.close()  # nobody would ever await it

    async def _do(self) -> None:
        try:
            result = await self._work
        except asyncio.CancelledError:
            self.fail(CancelledError())
            raise
        except BaseException as error:  # noqa: BLE001 -- task entry point: whatever it is goes to who waits
            self.fail(error)
        else:
            self.settle(result)


def call(work: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
    """Run a coroutine on the loop thread and wait for it; an interrupted wait cancels it."""
    called, loop = _Call(work), _loop()
    try:
        loop.call_soon_threadsafe(called.begin)
        return called.wait(timeout)
    except BaseException:
        # Behind `begin`, if the loop has that: who is interrupted between two lines does not know.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(called.give_up)
        raise


def ask(start: Callable[[Settle[Result]], None], give_up: Callable[[Settle[Result]], None]) -> Result:
    """Call a function on the loop thread, which sees to it that what it is given is called once, and wait for that.

    For what needs no coroutine. An interrupted wait has `give_up` called there, with the same.
    """
    waiting: _Wait[Result] = _Wait()
    loop, settle = _loop(), waiting.settle
    try:
        loop.call_soon_threadsafe(start, settle)
        return waiting.wait()
    except BaseException:
        loop.call_soon_threadsafe(give_up, settle)
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
