"""What the core orders. Imperative. The driver obeys in order, after the commit of the batch that made them.

Durable effects (Append, Accept, CopyAccepted, SaveGraph, SaveCode, SaveLog, SaveSealed, AppendCluster, DropRuns,
DropGraph, DropWorkflow) form the batch's journal rows; every other effect waits for that commit, except those with
`free=True`, which carry liveness or facts already committed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from maze_protocol.events import RunEvent
from maze_protocol.messages import Assignment, Disconnect, Message, Reject, RetryAfter, Welcome
from maze_protocol.values import ObjectRef, OutputValue, Value

__all__ = [
    "Accept", "Admit", "Append", "AppendCluster", "AssignTask", "CopyAccepted", "Drop", "DropGraph", "DropObjects",
    "DropRuns", "DropWorkflow", "Effect", "KeepObject", "LogPlace", "ObjectPlace", "ReadGraph", "Refuse", "Reply",
    "SaveCode", "SaveGraph", "SaveLog", "SaveSealed", "Send", "SendCode", "Source",
]  # fmt: skip


class Append(msgspec.Struct, frozen=True, gc=False):
    """Add events to a run's log; the driver makes one segment per run and commit of them."""

    run_no: int
    first_seq: int
    events: tuple[RunEvent, ...]


class Accept(msgspec.Struct, frozen=True, gc=False):
    """Keep the accepted outputs of a task: the row that makes a second accepted result impossible."""

    run_no: int
    task_no: int
    lease: int
    outputs: tuple[OutputValue, ...]
    payloads: tuple[bytes, ...]
    size: int = 0
    """Of the outputs that are no objects, in bytes."""


class CopyAccepted(msgspec.Struct, frozen=True, gc=False):
    """Keep the accepted outputs of tasks of an earlier run as those of a new run of the same graph."""

    from_run_no: int
    run_no: int
    tasks: tuple[int, ...]


class SaveGraph(msgspec.Struct, frozen=True, gc=False):
    """Keep a version of a workflow's graph. `body` is the core's own encoding (core/graph.py)."""

    workflow_id: bytes
    version: int
    body: bytes


class SaveCode(msgspec.Struct, frozen=True, gc=False):
    """Keep the body of a function."""

    hash: bytes
    body: bytes


class SaveLog(msgspec.Struct, frozen=True, gc=False):
    """Keep the tails of an attempt's captured output."""

    run_no: int
    task_no: int
    attempt: int
    stdout: bytes
    stderr: bytes
    stdout_size: int
    stderr_size: int


class SaveSealed(msgspec.Struct, frozen=True, gc=False):
    """Keep what recovery needs to know of a run that is over. `body` is the core's own encoding (core/sealed.py)."""

    run_no: int
    body: bytes


class DropRuns(msgspec.Struct, frozen=True, gc=False):
    """Remove all that is kept of runs that are over; space is freed little by little after the commit."""

    run_nos: tuple[int, ...]


class DropGraph(msgspec.Struct, frozen=True, gc=False):
    """Remove a version of a workflow's graph that no run needs any more."""

    workflow_id: bytes
    version: int


class DropWorkflow(msgspec.Struct, frozen=True, gc=False):
    """Remove a workflow's edits, and the functions that only it used; after DropRuns and DropGraph."""

    workflow_id: bytes
    codes: tuple[bytes, ...]


class AppendCluster(msgspec.Struct, frozen=True, gc=False):
    """Add an event to the log of the cluster: nodes joining and leaving, workflows created."""

    kind: str
    body: dict[str, Any]


class Reply(msgspec.Struct, frozen=True):
    """Answer a command: a body of maze_protocol.http (or another documented value), or a Rejected."""

    ticket: int
    value: Any


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where the bytes of an accepted output are: the journal's `accepted` row of that task, or wherever `ref` says."""

    run_no: int
    task_no: int
    key: str
    ref: ObjectRef | None = None
    """Of an object, with holders and tickets for the node that the assignment goes to."""
    codec: int = 0
    """Of an object."""


class KeepObject(msgspec.Struct, frozen=True, gc=False):
    """Bring an object into the blob directory; answered by ObjectKept or ObjectUnkept. Repeated ones are harmless."""

    run_no: int
    task_no: int
    output: int
    ref: ObjectRef
    """With the holders, named by their node ids (they are asked over the connections that they opened), and tickets for
    the head (consumer "")."""
    like: int = 0
    """A run for which the same output is there already, to be had from there first; 0: none."""


class DropObjects(msgspec.Struct, frozen=True, gc=False):
    """Stop bringing in objects of runs that are over or gone; what is kept of them goes with DropRuns."""

    run_nos: tuple[int, ...]


class ReadGraph(msgspec.Struct, frozen=True, gc=False):
    """Read a version of a workflow's graph, which is saved by now; answered by GraphRead."""

    workflow_id: bytes
    version: int


class AssignTask(msgspec.Struct, frozen=True, gc=False):
    """Give an attempt to a node. The driver puts all of one turn for one link into one ASSIGN message.

    `assignment.inputs` is empty here; `inputs` tells each (name, template or None, sources) and the driver fills
    in the bytes of the sources. Where there are no sources, and few bytes, all is there already and `inputs` is empty.
    """

    link: bytes
    assignment: Assignment
    inputs: tuple[tuple[str, Value | None, tuple[Source, ...]], ...]
    size: int = 0
    """Bytes of the inputs that are there already."""


class SendCode(msgspec.Struct, frozen=True, gc=False):
    """Send the function body with this hash ahead of the assignments that need it."""

    link: bytes
    hash: bytes


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message within a session; `free` ones do not wait for the commit."""

    link: bytes
    message: Message
    free: bool = False


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Open the session of a link."""

    link: bytes
    welcome: Welcome


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """Answer a link that gets no session."""

    link: bytes
    message: Reject | RetryAfter


class Drop(msgspec.Struct, frozen=True, gc=False):
    """End a session."""

    link: bytes
    message: Disconnect


Effect = (
    Append | Accept | CopyAccepted | SaveGraph | SaveCode | SaveLog | SaveSealed | AppendCluster | DropRuns | DropGraph
    | DropWorkflow | Reply | AssignTask | SendCode | Send | Admit | Refuse | Drop | KeepObject | DropObjects
    | ReadGraph
)  # fmt: skip


class LogPlace(msgspec.Struct, frozen=True, gc=False):
    """Answer to LocateLog: pull from `link` while it is there, else read the tail kept for the attempt."""

    run_no: int
    task_no: int
    attempt: int
    lease: int
    link: bytes | None
    over: bool


class ObjectPlace(msgspec.Struct, frozen=True, gc=False):
    """Answer to LocateObject and FindObject: fetch it from the holders of `ref`; None: nobody has it (any more).

    The holders are told as in KeepObject.
    """

    run_no: int
    task_no: int
    output: int
    ref: ObjectRef | None
    kept: bool
    """It is in the blob directory. Of runs that are over the core remembers that for a while only: look there first."""
    like: int = 0
    """As in KeepObject."""
