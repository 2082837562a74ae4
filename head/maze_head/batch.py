"""What one turn of the driver writes: the unit of commit. Data only; the driver builds it, the journal stores it.

`ordered` rows (cluster events, graphs, segments) get (commit_no, pos) and are read back in exactly that order; the
rest is looked up by key. Segments stand behind the other rows of their batch, for a run needs its graph when it is
read back; among themselves they stand in the order of their runs' first events.
"""

from __future__ import annotations

from dataclasses import dataclass
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


class Batch:
    """The durable effects of one turn."""

    __slots__ = (
        "accepted", "codes", "copies", "drops", "epoch", "facts", "logs", "runs", "sealed", "time", "weight",
    )  # fmt: skip

    def __init__(self, epoch: int, time: float) -> None:
        self.epoch = epoch
        self.time = time
        self.facts: list[SaveGraph | AppendCluster] = []
        self.accepted: list[Accept] = []
        self.copies: list[CopyAccepted] = []
        self.codes: list[SaveCode] = []
        self.logs: list[SaveLog] = []
        self.sealed: list[SaveSealed] = []
        self.drops: list[Drop] = []
        self.runs: dict[int, RunSegment] = {}
        self.weight = 0
        """About how many bytes it adds to the journal."""

    def __bool__(self) -> bool:
        return bool(
            self.runs or self.facts or self.accepted or self.copies or self.codes or self.logs or self.sealed
            or self.drops
        )  # fmt: skip

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
            self.runs[effect.run_no] = RunSegment(effect.run_no, effect.first_seq, list(effect.events))
            return
        expected = segment.first_seq + len(segment.events)
        assert effect.first_seq == expected, f"run {effect.run_no}: event {effect.first_seq} after {expected - 1}"
        segment.events.extend(effect.events)

    def segments(self) -> list[tuple[int, Segment]]:
        """Return (run_no, segment) for every run that this batch adds to."""
        return [(run_no, segment.freeze(self.epoch, self.time)) for run_no, segment in self.runs.items()]
