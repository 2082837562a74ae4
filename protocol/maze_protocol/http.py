"""Bodies of the HTTP API v1, the same structs in JSON and MessagePack. The SDK and the head meet here.

Maps, not arrays: these are read by people and by other languages. Unknown fields are refused in requests
(`forbid_unknown_fields`), so a typo is told; responses may grow. `bytes` are base64 text in JSON.
Ids are texts (`task_` + 32 hex); hashes are 32 hex digits.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from maze_protocol.waiting import NamedTask, RunExplanation, WaitingGroup

__all__ = [
    "MSGPACK_TYPE", "AddAlike", "AddEdge", "AddTask", "ClientEvent", "CodeBody", "DelEdge", "DelTask",
    "EditRequest", "EditResponse", "EncodedValue", "ErrorBody", "ErrorDetail", "InfeasibleTask", "InputBody",
    "LostAttempt", "NamedTask", "Op", "RequestBody", "RetryRequest", "RunBody", "RunExplanation", "RunList",
    "RunRequest", "RunTaskBody", "RunTaskList", "SaveTask", "TaskBody", "UploadBody", "UploadedValue",
    "WaitingGroup", "WorkflowBody", "WorkflowList", "WorkflowRequest", "WorkflowSummary",
]  # fmt: skip

MSGPACK_TYPE: Final = "application/msgpack"


class RequestBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What clients send."""

    # Trees without cycles, tens of thousands at a time: the collector need not look at them.


class EncodedValue(RequestBody):
    """A value as the SDK encodes it (maze._values): codec 0 MessagePack, 1 pickle."""

    codec: int
    data: bytes


class UploadedValue(RequestBody):
    """A value as the SDK encodes it, whose bytes were brought by `PUT /api/v1/values/{hash}`."""

    codec: int
    hash: str
    """blake2b, 32 bytes."""
    size: int


class InputBody(RequestBody):
    """One input of a task; exactly one of the four forms.

    `value`: a literal of JSON types. `source`: `task_….output.key`, another task's output. `encoded`: an encoded
    literal, in which hole i stands for `refs[i]` (each again `task_….output.key`). `upload`: the same, with its bytes
    brought before.
    """

    value: Any | UnsetType = UNSET
    source: str | UnsetType = UNSET
    encoded: EncodedValue | UnsetType = UNSET
    refs: list[str] = []
    upload: UploadedValue | UnsetType = UNSET


class CodeBody(RequestBody):
    """A function: `kind` is `pickle` (cloudpickle) or `source` (Python text); `hash` = blake2b-16 of `body`."""

    hash: str
    kind: str
    python: tuple[int, int]
    body: bytes
    name: str = ""


class TaskBody(RequestBody):
    """A vertex as authored. `code` is the hash of a CodeBody sent in this or an earlier request."""

    task_id: str
    name: str
    func_name: str = ""
    code: str = ""
    """Empty while a task of the legacy flow is not saved yet; such a workflow does not run."""
    inputs: dict[str, InputBody] = {}
    outputs: list[str] = []
    data_types: dict[str, str] = {}
    """Only explicit declarations; checked by the worker for outputs."""
    resources: dict[str, float] = {}
    """cpu, cpu_mem, gpu, gpu_mem as declared (before normalising); missing ones get their defaults."""
    strict_outputs: bool = True
    keep: bool = False
    task_type: str = "code"
    retries: int = 0
    """How often the task is tried again after an error of its own."""
    retry_backoff: float = 0.5
    """Seconds: the pause before retry n is drawn from 0 to retry_backoff * 2**(n - 1), up to 30 or retry_backoff."""
    retry_on: list[str] = []
    """Names of exceptions, subclasses included; empty: any error. `a.b.Error`, or the end of it: `b.Error`, `Error`."""
    timeout: float = 0.0
    """Seconds that an attempt may run; 0 means no limit."""
    idle_timeout: float = 0.0
    """Seconds that an attempt may run without printing anything; 0 means no limit."""
    at_most_once: bool = False
    """Never started a second time, whatever happens; it then fails instead."""
    require: dict[str, str] = {}
    """Labels that its node must have; an empty value means any."""
    prefer: dict[str, str] = {}
    """Labels that its node should have, if that costs no waiting."""
    limits: dict[str, int] = {}
    """Named limits of the cluster, and how many units the task takes of each while it runs."""
    apart: str = ""
    """Tasks of one run with the same word here never share a node."""
    nodes: int = 1
    """How many nodes it takes, each with all it asks for; its code runs on the first."""
    same_node_as: str = ""
    """A task before this one: run where that one ran, as long as its node is a member."""
    sandbox: bool = False
    """Shut in: a process of its own for each attempt, a fresh directory, limits, and no network where that works."""


class AddTask(RequestBody, tag_field="op", tag="add_task"):
    """Add a task; the same task again is no change, another one under the same id a conflict."""

    task: TaskBody


class AddAlike(RequestBody, tag_field="op", tag="add_alike"):
    """Add the task of operation `like`, an `add_task` (`maze_protocol.alike`), under this id, with these inputs."""

    like: int
    task_id: str
    inputs: dict[str, InputBody] = {}
    name: str = ""


class SaveTask(RequestBody, tag_field="op", tag="save_task"):
    """Replace the definition of an existing task (legacy `MaTask.save`)."""

    task: TaskBody


class DelTask(RequestBody, tag_field="op", tag="del_task"):
    """Delete a task and its manual edges; refused while another task references it."""

    task_id: str


class AddEdge(RequestBody, tag_field="op", tag="add_edge"):
    """Add a manual edge; twice is fine."""

    source: str
    target: str


class DelEdge(RequestBody, tag_field="op", tag="del_edge"):
    """Delete a manual edge; refused if absent, or if an input reference carries it."""

    source: str
    target: str


