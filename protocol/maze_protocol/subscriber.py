"""The reader of one run's publications, as a machine: what it is fed may be lost, doubled or late; what it delivers is
the log, each event once and in order, until the log is sealed.

Rules
* The position is the number of the last delivered event. Only the next number is ever delivered: a gap is waited out
  and asked for, a number that was delivered is dropped.
* Publications are hints; the log is the truth. It is asked (`Replay`) on joining, on a gap, when a tip tells of more,
  and after silence. At most one question is open; only the answer to the newest one counts.
* A new epoch of the head may have lost the end of the log to a power cut. Every event carries the epoch that committed
  it, so the event at the position is read again: if another one stands there, what was delivered is no longer true,
  and the reader is told (`Diverged`) instead of being given a log that never was.
* Feeds of an earlier epoch are ignored. Nothing follows on `Ended` or `Diverged`.

`now` is a reading of one monotonic clock in seconds; feed `Ticked` about every second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from maze_protocol.events import SEALING_NAMES

__all__ = [
    "Deliver", "Diverged", "Ended", "Feed", "Numbered", "Output", "Published", "Rejoin", "Replay", "Replayed",
    "Subscriber", "Ticked", "Tipped", "Welcomed",
]  # fmt: skip

SILENCE: Final = 3.0
"""Tips come every second: after so long without a word the log is asked, and again each time so long passes."""
REJOIN_AFTER: Final = 10.0
ANSWER_AFTER: Final = 10.0
"""After so long a question counts as lost and is asked again."""
HELD_EVENTS: Final = 10_000
"""Most events beyond a gap that are kept; those above it come with the replay."""


class Numbered(Protocol):
    """What the machine knows of an event."""

    @property
    def seq(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def type(self) -> str: ...


E = TypeVar("E", bound=Numbered)


class Welcomed(NamedTuple):
    """Somebody's subscription of this topic arrived at a head; from here on we are published to."""

    epoch: int
    cluster_id: bytes


class Published(NamedTuple, Generic[E]):
    """Events of one publication: at least one, numbered without gaps, of one epoch."""

    events: Sequence[E]


class Tipped(NamedTuple):
    """The head told the number of its newest committed event."""

    epoch: int
    last_seq: int
    sealed: bool


class Replayed(NamedTuple, Generic[E]):
    """The answer to the question of that number: events after the asked one, gapless, maybe not all at once.

    `sealed` tells that no event will ever come after these.
    """

    question: int
    events: Sequence[E]
    sealed: bool


class Ticked(NamedTuple):
    """Time passed."""


class Deliver(NamedTuple, Generic[E]):
    """Hand these to the reader."""

    events: list[E]


class Replay(NamedTuple):
    """Read the log after an event number, and feed the answer under the number of the question."""

    question: int
    after: int


class Rejoin(NamedTuple):
    """Nothing was heard for long: look where the head publishes now, and subscribe anew."""


class Ended(NamedTuple):
    """The log is sealed and all of it was delivered."""


class Diverged(NamedTuple):
    """The log is not the one that was delivered, or not of this cluster; `reason` says how."""

    reason: str


Feed = Welcomed | Published[E] | Tipped | Replayed[E] | Ticked
Output = Deliver[E] | Replay | Rejoin | Ended | Diverged


