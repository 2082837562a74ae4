"""What the core orders. Imperative. The driver obeys in order, after the commit of the batch that made them.

Durable effects (Append, Accept, CopyAccepted, SaveGraph, SaveCode, SaveLog, SaveSealed, AppendCluster, DropRuns,
DropGraph, DropWorkflow) form the batch's journal rows; every other effect waits for that commit, except those with
`free=True`, which carry liveness or facts already committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from maze_protocol.events import RunEvent
from maze_protocol.messages import Assignment, Disconnect, Message, Reject, RetryAfter, Welcome
from maze_protocol.values import OutputValue, Value

__all__ = [
    "Accept", "Admit", "Append", "AppendCluster", "AssignTask", "CopyAccepted", "Drop", "DropGraph", "DropRuns",
    "DropWorkflow", "Effect", "LogPlace", "Refuse", "Reply", "SaveCode", "SaveGraph", "SaveLog", "SaveSealed", "Send",
    "SendCode", "Source",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Append:
    """Add events to a run's log; the driver makes one segment per run and commit of them."""

    run_no: int
    first_seq: int
    events: tuple[RunEvent, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Keep the accepted outputs of a task: the row that makes a second accepted result impossible."""

    run_no: int
    task_no: int
    lease: int
    outputs: tuple[OutputValue, ...]
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CopyAccepted:
    """Keep the accepted outputs of tasks of an earlier run as those of a new run of the same graph."""

    from_run_no: int
    run_no: int
    tasks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SaveGraph:
    """Keep a version of a workflow's graph. `body` is the core's own encoding (core/graph.py)."""

    workflow_id: bytes
    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SaveCode:
    """Keep the body of a function."""

    hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class SaveLog:
    """Keep the tails of an attempt's captured output."""

    run_no: int
    task_no: int
    attempt: int
    stdout: bytes
    stderr: bytes
    stdout_size: int
    stderr_size: int


@dataclass(frozen=True, slots=True)
class SaveSealed:
    """Keep what recovery needs to know of a run that is over. `body` is the core's own encoding (core/sealed.py)."""

    run_no: int
    body: bytes


@dataclass(frozen=True, slots=True)
class DropRuns:
    """Remove all that is kept of runs that are over; space is freed little by little after the commit."""

    run_nos: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DropGraph:
    """Remove a version of a workflow's graph that no run needs any more."""

    workflow_id: bytes
    version: int


@dataclass(frozen=True, slots=True)
class DropWorkflow:
    """Remove a workflow's edits, and the functions that only it used; after DropRuns and DropGraph."""

    workflow_id: bytes
    codes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AppendCluster:
    """Add an event to the log of the cluster: nodes joining and leaving, workflows created."""

    kind: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a command: a body of maze_protocol.http (or another documented value), or a Rejected."""

    ticket: int
    value: Any


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of an accepted output are: the journal's `accepted` row of that task."""

    run_no: int
    task_no: int
    key: str


@dataclass(frozen=True, slots=True)
class AssignTask:
    """Give an attempt to a node. The driver puts all of one turn for one link into one ASSIGN message.

    `assignment.inputs` is empty here; `inputs` tells each (name, template or None, sources) and the driver fills
    in the bytes of the sources.
    """

    link: bytes
    assignment: Assignment
    inputs: tuple[tuple[str, Value | None, tuple[Source, ...]], ...]


@dataclass(frozen=True, slots=True)
class SendCode:
    """Send the function body with this hash ahead of the assignments that need it."""

    link: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message within a session; `free` ones do not wait for the commit."""

    link: bytes
    message: Message
    free: bool = False


@dataclass(frozen=True, slots=True)
class Admit:
    """Open the session of a link."""

    link: bytes
    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer a link that gets no session."""

    link: bytes
    message: Reject | RetryAfter


@dataclass(frozen=True, slots=True)
class Drop:
    """End a session."""

    link: bytes
    message: Disconnect


Effect = (
    Append | Accept | CopyAccepted | SaveGraph | SaveCode | SaveLog | SaveSealed | AppendCluster | DropRuns | DropGraph
    | DropWorkflow | Reply | AssignTask | SendCode | Send | Admit | Refuse | Drop
)  # fmt: skip


class LogPlace(msgspec.Struct, frozen=True):
    """Answer to LocateLog: pull from `link` while it is there, else read the tail kept for the attempt."""

    run_no: int
    task_no: int
    attempt: int
    lease: int
    link: bytes | None
    over: bool
