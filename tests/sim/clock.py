"""Virtual time: one heap of calls, and the processes that make them.

A call belongs to a process. Calls of a dead process are dropped; those of a paused one wait for it, as after SIGSTOP,
and are made late when it goes on. `ProcessLoop` is as much of an asyncio loop as the head's shells need, so that the
real driver, dispatcher and hub run on the virtual clock. Nothing here is random; equal times go in order of entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any

_set_running_loop = asyncio._set_running_loop


class Entry:
    """A call that is due at some time; what `call_at` returns."""

    __slots__ = ("args", "call", "process", "urgent")

    def __init__(
        self, process: Process | None, call: Callable[..., Any], args: tuple[Any, ...], urgent: bool = False
    ) -> None:
        self.process = process
        self.call: Callable[..., Any] | None = call
        self.args = args
        self.urgent = urgent

    def cancel(self) -> None:
        """Take it back."""
        self.call = None

    def cancelled(self) -> bool:
        """Tell whether it was taken back."""
        return self.call is None


class Clock:
    """The only source of time and order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.processes: list[Process] = []
        self._heap: list[tuple[float, int, Entry]] = []
        self._entries = 0
        self._current: Process | None = None

    def at(self, when: float, process: Process | None, call: Callable[..., Any], *args: Any) -> Entry:
        """Make a call at some time, on behalf of a process or of the world (None)."""
        return self.enter(when, Entry(process, call, args))

    def later(self, delay: float, process: Process | None, call: Callable[..., Any], *args: Any) -> Entry:
        """Make a call after some time."""
        return self.enter(self.now + delay, Entry(process, call, args))

    def enter(self, when: float, entry: Entry) -> Entry:
        """Put an entry into the heap."""
        self._entries += 1
        heappush(self._heap, (when if when > self.now else self.now, self._entries, entry))
        return entry

    def run(self, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Make calls up to that time, or until `done`, which is asked after each; tell whether it was."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, _, entry = heappop(heap)
            self._make(when, entry)
            if done is not None and done():
                return True
        self.now = until
        self.become(None)
        return False

    def become(self, process: Process | None) -> None:
        """Let that process be the one that runs."""
        self._current = process
        _set_running_loop(None if process is None else process.loop)

    def close(self) -> None:
        """End the world: what its processes were waiting for never comes."""
        self.become(None)
        for process in self.processes:
            process.loop.close()

    def _make(self, when: float, entry: Entry) -> None:
        call, process = entry.call, entry.process
        if call is None:
            return
        if process is not None:
            if not process.alive:
                return
            if process.paused:
                process.backlog.append(entry)
                return
            if process is not self._current:
                self.become(process)
        self.now = when
        self.steps += 1
        call(*entry.args)


class Process:
    """Something that can be killed, stopped and continued: a head or a node's agent."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.alive = True
        self.paused = False
        self.backlog: list[Entry] = []
        self.loop = ProcessLoop(self)
        clock.processes.append(self)

    def kill(self) -> None:
        """End it at once: nothing of it happens any more."""
        self.alive = False
        self.backlog.clear()

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self, *, network_first: bool = True) -> None:
        """SIGCONT: everything that came due in the meantime happens now, late."""
        self.paused = False
        backlog, self.backlog = self.backlog, []
        if network_first:
            backlog.sort(key=lambda entry: not entry.urgent)
        for entry in backlog:
            self.clock.enter(self.clock.now, entry)


class ProcessLoop:
    """The part of asyncio's loop that the head's shells use, in virtual time."""

    READ_SECONDS = 0.002
    """How long a read of the journal off the loop takes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._clock = process.clock
        self._tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        """Return virtual seconds."""
        return self._clock.now

    def call_soon(self, call: Callable[..., Any], *args: Any, context: Any = None) -> Entry:
        """Make a call in this instant, after those that are due already."""
        clock = self._clock
        return clock.enter(clock.now, Entry(self._process, call, args))

    call_soon_threadsafe = call_soon

    def call_at(self, when: float, call: Callable[..., Any], *args: Any, context: Any = None) -> Entry:
        """Make a call at some time."""
        return self._clock.at(when, self._process, call, *args)

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any, context: Any = None) -> Entry:
        """Make a call after some time."""
        return self._clock.later(delay, self._process, call, *args)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def create_task(self, coroutine: Coroutine[Any, Any, Any], **_: Any) -> asyncio.Task[Any]:
        """Run a coroutine on this loop."""
        task = asyncio.Task(coroutine, loop=self)  # type: ignore[arg-type, var-annotated]
        self._tasks.append(task)
        return task

    def close(self) -> None:
        """Let go of coroutines that will never go on."""
        for task in self._tasks:
            if not task.done():
                task.get_coro().close()  # type: ignore[union-attr]

    def run_in_executor(self, pool: Any, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Make a blocking call a moment later; there are no threads here."""
        future = self.create_future()
        self._clock.later(self.READ_SECONDS, self._process, self._finish, future, call)
        return future

    @staticmethod
    def _finish(future: asyncio.Future[Any], call: Callable[[], Any]) -> None:
        if future.done():
            return
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    def get_debug(self) -> bool:
        """Return that this is no debugging loop."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Ignore what dead processes leave behind; living ones report their failures themselves."""
