"""Events of one run on their way from the loop thread to a reader: what every transport has in common.

A feed reads ahead, and a busy one is handed over at most a hundred times a second: waking another thread costs more
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
    from collections.abc import Sequence

    from maze._events import Event

__all__ = ["GATHER_SECONDS", "READ_AHEAD", "RECONNECT_SECONDS", "EventFeed"]

RECONNECT_SECONDS: Final = 60.0
READ_AHEAD: Final = 10_000
GATHER_SECONDS: Final = 0.01


class EventFeed:
    """The events of one run after a number, each once, in order. Runs on the loop thread; subclasses read.

    `patient`: even the first events wait for more, GATHER_SECONDS; a run that is over by then is told at one blow.
    """

    def __init__(self, url: str, run_id: str, after: int = 0, *, patient: bool = False) -> None:
        self.url = url
        self.run_id = run_id
        self.sealed = False
        self._after = after
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._returned_at = time.monotonic() if patient else 0.0
        self._begun = False
        self._done = False
        """Nothing more will come."""
        self._failure: BaseException | None = None
        self._lost_at: float | None = None

    async def next(self, seconds: float | None = None) -> list[Event] | None:
        """Return the next events, at least one; an empty list after `seconds`; None once all were returned.

        Raises:
            HeadUnavailableError: the head went away and did not come back for a minute.
            UnknownRunError: the run has been removed.
            EventsLostError: the head lost events that were returned already.
        """
        if not self._begun:
            self._begun = True
            await self._begin()
        elif not self._events and not self._done:
            await self._made_room()
        await _wait(self._news, seconds)
        if self._events:
            if not self._over.is_set():
                await _wait(self._over, self._returned_at + GATHER_SECONDS - time.monotonic())
            # An interrupted wait loses nothing: what is filled in stays with the events, and they stay here until then.
            count = await fill_in(self.url, self.run_id, self._events)
            self._returned_at = time.monotonic()
            events, self._events = self._events[:count], self._events[count:]
            if not self._events and not self._done:
                self._news.clear()
            return events
        if not self._done:
            return []
        if self._failure is not None:
            raise self._failure
        return None

    @property
    def over(self) -> bool:
        """Tell whether all was returned and nothing is left to tell. Any thread may ask."""
        return self._done and self._failure is None and not self._events

    async def close(self) -> None:
        """Leave; the run does not care."""
        if self._begun and not self._done:
            self._finish(asyncio.CancelledError())
            await self._leave()

    async def _begin(self) -> None:
        """Begin to read: call `_put` with what is new, and `_finish` at the end."""
        raise NotImplementedError

    async def _leave(self) -> None:
        """Stop reading."""
        raise NotImplementedError

    async def _made_room(self) -> None:
        """Go on reading, if that had stopped because nobody took what was read."""
        raise NotImplementedError

    @property
    def _full(self) -> bool:
        """Tell whether the reader has enough to read."""
        return len(self._events) >= READ_AHEAD

    def _put(self, new: Sequence[Event], *, last: bool) -> None:
        """Take events for the reader; with the last ones nobody waits for more."""
        self._after = new[-1].seq
        self._events += new
        self._news.set()
        if last:
            self.sealed = True
            self._over.set()

    def _finish(self, failure: BaseException | None = None) -> None:
        """Note that nothing more will come, and why."""
        if not self._done:
            self._done, self._failure = True, failure
            self._news.set()

    def _lost(self, final: HeadUnavailableError, error: Exception) -> None:
        """Note that the head does not answer.

        Raises:
            HeadUnavailableError: `final`: it has not for a minute.
        """
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
    if event.is_set() or (seconds is not None and seconds <= 0):
        return
    if seconds is None:
        await event.wait()
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