class Subscriber(Generic[E]):
    """Reads one run from behind event number `after`."""

    def __init__(self, now: float, after: int = 0) -> None:
        self.seq = after
        """The number of the last delivered event."""
        self.over = False
        self._outputs: list[Output[E]] = []
        self._fresh: list[E] = []
        self._held: dict[int, E] = {}
        self._heard_of = 0
        """The highest number that anybody told of in this epoch."""
        self._cluster_id: bytes | None = None
        self._epoch = 0
        self._last_epoch = 0
        """The epoch that committed the event at the position; 0: not known."""
        self._joined = False
        self._checking = False
        """Whether nothing may be delivered before the event at the position was read again."""
        self._to_the_end = False
        """Whether replays go on until one brings nothing: how much there is, nobody told."""
        self._question = 0
        self._open = False
        self._asked_at = self._heard_at = self._rejoined_at = now

    def handle(self, feed: Feed[E], now: float) -> list[Output[E]]:
        """Take one feed; return what is to be done, in this order."""
        if self.over:
            return []
        _HANDLERS[type(feed)](self, feed, now)
        if self._fresh:
            self._outputs.insert(0, Deliver(self._fresh))
            self._fresh = []
        outputs, self._outputs = self._outputs, []
        return outputs

    def _welcomed(self, feed: Welcomed, now: float) -> None:
        if self._cluster_id not in (None, feed.cluster_id):
            self._end(Diverged("another cluster answers"))
            return
        self._cluster_id = feed.cluster_id
        if self._current(feed.epoch, now) and not self._joined:
            self._joined = True
            self._ask_to_the_end(now)

    def _published(self, feed: Published[E], now: float) -> None:
        if not self._current(feed.events[0].epoch, now):
            return
        self._heard_of = max(self._heard_of, feed.events[-1].seq)
        for event in feed.events:
            self._take(event)
        self._drain()
        if self._heard_of > self.seq:
            self._ask(now)

    def _tipped(self, feed: Tipped, now: float) -> None:
        if not self._current(feed.epoch, now):
            return
        self._heard_of = max(self._heard_of, feed.last_seq)
        if self._heard_of > self.seq:
            self._ask(now)
        elif feed.sealed and not self._checking:
            self._end(Ended())

    def _replayed(self, feed: Replayed[E], now: float) -> None:
        if not self._open or feed.question != self._question:
            return
        self._open = False
        if self._checking and not self._confirmed(feed):
            return
        for event in feed.events:
            self._take(event)
        self._drain()
        if feed.sealed:
            self._end(Ended())
        elif self._heard_of > self.seq or (self._to_the_end and feed.events):
            self._ask(now)
        else:
            self._to_the_end = False

    def _ticked(self, feed: Ticked, now: float) -> None:
        if self._open and now - self._asked_at >= ANSWER_AFTER:
            self._open = False
            self._ask(now)
        elif now - max(self._heard_at, self._asked_at) >= SILENCE:
            self._ask_to_the_end(now)
        if now - max(self._heard_at, self._rejoined_at) >= REJOIN_AFTER:
            self._rejoined_at = now
            self._joined = False
            self._outputs.append(Rejoin())

    def _current(self, epoch: int, now: float) -> bool:
        """Tell whether a feed is of the newest epoch; one that is newer makes everything heard before void."""
        if epoch < self._epoch:
            return False
        self._heard_at = now
        if epoch > self._epoch:
            self._epoch, self._heard_of, self._open, self._joined = epoch, 0, False, False
            self._held.clear()
            # Of a position that the reader brought along nobody knows the epoch, so it cannot be confirmed.
            self._checking = self._last_epoch not in (0, epoch)
            if self._checking:
                self._ask_to_the_end(now)
        return True

    def _confirmed(self, feed: Replayed[E]) -> bool:
        """Compare the event at the position with the one that was delivered."""
        if feed.events and feed.events[0].epoch == self._last_epoch:
            self._checking = False
            return True
        what = "another event stands there" if feed.events else "the log ends before it"
        self._end(Diverged(f"the head lost what it had told of: event {self.seq} was delivered, and now {what}"))
        return False

    def _take(self, event: E) -> None:
        if event.seq == self.seq + 1 and not self._checking:
            self._deliver(event)
        elif event.seq > self.seq and len(self._held) < HELD_EVENTS:
            self._held[event.seq] = event

    def _drain(self) -> None:
        while self._held and not self._checking and (event := self._held.get(self.seq + 1)) is not None:
            self._deliver(event)

    def _deliver(self, event: E) -> None:
        self._held.pop(event.seq, None)
        self._fresh.append(event)
        self.seq, self._last_epoch = event.seq, event.epoch
        if event.type in SEALING_NAMES:
            self._end(Ended())

    def _ask_to_the_end(self, now: float) -> None:
        self._to_the_end = True
        self._ask(now)

    def _ask(self, now: float) -> None:
        if self._open or self.over:
            return
        self._open, self._asked_at = True, now
        self._question += 1
        self._outputs.append(Replay(self._question, self.seq - self._checking))

    def _end(self, last: Ended | Diverged) -> None:
        if not self.over:
            self.over = True
            self._outputs = [last]
            self._held.clear()


_HANDLERS: Final[dict[type, Callable[[Subscriber[Any], Any, float], None]]] = {
    Welcomed: Subscriber._welcomed,
    Published: Subscriber._published,
    Tipped: Subscriber._tipped,
    Replayed: Subscriber._replayed,
    Ticked: Subscriber._ticked,
}
