"""Readers of every run: the protocol's own subscriber, fed by a head's publications over a line that loses them.

Publications and tips may be lost; questions are answered from the head's journal if there is a head. What a reader is
given must be the log as committed, each event once and in order; at the end it must have been given all of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from maze_protocol.events import TYPE_NAMES, Segment
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
from sim.disk import CLUSTER_ID

TICK = 1.0
PAGE = 8
"""Segments in one answer."""


class Told(NamedTuple):
    """An event as readers get it."""

    seq: int
    epoch: int
    type: str
    event: Any


def told(segment: Segment) -> list[Told]:
    """Return the events of a segment with their numbers."""
    numbered = enumerate(segment.events, segment.first_seq)
    return [Told(seq, segment.epoch, TYPE_NAMES[type(event)], event) for seq, event in numbered]


class Reader:
    """One subscriber per run."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._subscribers: dict[int, Subscriber[Told]] = {}
        self._logs: dict[int, list[Told]] = {}

    def push(self, run_no: int, segment: Segment) -> None:
        """A head publishes a segment; the first one makes somebody curious."""
        if run_no not in self._subscribers:
            self._subscribe(run_no)
        self._feed(run_no, Published(told(segment)))

    def head_began(self, epoch: int) -> None:
        """Another head publishes now: subscriptions arrive there."""
        for run_no in self._subscribers:
            self._feed(run_no, Welcomed(epoch, CLUSTER_ID))

    def forget(self) -> None:
        """Begin anew: the log that was told has been lost with the power."""
        self._subscribers.clear()
        self._logs.clear()

    def behind(self, history: Any) -> list[str]:
        """Tell which readers have not been given everything."""
        for run_no, run in history.runs.items():
            if run.sealed is not None and run_no not in self._subscribers:
                self._subscribe(run_no)
        return [f"a reader of run {no} is behind" for no, each in self._subscribers.items() if not each.over]

    def judge(self, history: Any) -> None:
        """Compare what readers were given with what is committed."""
        for run_no, log in self._logs.items():
            theirs = [each for segment in history.runs[run_no].segments for each in told(segment)]
            assert log == theirs, f"I9: a reader of run {run_no} was given another log than is committed"

    def _subscribe(self, run_no: int) -> None:
        self._subscribers[run_no] = Subscriber(self._world.clock.now)
        self._logs[run_no] = []
        self._feed(run_no, Welcomed(self._world.watch.epochs[-1], CLUSTER_ID))
        self._world.clock.later(TICK, None, self._tick, run_no, self._subscribers[run_no])

    def _feed(self, run_no: int, feed: Any) -> None:
        """Let something come to a reader, or get lost."""
        world = self._world
        if world.calm or world.random.random() >= world.knobs.unheard:
            world.clock.later(0.001, None, self._take, run_no, self._subscribers[run_no], feed)

    def _take(self, run_no: int, subscriber: Subscriber[Told], feed: Any) -> None:
        if self._subscribers.get(run_no) is not subscriber:
            return
        for output in subscriber.handle(feed, self._world.clock.now):
            match output:
                case Deliver(events):
                    self._deliver(run_no, events)
                case Replay(question, after):
                    self._world.clock.later(0.01, None, self._answer, run_no, question, after)
                case Rejoin():
                    self._feed(run_no, Welcomed(self._world.watch.epochs[-1], CLUSTER_ID))
                case Diverged(reason):
                    assert self._world.amnesia, f"I9: a reader of run {run_no} is told that {reason}"
                case Ended():
                    pass

    def _deliver(self, run_no: int, events: list[Told]) -> None:
        log = self._logs[run_no]
        for event in events:
            assert event.seq == len(log) + 1, f"I9: a reader of run {run_no} gets {event.seq} after {len(log)}"
            log.append(event)

    def _answer(self, run_no: int, question: int, after: int) -> None:
        head = self._world.head
        if head is None or not head.process.alive or head.process.paused or run_no not in self._subscribers:
            return
        tip = self._tip(head, run_no)
        events = [each for segment in head.journal.segments(run_no, after, PAGE) for each in told(segment)]
        newer = [each for each in events if each.seq > after]
        self._feed(run_no, Replayed(question, newer, not newer and tip.sealed))

    def _tick(self, run_no: int, subscriber: Subscriber[Told]) -> None:
        if subscriber.over or self._subscribers.get(run_no) is not subscriber:
            return
        self._take(run_no, subscriber, Ticked())
        head = self._world.head
        if head is not None and head.process.alive and not head.process.paused:
            self._feed(run_no, self._tip(head, run_no))
        self._world.clock.later(TICK, None, self._tick, run_no, subscriber)

    def _tip(self, head: Any, run_no: int) -> Tipped:
        run = self._world.watch.history.runs.get(run_no)
        known = None if run is None else head.hub.tip(run.submitted.run_id)
        return Tipped(head.journal.epoch, *(known or (0, False)))
