"""Everything the SDK asks of a head, as coroutines of the loop thread. Drafts in, drafts out; nothing is printed.

Both clients call these, through `_http.call` and `_http.bridge`. Ids are made here: a request that is repeated
because its answer was lost names the same thing again.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from maze._draft import Batch, describe_op
from maze._feed import GATHER_SECONDS
from maze._graph import Vertex
from maze._http import connection, path
from maze._ids import new_id
from maze._loop import ask
from maze._run_options import RunOptions
from maze._shared import WorkflowState, state_of
from maze._upload import bring, literals_of
from maze._wire import edit_request, vertices
from maze.errors import (
    ConflictError,
    CycleError,
    EmptyWorkflowError,
    ForeignTaskError,
    GraphError,
    InvalidTaskError,
    MazeError,
    RequestError,
    UnknownOutputError,
    UnknownRunError,
    UnknownTaskError,
    UnknownWorkflowError,
)
from maze_protocol import cluster, http
from maze_protocol.alike import ALIKE_SINCE
from maze_protocol.ids import RUN, WORKFLOW
from maze_protocol.limits import MAX_TASK_VALUES, MIB
from maze_protocol.waiting import RunExplanation, WaitingGroup

__all__ = [
    "create", "describe_run", "flush", "info", "list_nodes", "list_runs", "list_workflows", "load", "missing_node",
    "no_run", "open_workflow", "own_run", "pickle_functions", "plain", "run_request", "run_summary", "submit",
    "submit_at_once", "tasks", "waiting_tasks",
]  # fmt: skip

REQUEST_BYTES: Final = 32 * MIB
"""Half of what a head reads in one request: functions and literals are estimated, not counted."""
PART_OPS: Final = 1_000
"""Of one request: what is all or nothing is so per part, and each is one turn of the head, in which it hears nobody."""
STEPS_TO_LEAVE: Final = 3
"""Steps of the loop after which a request is on its way."""
REBASE_ROUNDS: Final = 20


async def create(url: str, name: str = "") -> WorkflowState:
    """Create an empty workflow."""
    request = http.WorkflowRequest(new_id(WORKFLOW), name)
    made = await connection(url).request("POST", path("workflows"), http.WorkflowSummary, request)
    state = state_of(url, made.workflow_id)
    state.draft.load((), (), made.revision)
    return state


async def open_workflow(url: str, workflow_id: str) -> WorkflowState:
    """Return a workflow that exists on the head.

    Raises:
        UnknownWorkflowError: it doesn't.
    """
    state = state_of(url, workflow_id)
    await load(state)
    return state


async def load(state: WorkflowState) -> None:
    """Fetch the graph of a workflow that was made elsewhere, unless it is here already."""
    if not state.draft.loaded:
        body = await _fetch(state)
        state.draft.load(vertices(body), body.manual_edges, body.revision)


def pickle_functions(state: WorkflowState) -> None:
    """Pickle the functions that are about to be sent; in the caller's thread, since it runs the user's code.

    Raises:
        InvalidTaskError: a function cannot be sent; the error names task and culprit. Both have left the workflow.
    """
    from maze._binding import digest_of
    from maze._values import ValueEncodeError, dump_function

    for code, task in state.draft.unpickled():
        assert code.function is not None
        try:
            body = dump_function(code.function)
        except ValueEncodeError as error:
            why = f"its function {code.name} refers to something that cannot be pickled: {error}"
            raise _given_up(state, task, why, "create it inside the function, or pass it as an input") from error
        if len(body) > MAX_TASK_VALUES:
            why = (
                f"its function {code.name} has {len(body):,} bytes with what it refers to, at most {MAX_TASK_VALUES:,}"
            )
            raise _given_up(state, task, why, "pass large values as inputs or by a path")
        code.body, code.digest = body, digest_of(body)


def _given_up(state: WorkflowState, task: Vertex, why: str, hint: str) -> InvalidTaskError:
    users = state.draft.give_up(task.task_id)
    state.settle()
    also = f" (given up with it: {', '.join(users)})" if users else ""
    message = f"task '{task.name}' cannot be sent{also}: {why}"
    return InvalidTaskError(message, code="unsendable_function", hint=hint, task_id=task.task_id)


async def flush(state: WorkflowState) -> None:
    """Send the edits that the head lacks, in as few requests as it takes.

    Raises:
        ConflictError: somebody else's edits made some of ours impossible; those are named and given up.
        MazeError: the head refused an operation, which is named and given up.
    """
    if state.flush_lock is None:
        state.flush_lock = asyncio.Lock()
    async with state.flush_lock:
        rounds, part = 0, None
        while state.draft.dirty:
            part = part or await _next_part(state)
            if not part.batch.ops:
                return  # recorded by another thread since; its own flush sends them
            sent, part = await _send(state, part)
            if not sent:
                rounds += 1
                if rounds > REBASE_ROUNDS:
                    raise ConflictError(f"workflow {state.workflow_id} changes faster than edits can be sent")
        state.settle()


def run_request(state: WorkflowState, wanted: RunOptions) -> http.RunRequest:
    """Return the request to run a workflow; as often as it is sent, it is one run."""
    return http.RunRequest(state.workflow_id, new_id(RUN), **wanted._asdict())


def submit_at_once(state: WorkflowState, request: http.RunRequest) -> http.RunBody | None:
    """Run a workflow over the event socket if that is open; from any thread but the loop's.

    Returns:
        The run, or None: `submit` will do it, or tell what is wrong.
    """
    events = connection(state.url).events
    if not events.is_open or state.draft.dirty:
        return None
    run: http.RunBody | None = ask(partial(events.post, request, GATHER_SECONDS), events.abandon)
    if run is not None:
        state.own_runs[run.run_id] = None
    return run


async def submit(state: WorkflowState, request: http.RunRequest) -> http.RunBody:
    """Send what is unsent and run the workflow.

    Raises:
        EmptyWorkflowError: it has no tasks.
        GraphError: a task of the legacy flow has no code yet.
    """
    await flush(state)
    known = connection(state.url)
    run = await known.events.submit(request, GATHER_SECONDS)
    if run is None:
        try:
            run = await known.request("POST", path("runs"), http.RunBody, request)
        except RequestError as error:
            _refused_run(state, error)
    state.own_runs[run.run_id] = None
    return run


async def tasks(state: WorkflowState) -> list[dict[str, str]]:
    """Return ids and names of all tasks; what others changed is taken over."""
    await flush(state)
    body = await _fetch(state)
    if body.revision != state.draft.revision and not state.draft.dirty:
        state.draft.rebase(vertices(body), body.manual_edges, body.revision)
    return [{"id": task.task_id, "name": task.name} for task in body.tasks]


async def describe_run(url: str, run_id: str) -> http.RunBody:
    """Return the summary of a run.

    Raises:
        UnknownRunError: there is none of that id.
    """
    if not isinstance(run_id, str):
        raise UnknownRunError(f"a run_id is a string, not {type(run_id).__name__}", code="run_not_found")
    try:
        return await connection(url).request("GET", path("runs", run_id), http.RunBody)
    except RequestError as error:
        raise no_run(error, run_id) from None


async def missing_node(url: str, run_id: str) -> str:
    """Return the command that would give a waiting run a node, or the empty string if that is not what it lacks."""
    run = await describe_run(url, run_id)
    if run.sealed or run.ready_nodes or run.running:
        return ""
    about = await connection(url).probe()
    head = about.endpoints.get("node")
    return f"maze-node --head {head}" if head else "maze-node"


async def waiting_tasks(url: str, run_id: str) -> list[WaitingGroup]:
    """Return why tasks of a run have not started, by reason; nothing if the head cannot tell."""
    try:
        found = await connection(url).request("GET", path("runs", run_id, "explain"), RunExplanation)
    except RequestError:
        return []  # the run was removed meanwhile, or an older head
    return found.groups


async def own_run(state: WorkflowState, run_id: str) -> None:
    """Make sure that a run exists and belongs to the workflow.

    Raises:
        UnknownRunError: it doesn't.
    """
    if run_id in state.own_runs:
        return
    body = await describe_run(state.url, run_id)
    if body.workflow_id != state.workflow_id:
        raise UnknownRunError(
            f"run {run_id} belongs to workflow {body.workflow_id}, not to {state.workflow_id}",
            code="foreign_run",
            run_id=run_id,
        )
    state.own_runs[run_id] = None


async def run_summary(url: str, run_id: str) -> dict[str, Any]:
    """Return the summary of a run as a dictionary."""
    return plain(await describe_run(url, run_id))


async def list_runs(url: str) -> list[dict[str, Any]]:
    """Return all runs, newest first."""
    found: list[http.RunBody] = []
    cursor = ""
    while True:
        page = await connection(url).request("GET", path("runs"), http.RunList, limit="1000", before=cursor)
        found += page.runs
        cursor = page.next
        if not cursor:
            return [plain(run) for run in found]


async def list_workflows(url: str) -> list[dict[str, Any]]:
    """Return all workflows, oldest first."""
    body = await connection(url).request("GET", path("workflows"), http.WorkflowList)
    return [plain(workflow) for workflow in body.workflows]


async def list_nodes(url: str) -> list[dict[str, Any]]:
    """Return all nodes that the head knows."""
    body = await connection(url).request("GET", path("nodes"), cluster.NodeList)
    return [plain(node) for node in body.nodes]


async def info(url: str) -> dict[str, Any]:
    """Return who answers, and under which promises."""
    return plain(await connection(url).request("GET", path("info"), cluster.InfoBody))


# -- edits -------------------------------------------------------------------------------------------------------


async def _fetch(state: WorkflowState) -> http.WorkflowBody:
    try:
        return await connection(state.url).request("GET", path("workflows", state.workflow_id), http.WorkflowBody)
    except RequestError as error:
        raise _no_workflow(error, state) from None


class _Part(NamedTuple):
    """A batch, as it is sent."""

    batch: Batch
    request: http.EditRequest
    alike: bool
    """What its tasks have in common is said once."""


async def _next_part(state: WorkflowState) -> _Part:
    """Write the next part, once the large literals that it names are at the head."""
    batch = state.draft.take(PART_OPS, REQUEST_BYTES)
    if large := literals_of(batch.ops):
        await bring(state.url, large)
    return _written(batch, alike=await connection(state.url).minor() >= ALIKE_SINCE)


def _written(batch: Batch, *, alike: bool) -> _Part:
    return _Part(batch, edit_request(batch, os.urandom(16).hex(), alike=alike), alike)


async def _send(state: WorkflowState, part: _Part) -> tuple[bool, _Part | None]:
    """Send a part, and write the one behind it while the head takes it in.

    Returns:
        Whether the head has it; otherwise the draft is now on top of what the head has: try again. And the part behind
        it, if that is written.
    """
    batch, alike = part.batch, part.alike
    part.request.base_revision = state.draft.revision
    known = connection(state.url)
    where = path("workflows", state.workflow_id, "edits")
    answer = asyncio.create_task(known.request("POST", where, http.EditResponse, part.request))
    try:
        for _ in range(STEPS_TO_LEAVE):
            await asyncio.sleep(0)
        behind = state.draft.take(PART_OPS, REQUEST_BYTES, batch)
        following = None if literals_of(behind.ops) else _written(behind, alike=alike)
        reply = await answer
    except RequestError as error:
        if not (alike and error.code == "invalid_body" and await known.minor(anew=True) < ALIKE_SINCE):
            await _mend(state, batch, error)
        return False, None  # in full the next time, if an older head has taken the place of the one that was asked
    except BaseException:
        answer.cancel()
        raise
    state.draft.confirm(batch, reply.revision)
    return True, following


async def _mend(state: WorkflowState, batch: Batch, error: RequestError) -> None:
    """Do what a refused batch calls for; return if it can be sent again."""
    if error.code == "edit_conflict":
        refused = await _rebase(state)
        if refused:
            raise ConflictError(
                "the workflow was changed elsewhere, and these edits no longer apply: " + "; ".join(refused),
                refused=refused,
            ) from error
        return
    if error.op is None or error.op >= len(batch.ops):
        raise _no_workflow(error, state) from None
    op = batch.ops[error.op]
    named = describe_op(op, state.draft.graph)
    state.draft.drop(op)
    refused = await _rebase(state)
    raise _refused_edit(error, named, refused) from error


async def _rebase(state: WorkflowState) -> list[str]:
    body = await _fetch(state)
    return state.draft.rebase(vertices(body), body.manual_edges, body.revision)


def _refused_edit(error: RequestError, named: str, refused: list[str]) -> MazeError:
    """Return the error of an operation that the head refused, of the kind that the draft would have raised."""
    also = f" (and with it: {'; '.join(refused)})" if refused else ""
    message = f"{named} was refused: {error.message}{also}"
    if error.code == "cycle":
        return CycleError(message)
    if error.code == "unknown_output":
        return UnknownOutputError(message, code=error.code, hint=error.hint)
    if error.code == "unknown_task":
        return UnknownTaskError(message, code=error.code, hint=error.hint)
    if error.code == "foreign_task":
        return ForeignTaskError(message, code=error.code, hint=error.hint)
    if error.code in {"task_referenced", "edge_referenced", "unknown_edge"}:
        return GraphError(message, code=error.code, hint=error.hint)
    return RequestError(message, status=error.status, field=error.field, op=error.op, code=error.code, hint=error.hint)


def _refused_run(state: WorkflowState, error: RequestError) -> NoReturn:
    if error.code == "empty_workflow":
        raise EmptyWorkflowError(f"workflow {state.workflow_id} has no tasks to run", code=error.code) from error
    if error.code in {"unsaved_task", "task_not_saved"}:
        raise GraphError(error.message, code=error.code, hint=error.hint) from error
    raise _no_workflow(error, state) from None


def _no_workflow(error: RequestError, state: WorkflowState) -> MazeError:
    """Return what a refusal means for a workflow: that it doesn't exist, or just the refusal."""
    if error.code in {"workflow_removed", "workflow_expired"}:
        return UnknownWorkflowError(error.message, code=error.code)
    if error.code in {"workflow_not_found", "unknown_workflow", "bad_id"}:
        return UnknownWorkflowError(
            f"the head at {state.url} has no workflow {state.workflow_id!r}", code="workflow_not_found"
        )
    return error


def no_run(error: RequestError, run_id: str) -> MazeError:
    """Return what a refusal means for a run: that it doesn't exist, or just the refusal."""
    if error.status == 410:
        return UnknownRunError(error.message, code=error.code, hint=error.hint, run_id=run_id)
    if error.status == 404 or error.code == "bad_id":
        return UnknownRunError(f"the head knows no run {run_id!r}", code=error.code, hint=error.hint, run_id=run_id)
    return error


def plain(body: msgspec.Struct) -> dict[str, Any]:
    """Return a body as a dictionary."""
    found: dict[str, Any] = msgspec.to_builtins(body)
    return found
