"""What the core is told. Past tense for what happened; commands are named as what somebody asked for.

A command carries a `ticket`, and the core answers it with exactly one `Reply` effect of that ticket.
`Instant` is the only source of time: `mono` for every decision, `wall` only to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from maze_protocol.events import OutputMeta, RunSubmitted
from maze_protocol.http import EditRequest, LimitRequest, ProjectRequest, RunRequest, WorkflowRequest
from maze_protocol.messages import Hello, Message

__all__ = [
    "CancelRun", "Command", "CreateWorkflow", "DescribeNodes", "DescribeRun", "DescribeWorkflow", "EditWorkflow",
    "Event", "Instant", "LinkLost", "ListRuns", "ListWorkflows", "LocateLog", "LocateObject", "NodeGreeted",
    "NodeSaid", "SubmitRun", "Ticked", "CountersAsked", "ExplainTask", "DiskTurned", "RetryRun", "RemoveRun",
    "RemoveWorkflow", "JournalSized", "DemandAsked", "ExplainRun", "ListLimits", "ObjectKept", "ObjectUnkept",
    "RemoveLimit", "RemoveProject", "SetLimit", "SetProject", "FindObject", "ListUploads",
]  # fmt: skip


class Instant(NamedTuple):
    """One reading of the clocks, taken once per turn by the driver."""

    mono: float
    wall: float


@dataclass(frozen=True, slots=True)
class NodeGreeted:
    """A HELLO came on a link (one TCP connection); answered by Welcome or Refuse."""

    link: bytes
    hello: Hello
    payloads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSaid:
    """A message came within a live session, once and in order."""

    link: bytes
    message: Message
    payloads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkLost:
    """A link is unusable: unroutable, or its session ended. The node may come back."""

    link: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed; sent about every quarter of a second and never late on purpose.

    `stall` is how long the head itself was not running since the last tick beyond its interval: silence of
    nodes during it is the head's own fault and extends every deadline.
    """

    stall: float = 0.0


@dataclass(frozen=True, slots=True)
class DiskTurned:
    """The disk became full, so that nothing new may be promised, or has room again."""

    full: bool


@dataclass(frozen=True, slots=True)
class JournalSized:
    """So many bytes of the journal are in use, and nothing that was removed is still among them."""

    used: int


@dataclass(frozen=True, slots=True)
class ObjectKept:
    """An object is in the blob directory, durably as far as the durability level promises."""

    run_no: int
    task_no: int
    output: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class ObjectUnkept:
    """An object could be had from none of its holders."""

    run_no: int
    task_no: int
    output: int
    reason: str


@dataclass(frozen=True, slots=True)
class CreateWorkflow:
    """Make an empty workflow; idempotent by id. Reply: WorkflowSummary."""

    ticket: int
    workflow_id: bytes
    request: WorkflowRequest


@dataclass(frozen=True, slots=True)
class EditWorkflow:
    """Apply operations all or none. Reply: EditResponse."""

    ticket: int
    workflow_id: bytes
    request: EditRequest


@dataclass(frozen=True, slots=True)
class SubmitRun:
    """Run a snapshot; idempotent by run id. Reply: RunBody."""

    ticket: int
    run_id: bytes
    request: RunRequest


