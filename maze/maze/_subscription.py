"""What `subscribe` returns: the events of a run as an iterator, for code that waits and for code that awaits.

An event is handed over once the loop thread has put it aside, so an interrupted wait (Ctrl-C, a cancelled task) loses
nothing: the next one gets the same events. Values are decoded in the reader's thread.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from maze._loop import bridge, call, submit
from maze.errors import InputError

if TYPE_CHECKING:
    from maze._events import Event
    from maze._feed import EventFeed

__all__ = ["AsyncSubscription", "Subscription", "Transport"]

Transport = Literal["websocket", "zmq"]
_TRANSPORTS: Final = ("websocket", "zmq")


class _Source:
    """The loop thread's side: events that the reader has not confirmed yet, then those of the feed."""

    def __init__(self, feed: EventFeed, check: Callable[[], Awaitable[object]] | None) -> None:
        self._feed = feed
        self._check = check
        self._ready: list[Event] | None = []

    async def next(self, seen: int) -> list[Event] | None:
        """Return events; those of the last call again unless `seen` tells that they arrived."""
        if self._check is not None:
            await self._check()
            self._check = None
        if self._ready == [] or (self._ready is not None and self._ready[-1].seq <= seen):
            self._ready = []
            self._ready = await self._feed.next()
        return self._ready

    async def close(self) -> None:
        await self._feed.close()


class _Subscription:
    """What both kinds have in common."""

    def __init__(
        self,
        url: str,
        run_id: str,
        after: int,
        transport: str,
        check: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        from maze._results import allows_pickle

        self.run_id = run_id
        self.seq = after
        """The number of the last event that was returned; `subscribe(run_id, after=seq)` goes on behind it."""
        self._allow_pickle = allows_pickle()
        self._batch: deque[Event] = deque()
        self._closed = False
        self._source = _Source(_feed(url, run_id, after, transport), check)
        # A reader that is dropped without `close` must not be read for until the process ends.
        self._leave = weakref.finalize(self, _leave, self._source)
        self._leave.atexit = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.run_id!r}, seq={self.seq}{', closed' if self._closed else ''})"

    def _accept(self, events: list[Event] | None) -> bool:
        """Take over a batch; return False at the end."""
        if events is None:
            self._end()
            return False
        self._batch.extend(events)
        return True

    def _end(self) -> None:
        self._closed = True
        self._leave.detach()

    def _pop(self) -> dict[str, Any]:
        from maze._results import decode_values

        event = self._batch.popleft()
        self.seq = event.seq
        data = event.whole()
        if "result" in data and event.type in ("finish_task", "task_reused"):
            result = data["result"] if event.result is None else event.result
            data["result"] = decode_values(result, allow_pickle=self._allow_pickle)
        return {"seq": event.seq, "epoch": event.epoch, "time": event.time, "type": event.type, "data": data}


class Subscription(_Subscription):
    """The events of a run, as an iterator; made by `MaClient.subscribe`. Also a context manager, which closes it.

    It ends with the run. It survives lost connections and restarts of the head; Ctrl-C interrupts a wait, and the
    iteration can be continued.

    Attributes:
        run_id: the run.
        seq: the number of the last event that was returned; `subscribe(run_id, after=seq)` goes on behind it.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any]:
        while not self._batch:
            if self._closed or not self._accept(call(self._source.next(self.seq))):
                raise StopIteration
        return self._pop()

    def close(self) -> None:
        """Stop reading; the run goes on. Harmless when repeated."""
        if not self._closed:
            self._end()
            call(self._source.close())
        self._batch.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncSubscription(_Subscription):
    """The events of a run, as an async iterator; made by `AsyncMaClient.subscribe`. See `Subscription`."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._batch:
            if self._closed or not self._accept(await bridge(self._source.next(self.seq))):
                raise StopAsyncIteration
        return self._pop()

    async def close(self) -> None:
        """Stop reading; the run goes on. Harmless when repeated."""
        if not self._closed:
            self._end()
            await bridge(self._source.close())
        self._batch.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _feed(url: str, run_id: str, after: Any, transport: str) -> EventFeed:
    if transport not in _TRANSPORTS:
        raise InputError(f"Unknown transport {transport!r}; there are {', '.join(_TRANSPORTS)}", code="bad_transport")
    if isinstance(after, bool) or not isinstance(after, int) or after < 0:
        raise InputError(f"after must be the number of an event, 0 or more, not {after!r}", code="bad_position")
    if transport == "zmq":
        from maze._published import PublishedFeed

        return PublishedFeed(url, run_id, after)
    from maze._stream import EventStream

    return EventStream(url, run_id, after)


def _leave(source: _Source) -> None:
    submit(source.close())
