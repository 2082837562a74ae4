"""What one turn of the driver writes: the unit of commit. Data only; the driver builds it, the journal stores it.

`ordered` rows (cluster events, graphs, segments) get (commit_no, pos) and are read back in exactly that order; the
rest is looked up by key. Segments stand behind the other rows of their batch, for a run needs its graph when it is
read back; among themselves they stand in the order of their runs' first events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from maze_head.core.effects import (
    Accept,
    Append,
    AppendCluster,
    CopyAccepted,
    DropGraph,
    DropRuns,
    DropWorkflow,
    SaveCode,
    SaveGraph,
    SaveLog,
    SaveSealed,
)
from maze_protocol.events import RunEvent, Segment

__all__ = ["Batch", "Drop", "Durable", "RunSegment"]

Drop = DropRuns | DropGraph | DropWorkflow
Durable = Append | Accept | CopyAccepted | SaveGraph | SaveCode | SaveLog | SaveSealed | AppendCluster | Drop


ACCEPT_BYTES: Final = 64
EVENT_BYTES: Final = 128


@dataclass(slots=True)
class RunSegment:
    """A segment and the run it belongs to; grows until the batch is closed."""

    run_no: int
    first_seq: int
    events: list[RunEvent]

    def freeze(self, epoch: int, time: float) -> Segment:
        """Return the segment as it is committed."""
        return Segment(epoch, time, self.first_seq, tuple(self.events))


@dataclass(slots=True)
class Batch:
    """The durable effects of one turn."""

    epoch: int
    time: float
    facts: list[SaveGraph | AppendCluster] = field(default_factory=list)
    accepted: list[Accept] = field(default_factory=list)
    copies: list[CopyAccepted] = field(default_factory=list)
    codes: list[SaveCode] = field(default_factory=list)
    logs: list[SaveLog] = field(default_factory=list)
    sealed: list[SaveSealed] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    runs: dict[int, RunSegment] = field(default_factory=dict)
    weight: int = 0
    """About how many bytes it adds to the journal."""

    def __bool__(self) -> bool:
        rows = (self.facts, self.runs, self.accepted, self.copies, self.codes, self.logs, self.sealed, self.drops)
        return any(rows)

    @property
    def ordered(self) -> list[SaveGraph | AppendCluster | RunSegment]:
        """Return the rows of the order of recovery."""
        return [*self.facts, *self.runs.values()]

    def add(self, effect: Durable) -> None:
        """Take in one durable effect.

        Raises:
            AssertionError: events of a run that do not follow on each other.
        """
        match effect:  # the most frequent first: the cases are tried in order
            case Accept():
                self.accepted.append(effect)
                self.weight += ACCEPT_BYTES + effect.size
            case Append():
                self._append(effect)
                self.weight += EVENT_BYTES * len(effect.events)
            case CopyAccepted():
                self.copies.append(effect)
            case AppendCluster():
                self.facts.append(effect)
            case SaveGraph():
                self.facts.append(effect)
                self.weight += len(effect.body)
            case SaveCode():
                self.codes.append(effect)
                self.weight += len(effect.body)
            case SaveLog():
                self.logs.append(effect)
                self.weight += len(effect.stdout) + len(effect.stderr)
            case SaveSealed():
                self.sealed.append(effect)
            case DropRuns() | DropGraph() | DropWorkflow():
                self.drops.append(effect)

    def _append(self, effect: Append) -> None:
        segment = self.runs.get(effect.run_no)
        if segment is None:
            segment = RunSegment(effect.run_no, effect.first_seq, [])
            self.runs[effect.run_no] = segment
        expected = segment.first_seq + len(segment.events)
        assert effect.first_seq == expected, f"run {effect.run_no}: event {effect.first_seq} after {expected - 1}"
        segment.events.extend(effect.events)

    def segments(self) -> list[tuple[int, Segment]]:
        """Return (run_no, segment) for every run that this batch adds to."""
        return [(run_no, segment.freeze(self.epoch, self.time)) for run_no, segment in self.runs.items()]