@dataclass(frozen=True, slots=True)
class RetryRun:
    """Run the graph of an earlier run again; idempotent by run id. Reply: RunBody.

    The core keeps neither graphs nor outputs of runs that are over, so whoever asks brings what the journal has:
    how the earlier run was submitted, the `graph` as it was saved, and the outputs of the tasks whose results are
    reused, in the order in which those came to be. `last_seq` is how far the earlier log was read.
    """

    ticket: int
    run_id: bytes
    earlier: RunSubmitted
    last_seq: int
    graph: bytes
    reused: tuple[tuple[int, tuple[OutputMeta, ...]], ...] = ()
    from_failed: bool = False


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Stop a run; idempotent. Reply: RunBody."""

    ticket: int
    run_id: bytes
    reason: str = "cancelled by the user"


@dataclass(frozen=True, slots=True)
class RemoveRun:
    """Remove all that is kept of a run that is over. Reply: RunBody, as it was."""

    ticket: int
    run_id: bytes


@dataclass(frozen=True, slots=True)
class RemoveWorkflow:
    """Remove a workflow and all its runs, which must be over. Reply: WorkflowSummary, as it was."""

    ticket: int
    workflow_id: bytes


@dataclass(frozen=True, slots=True)
class DescribeWorkflow:
    """Reply: WorkflowBody of the current revision."""

    ticket: int
    workflow_id: bytes


@dataclass(frozen=True, slots=True)
class ListWorkflows:
    """Reply: WorkflowList."""

    ticket: int


@dataclass(frozen=True, slots=True)
class DescribeRun:
    """Reply: RunBody."""

    ticket: int
    run_id: bytes


@dataclass(frozen=True, slots=True)
class ListRuns:
    """Reply: RunList, newest first, starting before run number `before` (0 = from the newest)."""

    ticket: int
    limit: int = 50
    before: int = 0
    workflow_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class DescribeNodes:
    """Reply: NodeList."""

    ticket: int


@dataclass(frozen=True, slots=True)
class LocateLog:
    """Where is the captured output of an attempt? Reply: effects.LogPlace.

    `attempt` 0 means the latest. The driver then pulls from `link` or reads the kept tail.
    """

    ticket: int
    run_id: bytes
    task_id: bytes
    attempt: int = 0
    task_no: int = -1
    """The task's number in the run's graph, if the asker knows it: the core forgets the graphs of sealed runs."""


@dataclass(frozen=True, slots=True)
class LocateObject:
    """Where are the bytes of an output that is an object? Reply: effects.ObjectPlace."""

    ticket: int
    run_id: bytes
    task_no: int
    output: int


@dataclass(frozen=True, slots=True)
class FindObject:
    """Which output is this object, that a node asks the head for? Reply: effects.ObjectPlace, or None: not known."""

    ticket: int
    lease: int
    output: int


@dataclass(frozen=True, slots=True)
class ListUploads:
    """Which uploads are inputs of workflows? Reply: frozenset of content hashes."""

    ticket: int


@dataclass(frozen=True, slots=True)
class CountersAsked:
    """Reply: dict[str, int | float] of the core's counters and gauges."""

    ticket: int


@dataclass(frozen=True, slots=True)
class ExplainTask:
    """Why has a task of a live run not started? Reply: explain.Explanation."""

    ticket: int
    run_id: bytes
    task_id: bytes


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Set or change a named limit. Reply: LimitBody."""

    ticket: int
    name: str
    request: LimitRequest


@dataclass(frozen=True, slots=True)
class RemoveLimit:
    """Let a name hold nobody back any more. Reply: LimitBody, as it was."""

    ticket: int
    name: str


@dataclass(frozen=True, slots=True)
class SetProject:
    """Set or change the weight and the cap of a project. Reply: ProjectBody."""

    ticket: int
    name: str
    request: ProjectRequest


@dataclass(frozen=True, slots=True)
class RemoveProject:
    """Let a project be like any other again. Reply: ProjectBody, as it was."""

    ticket: int
    name: str


@dataclass(frozen=True, slots=True)
class ListLimits:
    """Reply: LimitList."""

    ticket: int


@dataclass(frozen=True, slots=True)
class ExplainRun:
    """Why have tasks of a run not started? Reply: RunExplanation."""

    ticket: int
    run_id: bytes


@dataclass(frozen=True, slots=True)
class DemandAsked:
    """What waits for nodes, over all runs? Reply: Demand."""

    ticket: int


Command = (
    CreateWorkflow | EditWorkflow | SubmitRun | RetryRun | CancelRun | RemoveRun | RemoveWorkflow | DescribeWorkflow
    | ListWorkflows | DescribeRun | ListRuns | DescribeNodes | LocateLog | LocateObject | FindObject | CountersAsked
    | ListUploads | ExplainTask | ExplainRun
    | DemandAsked | SetLimit | RemoveLimit | SetProject | RemoveProject | ListLimits
)  # fmt: skip
Event = NodeGreeted | NodeSaid | LinkLost | Ticked | DiskTurned | JournalSized | ObjectKept | ObjectUnkept | Command
