"""A run's log, a head that publishes it, a wire that loses, doubles and reorders, and a subscriber behind it.

The oracle: whatever the wire does, what was delivered is the beginning of the log; once the wire is good and the log
sealed, it is all of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from maze_protocol.events import SEALING_NAMES
from maze_protocol.subscriber import (
    Deliver,
    Diverged,
    Ended,
    Published,
    Rejoin,
    Replay,
    Replayed,
    Subscriber,
    Ticked,
    Tipped,
    Welcomed,
)

CLUSTER = b"c" * 16
PAGE = 3


class Event(NamedTuple):
    """An event of the log."""

    seq: int
    epoch: int
    type: str = "start_task"


class EventWorld:
    """One run from submission to seal. Every action may come at any time."""

    def __init__(self, after: int = 0) -> None:
        self.now = 100.0
        self.epoch = 1
        self.log: list[Event] = []
        self.lost: list[list[Event]] = []
        """What the log was before each power cut."""
        self.after = after
        self.delivered: list[Event] = []
        self.wire: list[Any] = []
        self.questions: list[Replay] = []
        self.ends: list[Ended | Diverged] = []
        self.rejoins = 0
        self.subscriber: Subscriber[Event] = Subscriber(self.now, after)

    @property
    def sealed(self) -> bool:
        return bool(self.log) and self.log[-1].type in SEALING_NAMES

    def commit(self, count: int) -> None:
        """Add events to the log and publish them."""
        if not self.sealed:
            self._append([Event(len(self.log) + number, self.epoch) for number in range(1, count + 1)])

    def seal(self) -> None:
        """End the run."""
        if not self.sealed:
            self._append([Event(len(self.log) + 1, self.epoch, SEALING_NAMES[0])])

    def tip(self) -> None:
        """Tell where the log ends."""
        self.wire.append(Tipped(self.epoch, len(self.log), self.sealed))

    def join(self) -> None:
        """Let the subscription arrive at the head."""
        self.wire.append(Welcomed(self.epoch, CLUSTER))

    def restart(self) -> None:
        """Begin another life of the head, on the same log."""
        self.epoch += 1
        self.join()

    def power_cut(self, lost: int) -> None:
        """Lose the end of the log, and begin another life of the head."""
        self.lost.append(list(self.log))
        del self.log[max(1, len(self.log) - lost) :]
        self.restart()

    def deliver(self, index: int) -> None:
        """Let one message arrive, maybe before older ones."""
        if self.wire:
            self._feed(self.wire.pop(index % len(self.wire)))

    def drop(self, index: int) -> None:
        """Lose one message."""
        if self.wire:
            self.wire.pop(index % len(self.wire))

    def double(self, index: int) -> None:
        """Let one message arrive, and once more later."""
        if self.wire:
            self._feed(self.wire[index % len(self.wire)])

    def answer(self, index: int) -> None:
        """Answer one question, one page at most."""
        if self.questions:
            asked = self.questions.pop(index % len(self.questions))
            events = self.log[asked.after : asked.after + PAGE]
            end = asked.after + len(events) >= len(self.log)
            self._feed(Replayed(asked.question, events, self.sealed and end))

    def lose_question(self) -> None:
        """Let a question go unanswered."""
        if self.questions:
            self.questions.pop()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self._feed(Ticked())

    def settle(self) -> None:
        """Let the wire be good for as long as it takes."""
        self.wire.clear()
        for _ in range(40 + 2 * len(self.log)):
            self.tip()
            while self.wire:
                self.deliver(0)
            while self.questions:
                self.answer(0)
            self.wait(1.0)

    def check(self) -> None:
        """Compare what was delivered with the log, as it is or as it was before a power cut; never a mixture."""
        until = self.after + len(self.delivered)
        assert any(self.delivered == log[self.after : until] for log in [self.log, *self.lost])
        assert len(self.ends) <= 1

    def check_converged(self) -> None:
        """Everything was delivered, and the end was told."""
        assert self.delivered == self.log[self.after :]
        assert self.ends == ([Ended()] if self.sealed else [])

    def _append(self, events: list[Event]) -> None:
        self.log += events
        self.wire.append(Published(events))

    def _feed(self, feed: Any) -> None:
        over = self.subscriber.over
        for output in self.subscriber.handle(feed, self.now):
            assert not over, f"{output} after the end"
            match output:
                case Deliver(events):
                    assert events
                    self.delivered += events
                case Replay():
                    self.questions.append(output)
                case Rejoin():
                    self.rejoins += 1
                    self.join()
                case _:
                    self.ends.append(output)