Op = AddTask | AddAlike | SaveTask | DelTask | AddEdge | DelEdge


class EditRequest(RequestBody):
    """A list of operations, applied all or none.

    `edit_id` makes a repeated request harmless. `base_revision` is the revision the author saw; None skips the
    check. A conflicting operation is answered 409 with its index.
    """

    ops: list[Op] = []
    codes: list[CodeBody] = []
    base_revision: int | None = None
    edit_id: str = ""


class EditResponse(msgspec.Struct):
    """The workflow's revision after the edit."""

    workflow_id: str
    revision: int


class WorkflowRequest(RequestBody):
    """Create a workflow. The id is the client's to make; the same id again is the same workflow."""

    workflow_id: str | None = None
    name: str = ""


class WorkflowSummary(msgspec.Struct):
    """A workflow in a list."""

    workflow_id: str
    name: str
    revision: int
    tasks: int
    created_at: float


class WorkflowList(msgspec.Struct):
    """All workflows, oldest first."""

    workflows: list[WorkflowSummary]


class WorkflowBody(msgspec.Struct):
    """A whole graph; `edges` holds all edges, `manual_edges` those that no input reference carries."""

    workflow_id: str
    name: str
    revision: int
    created_at: float
    tasks: list[TaskBody]
    edges: list[tuple[str, str]]
    manual_edges: list[tuple[str, str]]


class RunRequest(RequestBody):
    """Run a snapshot of a workflow. `run_id` is the client's to make; the same id again is the same run."""

    workflow_id: str
    run_id: str | None = None
    revision: int | None = None
    fail_fast: bool = False
    priority: int = 0
    """One step is worth some minutes of waiting (--priority-step of the head)."""
    project: str = ""
    """Projects share the cluster by their weights."""
    wait_for_capacity: bool = True
    """False: tasks that no node could ever take fail at once."""


class RetryRequest(RequestBody):
    """Run the graph of an earlier run again. `run_id` is the client's to make; the same id again is the same run."""

    run_id: str | None = None
    from_failed: bool = False
    """Reuse the accepted results of the earlier run: only what has none is run."""


class InfeasibleTask(msgspec.Struct):
    """A task that no node of the cluster, as it is now, could ever take."""

    task_id: str
    name: str
    reason: str


class RunBody(msgspec.Struct, gc=False):
    """One run, summarised. `status`: waiting, running, cancelling, finished, failed, cancelled."""

    run_id: str
    workflow_id: str
    revision: int
    status: str
    tasks: int
    finished: int
    failed: int
    skipped: int
    running: int
    submitted_at: float
    ended_at: float | None
    last_seq: int
    sealed: bool
    ready_nodes: int = 0
    """Nodes that can take work right now: 0 means the run waits for one."""
    retry_of: str = ""
    """The earlier run whose graph this one repeats, or empty."""
    priority: int = 0
    project: str = ""
    infeasible: list[InfeasibleTask] = []
    """Tasks that no present node could ever take; some of them, if there are many."""
    object_bytes: int = 0
    """Bytes that nodes hold of what its tasks made, all copies; told of a run that is asked for alone."""


class RunList(msgspec.Struct):
    """Runs, newest first; `next` is the cursor of the next page, or empty."""

    runs: list[RunBody]
    next: str = ""


class LostAttempt(msgspec.Struct):
    """An attempt that ended without an accepted result, and why.

    `kind`: that of the error (user, timeout, crash, node_lost, …), or interrupted (the head restarted) or released
    (it had not begun).
    """

    attempt: int
    node: str
    time: float
    kind: str
    error: str
    """`Type: message`, in one line."""
    isolation: str = ""
    """What it ran under, as in RunTaskBody; empty if it had not begun."""


class RunTaskBody(msgspec.Struct):
    """A task within a run. `status`: waiting, ready, leased, running, finished, failed, skipped, cancelled."""

    task_id: str
    name: str
    status: str
    attempt: int
    node: str = ""
    node_ip: str = ""
    started_at: float | None = None
    wall_ms: float | None = None
    cpu_ms: float | None = None
    peak_rss_kib: int | None = None
    error: str = ""
    claim: dict[str, Any] = {}
    warnings: list[str] = []
    lost: list[LostAttempt] = []
    retry_at: float | None = None
    """Wall-clock time before which the next attempt does not start, while the task waits for that."""
    reused: bool = False
    """Its result is that of the run which this one retries."""
    func_name: str = ""
    isolation: str = ""
    """What keeps the last attempt that began from the rest of its machine: `process`, or `bwrap sandbox no-network`."""


class RunTaskList(msgspec.Struct):
    """All tasks of a run in the order of the graph."""

    tasks: list[RunTaskBody]


class UploadBody(msgspec.Struct):
    """How much of an uploaded value the head has: its first `offset` bytes."""

    hash: str
    offset: int
    complete: bool


class ClientEvent(msgspec.Struct, omit_defaults=True):
    """One event as a reader gets it: the run log with ids and names filled in.

    `data` of `start_task`, `finish_task`, `task_exception` and `finish_workflow` has the keys of the API
    reference and more. A result maps output keys to values: in MessagePack each value is [codec, bytes], in JSON
    it is rendered (docs/api.md).
    """

    seq: int
    epoch: int
    time: float
    type: str
    data: dict[str, Any]


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """What went wrong, for programs (`code`) and for people (`message`, `hint`)."""

    code: str
    message: str
    hint: str = ""
    field: str = ""
    """Path of the offending field: `$.ops[3].task.inputs.x`."""
    op: int | None = None
    """Index of the offending operation of an edit."""
    request_id: str = ""


class ErrorBody(msgspec.Struct):
    """The one error body of the whole API."""

    error: ErrorDetail
