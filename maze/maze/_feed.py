"""Events of one run on their way from the loop thread to a reader: what every transport has in common.

A task reads ahead, and a busy feed is handed over at most a hundred times a second: waking another thread costs more
than decoding an event. The last events are never held back. What an event means is not known here, save which ones
end a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from maze._inline import fill_in
from maze.errors import EventsLostError, HeadUnavailableError, UnknownRunError

if TYPE_CHECKING:
    from maze_protocol.http import ClientEvent

__all__ = ["GATHER_SECONDS", "READ_AHEAD", "RECONNECT_SECONDS", "EventFeed"]

RECONNECT_SECONDS: Final = 60.0
READ_AHEAD: Final = 10_000
GATHER_SECONDS: Final = 0.01


class EventFeed:
    """The events of one run after a number, each once, in order. Runs on the loop thread; subclasses read."""

    def __init__(self, url: str, run_id: str, after: int = 0) -> None:
        self.url = url
        self.run_id = run_id
        self.sealed = False
        self._after = after
        self._events: list[ClientEvent] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._returned_at = 0.0
        self._reader: asyncio.Task[None] | None = None
        self._lost_at: float | None = None

    async def next(self, seconds: float | None = None) -> list[ClientEvent] | None:
        """Return the next events, at least one; an empty list after `seconds`; None once all were returned.

        Raises:
            HeadUnavailableError: the head went away and did not come back for a minute.
            UnknownRunError: the run has been removed.
            EventsLostError: the head lost events that were returned already.
        """
        if self._reader is None:
            self._reader = asyncio.ensure_future(self._read_all())
        await _wait(self._news, seconds)
        if self._events:
            await _wait(self._over, self._returned_at + GATHER_SECONDS - time.monotonic())
            # An interrupted wait loses nothing: what is filled in stays with the events, and they stay here until then.
            count = await fill_in(self.url, self.run_id, self._events)
            self._returned_at = time.monotonic()
            events, self._events = self._events[:count], self._events[count:]
            self._room.set()
            if not self._events and not self._reader.done():
                self._news.clear()
            return events
        if not self._reader.done():
            return []
        self._reader.result()
        return None

    async def close(self) -> None:
        """Leave; the run does not care."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            # A reader that was cancelled before its first step could not tell a `next` that an interrupt left waiting.
            self._news.set()

    async def _read_all(self) -> None:
        try:
            await self._read()
        finally:
            self._news.set()

    async def _read(self) -> None:
        """Read to the end of the log, calling `_put` with what is new."""
        raise NotImplementedError

    def _put(self, new: list[ClientEvent], *, last: bool) -> None:
        """Take events for the reader; with the last ones nobody waits for more."""
        self._after = new[-1].seq
        self._events += new
        self._news.set()
        if last:
            self.sealed = True
            self._over.set()

    async def _make_room(self) -> None:
        """Wait while the reader has enough to read."""
        if len(self._events) >= READ_AHEAD:
            self._room.clear()
            await self._room.wait()

    def _lost(self, final: HeadUnavailableError, error: Exception) -> None:
        """Note that the head does not answer; give up after a minute of that."""
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if now - self._lost_at > RECONNECT_SECONDS:
            raise final from error

    def _removed(self) -> UnknownRunError:
        return UnknownRunError(f"no run {self.run_id!r} any more", code="run_not_found", run_id=self.run_id)

    def _rewritten(self, reason: str) -> EventsLostError:
        return EventsLostError(
            f"the log of run {self.run_id} is not the one that was read: {reason}",
            code="events_lost",
            hint="read it again from its beginning",
            run_id=self.run_id,
        )


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
