"""The events of a run from the process's one event socket (_event_socket.py).

It asks for what comes after the last event it has seen, and drops what it has seen already, so it survives a lost
connection, being cut off for slowness (4408), and a restarted head. Resuming begins with the last event itself: if
another one stands there, a power cut took the end of the log, and the reader is told instead of misled.

A reader that does not take what was read ahead leaves the socket, where others wait for theirs, and joins again when
it does.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from maze._feed import GATHER_SECONDS, EventFeed
from maze._inline import is_complete
from maze.errors import HeadUnavailableError, RequestError
from maze_protocol.events import SEALING_NAMES

if TYPE_CHECKING:
    from maze._event_socket import EventSocket
    from maze._events import Event
    from maze_protocol.streams import End

__all__ = ["EventStream"]

Blow = Callable[[list["Event"] | None], None]
"""Takes all events of a run, or None: they have to be waited for one after the other."""


class EventStream(EventFeed):
    """The events of one run after a number, each once, in order. Runs on the loop thread."""

    def __init__(
        self,
        url: str,
        run_id: str,
        after: int = 0,
        *,
        patient: bool = False,
        wanted: Container[str] | None = None,
    ) -> None:
        super().__init__(url, run_id, after, patient=patient)
        self.wanted = wanted
        """Types of events, of which one is the last of a log; others may be left out. None: all."""
        self.leases = wanted is None or "task_leased" in wanted
        """Whether the head shall send those, too."""
        self.pause = GATHER_SECONDS if patient else 0.0
        """Seconds that the head may hold events for more of them."""
        self._epoch = 0
        """The epoch that committed the last event that was read; 0 if none was."""
        self._socket: EventSocket | None = None
        """Where it is read, unless there is enough to read."""
        self._asked: Blow | None = None

    @property
    def position(self) -> int:
        """Return behind which event to go on: the one before the last that was read."""
        return self._after - bool(self._epoch)

    def at_one_blow(self, give: Blow) -> None:
        """Begin to read, and give all events in the call that brings them, if they come together and are complete.

        Short runs are told so, and many calls come late for them. Else it gives None, and `next` has the events.
        """
        self._begun, self._asked = True, give
        self._join()

    def give_up(self, give: Blow) -> None:
        """Give nothing: who asked waits no more."""
        self._asked = None

    def take(self, events: Sequence[Event]) -> bool:
        """Take events from the socket; return False if no more shall come for now."""
        more = self._take(events)
        if self._asked is not None:
            self._answer()
        return more

    def _take(self, events: Sequence[Event]) -> bool:
        new = events
        if events[0].seq <= self._after:
            new = [event for event in events if event.seq > self._after]
            if self._rewrote(events):
                return False
        if new:
            self._epoch = new[-1].epoch
            self._put(new, last=new[-1].type in SEALING_NAMES)
        if self.sealed:
            self._finish()
        elif self._full:
            self._socket = None
            return False
        return True

    def end(self, end: End) -> None:
        """Take the end of the subscription."""
        self._socket = None
        if end.status in {404, 410}:
            self._finish(self._removed())
        elif end.status >= 300:
            message = f"run {self.run_id} cannot be read: {end.message}"
            self._finish(RequestError(message, status=end.status, code=end.code, hint=end.hint))
        else:
            self.sealed = True
            self._finish()

    def lost(self, final: HeadUnavailableError, error: Exception) -> bool:
        """Note that the head does not answer; return False if that has been so for too long."""
        try:
            self._lost(final, error)
        except HeadUnavailableError as given_up:
            self.fail(given_up)
            return False
        return True

    def found(self) -> None:
        """Note that the head answers."""
        self._lost_at = None

    def fail(self, error: Exception) -> None:
        """Give up."""
        self._socket = None
        self._finish(error)

    def _rewrote(self, events: Sequence[Event]) -> bool:
        """Tell whether another event stands where the last one was."""
        for event in events:
            if event.seq == self._after and self._epoch not in (0, event.epoch):
                self.fail(self._rewritten(f"another event {event.seq} stands there"))
                return True
        return False

    def _finish(self, failure: BaseException | None = None) -> None:
        super()._finish(failure)
        if self._asked is not None:
            self._answer()

    def _answer(self) -> None:
        """Tell who asked for all at one blow."""
        asked, self._asked = self._asked, None
        assert asked is not None, "both callers have looked"
        events: list[Event] | None = None
        if self._done and self._failure is None and is_complete(self._events):
            events, self._events = self._events, []
        asked(events)

    def _join(self) -> None:
        from maze._http import connection

        self._socket = connection(self.url).events
        self._socket.join(self)

    async def _begin(self) -> None:
        self._join()

    async def _made_room(self) -> None:
        if self._socket is None:
            await self._begin()

    async def _leave(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.leave(self)
