"""Workflows: made, read and edited. Every change is an edit, so the single-task routes are edits of one operation.

The core checks definitions. Here only Python text is looked at, since parsing it takes a while: it is compiled to a
syntax tree, never executed.
"""

from __future__ import annotations

import ast
import asyncio
import textwrap
import warnings
from typing import Final

from maze_head.api.bodies import THREAD_FROM
from maze_head.api.call import Call, raw_id
from maze_head.api.errors import TooLarge
from maze_head.api.schemas import EdgeBody, EdgeList, NewTask, TaskList
from maze_head.api.uploads import check_uploads
from maze_head.core.errors import Invalid, NotFound, Rejected
from maze_head.core.events import CreateWorkflow, DescribeWorkflow, EditWorkflow, ListWorkflows, RemoveWorkflow
from maze_head.core.snapshot import Snapshot
from maze_protocol.http import (
    AddEdge,
    AddTask,
    CodeBody,
    DelEdge,
    DelTask,
    EditRequest,
    EditResponse,
    Op,
    SaveTask,
    TaskBody,
    WorkflowBody,
    WorkflowList,
    WorkflowRequest,
    WorkflowSummary,
)
from maze_protocol.ids import TASK, WORKFLOW
from maze_protocol.limits import MAX_OPS_PER_REQUEST, MIB

__all__ = [
    "add_edge", "add_task", "check_source", "create", "delete_edge", "delete_task", "describe", "edit",
    "edges", "get_task", "list_all", "look", "put_task", "remove", "send_edit", "tasks", "write_out",
]  # fmt: skip

MAX_SOURCE: Final = MIB
THREAD_TASKS: Final = 500
"""Tasks that are written out in a thread: about five milliseconds of work."""


async def create(call: Call) -> WorkflowSummary:
    """Make an empty workflow, or find the one with that id."""
    request: WorkflowRequest = call.body
    raw = call.new_id() if request.workflow_id is None else raw_id(request.workflow_id, WORKFLOW)
    summary: WorkflowSummary = await call.ask(lambda ticket: CreateWorkflow(ticket, raw, request))
    return summary


async def list_all(call: Call) -> WorkflowList:
    """List all workflows."""
    found: WorkflowList = await call.ask(ListWorkflows)
    return found


async def describe(call: Call) -> WorkflowBody:
    """Return a whole workflow at its newest revision."""
    return await write_out(await look(call, call.id("workflow_id", WORKFLOW)))


async def look(call: Call, workflow_id: bytes) -> Snapshot:
    """Return a workflow as it is now."""
    snapshot: Snapshot = await call.ask(lambda ticket: DescribeWorkflow(ticket, workflow_id))
    return snapshot


async def write_out(snapshot: Snapshot) -> WorkflowBody:
    """Return a workflow as people read it; a large one is written in a thread, so that the head hears others."""
    if len(snapshot.tasks) < THREAD_TASKS:
        return snapshot.body()
    return await asyncio.to_thread(snapshot.body)


async def remove(call: Call) -> WorkflowSummary:
    """Remove a workflow and all its runs; return what it was."""
    raw = call.id("workflow_id", WORKFLOW)
    summary: WorkflowSummary = await call.ask(lambda ticket: RemoveWorkflow(ticket, raw))
    return summary


async def edit(call: Call) -> EditResponse:
    """Apply a list of operations, all or none."""
    return await send_edit(call, call.id("workflow_id", WORKFLOW), call.body)


async def send_edit(call: Call, workflow_id: bytes, request: EditRequest) -> EditResponse:
    """Hand an edit to the core."""
    if len(request.ops) > MAX_OPS_PER_REQUEST:
        raise TooLarge("too_many_ops", f"{len(request.ops)} operations; one edit holds up to {MAX_OPS_PER_REQUEST}")
    request.edit_id = request.edit_id or call.edit_id
    await _check_codes(request.codes)
    await check_uploads(call, request.ops)
    response: EditResponse = await call.ask(lambda ticket: EditWorkflow(ticket, workflow_id, request))
    return response


async def _check_codes(codes: list[CodeBody]) -> None:
    for number, code in enumerate(codes):
        field = f"$.codes[{number}].body"
        if not code.body:
            raise Invalid("invalid_code", f"{field} is empty", field=field)
        if code.kind == "source":
            await check_source(code.body, field)


async def check_source(body: bytes, field: str) -> None:
    """Check that a text is Python and defines a function.

    Raises:
        Invalid: not so; the line is told.
        TooLarge: more than a module may hold.
    """
    if len(body) > MAX_SOURCE:
        raise TooLarge("too_large", f"{field}: {len(body)} bytes of source; up to {MAX_SOURCE} are read", field=field)
    if len(body) >= THREAD_FROM:
        await asyncio.to_thread(_parse_source, body, field)
    else:
        _parse_source(body, field)


def _parse_source(body: bytes, field: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python thinks of a user's style is not the head's business
            # Dedented, as workers read it: the original's client sends a method's lines as they stand in its file.
            tree = ast.parse(textwrap.dedent(body.decode()))
    except SyntaxError as error:
        raise Invalid("invalid_source", f"{field}: {error.msg} (line {error.lineno})", field=field) from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise Invalid("invalid_source", f"{field}: not readable as Python: {error}", field=field) from error
    if not any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in tree.body):
        raise Invalid("invalid_source", f"{field}: its {len(body.splitlines())} lines define no function", field=field)


async def _one(call: Call, op: Op, codes: list[CodeBody] | None = None) -> EditResponse:
    try:
        return await send_edit(call, call.id("workflow_id", WORKFLOW), EditRequest([op], codes or []))
    except Rejected as error:
        # The client sent no list of operations, so no index means anything to it.
        error.op = None
        error.field = error.field.replace("$.ops[0]", "$", 1)
        raise


async def tasks(call: Call) -> TaskList:
    """List the tasks of a workflow in the order in which they were added."""
    return TaskList((await describe(call)).tasks)


async def add_task(call: Call) -> EditResponse:
    """Add a task, with the functions it needs."""
    new: NewTask = call.body
    return await _one(call, AddTask(new.task), new.codes)


async def get_task(call: Call) -> TaskBody:
    """Return one task of a workflow."""
    raw = call.id("task_id", TASK)
    task = (await look(call, call.id("workflow_id", WORKFLOW))).task(raw)
    if task is None:
        raise NotFound("unknown_task", f"no task {call.path('task_id')} in {call.path('workflow_id')}")
    return task


async def put_task(call: Call) -> EditResponse:
    """Replace the definition of an existing task."""
    new: NewTask = call.body
    if new.task.task_id != call.path("task_id"):
        raise Invalid("invalid_body", "$.task.task_id is not the id of the path", field="$.task.task_id")
    return await _one(call, SaveTask(new.task), new.codes)


async def delete_task(call: Call) -> EditResponse:
    """Delete a task and its manual edges."""
    call.id("task_id", TASK)
    return await _one(call, DelTask(call.path("task_id")))


async def edges(call: Call) -> EdgeList:
    """List the edges of a workflow."""
    body = await describe(call)
    return EdgeList(body.edges, body.manual_edges)


async def add_edge(call: Call) -> EditResponse:
    """Add a manual edge; twice is fine."""
    edge: EdgeBody = call.body
    return await _one(call, AddEdge(edge.source, edge.target))


async def delete_edge(call: Call) -> EditResponse:
    """Delete a manual edge."""
    call.id("source", TASK)
    call.id("target", TASK)
    return await _one(call, DelEdge(call.path("source"), call.path("target")))
