"""The run log: what happened in one run, in past tense, gapless from 1. Everything a reader ever learns is here.

Recovery, result streams, PUB/SUB, history and `explain` all read these events; replaying them gives the head's
state again. Tasks are named by their number in the run's graph snapshot; texts (ids, names) are added by readers.
Events of one commit form a segment with one epoch and one wall-clock time. Fields are only appended.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim

__all__ = [
    "SEALING", "AttemptInterrupted", "AttemptLost", "CancelRequested", "ObjectGone", "ObjectLost", "ObjectRebuilt",
    "OutputKept", "OutputMeta", "RunCancelled", "RunEvent",
    "RunFinished", "RunSubmitted", "SEALING_NAMES", "Segment", "TaskAdopted", "TaskCancelled", "TaskFailed",
    "TaskFinished", "TaskLeased", "TaskReleased", "TaskReused", "TaskSkipped", "TaskStarted", "TaskWarned",
    "TYPE_NAMES",
]  # fmt: skip


class OutputMeta(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An output's name, codec and size; its bytes are in the `accepted` row of the task, unless it is an object."""

    key: str
    codec: int
    size: int
    object: bool = False
    """Its bytes are kept by nodes, or in the head's blob directory; its number is its place among the outputs."""
    type: str = ""
    crc: int = 0


class RunSubmitted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A snapshot of a workflow begins to run."""

    run_id: bytes
    workflow_id: bytes
    version: int
    tasks: int
    fail_fast: bool = False
    priority: int = 0
    project: str = ""
    retry_of: bytes = b""
    """The earlier run whose graph this one repeats, or empty."""
    wait_for_capacity: bool = True
    """False: tasks that no node could ever take fail at once."""


class TaskLeased(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """An attempt was granted to a node."""

    task: int
    attempt: int
    lease: int
    node: str
    claim: Claim
    grant: int = 0
    gang: tuple[tuple[str, Claim], ...] = ()
    """The other nodes of an attempt that has several, with what it holds there."""


class TaskStarted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """User code of an attempt began to run."""

    task: int
    attempt: int
    lease: int
    node: str
    node_ip: str
    started_at: float
    rebuild: bool = False
    """The task is finished and runs once more, for objects that were lost: no start that readers wait for."""
    isolation: str = ""
    """What keeps the attempt from the rest of its machine, as its node has told; empty: it has not."""


class TaskFinished(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """The accepted result of a task."""

    task: int
    attempt: int
    lease: int
    outputs: tuple[OutputMeta, ...]
    wall_ms: float
    cpu_ms: float = 0.0
    peak_rss_kib: int = 0
    node: str = ""
    """Who holds its objects, if there are any."""


class TaskFailed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """A task failed for good: its retries are spent."""

    task: int
    attempt: int
    lease: int
    error: ErrorInfo
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_rss_kib: int = 0


class AttemptLost(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """An attempt ended without an accepted result and the task will be tried again."""

    task: int
    attempt: int
    lease: int
    error: ErrorInfo
    not_before: float = 0.0
    """Wall-clock time before which the next attempt does not start; 0: at once."""
    node: str = ""
    mem_mib: int = 0
    """The next attempt claims so much memory, and has its node to itself; 0: as declared."""


class TaskSkipped(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """A task will never run because `because` failed or the run was stopped."""

    task: int
    because: int


class TaskCancelled(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """A running or waiting task ended by cancellation."""

    task: int
    attempt: int
    reason: str
    was_running: bool


class CancelRequested(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    """Somebody asked to stop the run; nothing new starts from here on."""

    reason: str


class RunCancelled(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=10):
    """The run is over by cancellation; seals the log."""

    finished: int
    failed: int
    cancelled: int


class RunFinished(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=11):
    """Every task is over; seals the log."""

    finished: int
    failed: int
    skipped: int


class AttemptInterrupted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=12):
    """The head restarted while this attempt was leased; the task is queued again."""

    task: int
    attempt: int
    lease: int


class TaskWarned(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=13):
    """Something about a task that its author should know."""

    task: int
    text: str


class TaskReleased(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=14):
    """A lease came back un-started, without blame; the task is queued again."""

    task: int
    attempt: int
    lease: int
    reason: str = ""


class TaskAdopted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=15):
    """An attempt that was given up as lost goes on after all: its node came back with it under a new lease."""

    task: int
    attempt: int
    lease: int
    node: str
    claim: Claim
    old_lease: int
    grant: int = 0
    refunded: bool = False
    """Giving it up had been charged to the task."""
    gang: tuple[tuple[str, Claim], ...] = ()


class TaskReused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=16):
    """The accepted result of the same task in an earlier run is this run's result, too.

    Its objects go on under the lease that made them, unless that is 0: then nobody has them, or another run's they are.
    """

    task: int
    outputs: tuple[OutputMeta, ...]
    lease: int = 0
    node: str = ""
    """Where that lease was."""
    kept: tuple[int, ...] = ()
    """Outputs that are in the head's blob directory for the earlier run."""


class OutputKept(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=17):
    """An object is in the head's blob directory: it stays as long as its run is kept."""

    task: int
    output: int
    key: str
    size: int


class ObjectLost(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=18):
    """Objects of a finished task are on no node any more and somebody needs them: the task is run once more."""

    task: int
    outputs: tuple[int, ...]
    node: str
    """Who held them last."""
    needed_by: int = -1
    """A task that needs them; -1: the head, to keep them."""


class ObjectRebuilt(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=19):
    """A finished task was run once more for its objects; its accepted result stands."""

    task: int
    attempt: int
    lease: int
    node: str
    outputs: tuple[OutputMeta, ...]
    diverged: tuple[str, ...] = ()
    """Outputs whose size or checksum differs from what was accepted."""
    wall_ms: float = 0.0


class ObjectGone(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=20):
    """Objects of a finished task can be made anew no more: who needs them fails."""

    task: int
    outputs: tuple[int, ...]
    error: ErrorInfo


RunEvent = (
    RunSubmitted | TaskLeased | TaskStarted | TaskFinished | TaskFailed | AttemptLost | TaskSkipped | TaskCancelled
    | CancelRequested | RunCancelled | RunFinished | AttemptInterrupted | TaskWarned | TaskReleased
    | TaskAdopted | TaskReused | OutputKept | ObjectLost | ObjectRebuilt | ObjectGone
)  # fmt: skip

SEALING: Final = (RunFinished, RunCancelled)

TYPE_NAMES: Final[dict[type[msgspec.Struct], str]] = {
    RunSubmitted: "run_submitted",
    TaskLeased: "task_leased",
    TaskStarted: "start_task",
    TaskFinished: "finish_task",
    TaskFailed: "task_exception",
    AttemptLost: "attempt_lost",
    TaskSkipped: "task_skipped",
    TaskCancelled: "task_cancelled",
    CancelRequested: "cancel_requested",
    RunCancelled: "cancel_workflow",
    RunFinished: "finish_workflow",
    AttemptInterrupted: "attempt_interrupted",
    TaskWarned: "task_warning",
    TaskReleased: "task_released",
    TaskAdopted: "task_adopted",
    TaskReused: "task_reused",
    OutputKept: "output_kept",
    ObjectLost: "object_lost",
    ObjectRebuilt: "object_rebuilt",
    ObjectGone: "object_gone",
}
"""Names in the API; the first four of the reference keep the reference's names."""

SEALING_NAMES: Final = tuple(TYPE_NAMES[kind] for kind in SEALING)


class Segment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The events that one commit added to one run's log; the body of a `segment` row."""

    epoch: int
    time: float
    first_seq: int
    events: tuple[RunEvent, ...]
