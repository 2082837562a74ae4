"""The wire of the original Maze of the seed era, so that its unmodified client works against this head.

Kept: paths, bodies, `{"status": "success"}`, messages of the stream and its bare close 1000, bodies read whatever
their Content-Type. Better than the original, and compatible since its client only looks at 200 or not: failures are
honest 4xx with `{"detail": text}`; a stream can be read again and again; `workflow_id` in messages is the workflow's,
with `run_id` beside it; independent branches go on after a failure and `finish_workflow` comes last.
Objects up to 8 MiB are sent whole, as all values were; larger ones are a reference (`__object__`) to its client.
An input whose producer did not return the output is None as it was, with a warning in the run's log. Ray and LLM
instances are not served: 501 says so.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import WSMsgType, web

from maze_head.api import websocket, workflows
from maze_head.api.call import Call
from maze_head.api.encoder import OpenRun
from maze_head.api.errors import NotServed
from maze_head.api.events import nothing_more, open_run
from maze_head.api.outputs import open_output
from maze_head.api.render import href, object_json, seed_value
from maze_head.api.seed_files import output_path
from maze_head.api.seed_forms import (
    AddTaskForm,
    Done,
    EdgeForm,
    InputParam,
    RunMade,
    SaveTaskForm,
    TaskForm,
    TaskMade,
    TaskRow,
    TaskRows,
    WorkflowForm,
    WorkflowMade,
)
from maze_head.core.errors import Gone, Invalid, NotFound, Unavailable
from maze_head.core.events import CreateWorkflow, SubmitRun
from maze_head.core.snapshot import Snapshot
from maze_protocol.events import (
    SEALING,
    RunEvent,
    RunFinished,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReused,
    TaskStarted,
)
from maze_protocol.files import parse_header
from maze_protocol.http import (
    AddEdge,
    AddTask,
    CodeBody,
    DelEdge,
    DelTask,
    EditRequest,
    InputBody,
    Op,
    RunRequest,
    SaveTask,
    TaskBody,
    WorkflowRequest,
)
from maze_protocol.ids import RUN, TASK, WORKFLOW, format_id, parse_id
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.values import FILE, OutputValue, Value

__all__ = [
    "add_edge", "add_task", "create_workflow", "del_edge", "del_task", "get_workflow_res", "get_workflow_tasks",
    "not_served", "run_workflow", "save_task", "seed_messages",
]  # fmt: skip

UNNAMED: Final = "unnamed"
UNSAVED_AT_MOST: Final = 10_000
WHOLE: Final = ""
"""The key under which a worker returns a result that is no dict."""


# -- authoring ---------------------------------------------------------------------------------------------------


async def create_workflow(call: Call) -> WorkflowMade:
    """Make an empty workflow; the body is ignored."""
    raw = call.new_id()
    await call.ask(lambda ticket: CreateWorkflow(ticket, raw, WorkflowRequest()))
    return WorkflowMade(format_id(raw, WORKFLOW))


async def add_task(call: Call) -> TaskMade:
    """Add a task without a definition yet."""
    form: AddTaskForm = call.body
    task_id = format_id(call.new_id(), TASK)
    task = TaskBody(task_id, form.task_name or UNNAMED, task_type=form.task_type, strict_outputs=False)
    await _edit(call, form, AddTask(task))
    call.unsaved[task_id] = task.name
    if len(call.unsaved) > UNSAVED_AT_MOST:
        del call.unsaved[next(iter(call.unsaved))]
    return TaskMade(task_id)


async def get_workflow_tasks(call: Call) -> TaskRows:
    """List the tasks of a workflow."""
    body = await workflows.write_out(await _workflow(call, call.path("workflow_id")))
    return TaskRows([TaskRow(task.task_id, task.name) for task in body.tasks])


async def save_task(call: Call) -> Done:
    """Define a task; references in its inputs are edges by themselves."""
    form: SaveTaskForm = call.body
    code = await _code(form)
    name = await _name_of(call, form)
    task = TaskBody(
        form.task_id, name, code=code.hash, inputs=_inputs(form), outputs=_outputs(form),
        resources=form.resources or {}, strict_outputs=False,
    )  # fmt: skip
    await _edit(call, form, SaveTask(task), [code])
    return Done()


async def add_edge(call: Call) -> Done:
    """Add an edge; twice is fine."""
    form: EdgeForm = call.body
    await _edit(call, form, AddEdge(form.source_task_id, form.target_task_id))
    return Done()


async def del_edge(call: Call) -> Done:
    """Delete an edge."""
    form: EdgeForm = call.body
    await _edit(call, form, DelEdge(form.source_task_id, form.target_task_id))
    return Done()


async def del_task(call: Call) -> TaskMade:
    """Delete a task and its edges."""
    form: TaskForm = call.body
    await _edit(call, form, DelTask(form.task_id))
    return TaskMade(form.task_id)


async def run_workflow(call: Call) -> RunMade:
    """Run a snapshot of a workflow."""
    form: WorkflowForm = call.body
    _raw(form.workflow_id, WORKFLOW)
    raw, request = call.new_id(), RunRequest(form.workflow_id)
    await call.ask(lambda ticket: SubmitRun(ticket, raw, request))
    return RunMade(format_id(raw, RUN))


def not_served(what: str, instead: str) -> Callable[[Call], Awaitable[Any]]:
    """Make the handler of a route that Maze does not have."""

    async def refuse(call: Call) -> Any:
        raise NotServed("not_served", f"{what}: not served by this head; {instead}")

    return refuse


async def _edit(call: Call, form: WorkflowForm, op: Op, codes: Sequence[CodeBody] = ()) -> None:
    await workflows.send_edit(call, _raw(form.workflow_id, WORKFLOW), EditRequest([op], list(codes)))


async def _workflow(call: Call, text: str) -> Snapshot:
    return await workflows.look(call, _raw(text, WORKFLOW))


async def _name_of(call: Call, form: TaskForm) -> str:
    """Return the name that the task was added with; a save of the original does not repeat it.

    Usually it was added a moment ago. Asking for the whole workflow on every save would make authoring quadratic.
    """
    name = call.unsaved.pop(form.task_id, None)
    if name is not None:
        return name
    snapshot = await _workflow(call, form.workflow_id)
    task = snapshot.task(_raw(form.task_id, TASK))
    if task is None:
        raise NotFound("unknown_task", f"no task {form.task_id[:80]!a} in this workflow")
    return task.name


def _raw(text: str, kind: str) -> bytes:
    """Return an id; any text that is none was never given out by this head, so it is as unknown as any other."""
    try:
        return parse_id(text, kind)
    except ValueError as error:
        raise NotFound(f"unknown_{kind}", f"no {kind} {text[:80]!a}") from error


async def _code(form: SaveTaskForm) -> CodeBody:
    if form.code_ser:
        body, kind = form.code_ser, "pickle"
    elif form.code_str:
        body, kind = form.code_str.encode(), "source"
    else:
        raise Invalid("invalid_code", "code_str or code_ser is required")
    # The original does not say which Python pickled the function; a cluster of its time had one for all, the head's.
    # A guess is better than any: a pickle of another minor version loads, and crashes when it is called.
    return CodeBody(hashlib.blake2b(body, digest_size=16).hexdigest(), kind, sys.version_info[:2], body)


def _inputs(form: SaveTaskForm) -> dict[str, InputBody]:
    params = form.task_input.input_params.values() if form.task_input else ()
    return {param.key: _input(param) for param in params}


def _input(param: InputParam) -> InputBody:
    if param.input_schema == "from_user":
        return InputBody(value=param.value)
    if param.input_schema == "from_task" and isinstance(param.value, str):
        return InputBody(source=param.value)
    raise Invalid("invalid_task", f"input {param.key[:80]!a}: from_user or from_task with a reference is needed")


def _outputs(form: SaveTaskForm) -> list[str]:
    params = form.task_output.output_params.values() if form.task_output else ()
    return list(dict.fromkeys(param.key for param in params))


# -- the stream --------------------------------------------------------------------------------------------------


async def get_workflow_res(call: Call) -> web.StreamResponse:
    """Stream a run from its beginning; the workflow in the path is ignored, as the original did."""
    run = await open_run(call, _raw(call.path("run_id"), RUN))
    return await websocket.stream(call, _frames(call, run), WSMsgType.TEXT, strict=False)


async def _frames(call: Call, run: OpenRun) -> AsyncGenerator[bytes, None]:
    """Yield one message per frame until the log is sealed."""
    hub, run_no, after, sealed = call.services.hub, run.place.run_no, 0, False
    gpus: dict[int, int] = {}
    while not sealed:
        segments = await hub.read(run_no, after)
        for segment in segments:
            for event in segment.events:
                if isinstance(event, TaskLeased) and event.claim.devices:
                    gpus[event.lease] = event.claim.devices[0].index
                outputs: Sequence[OutputValue] = ()
                if isinstance(event, TaskFinished | TaskReused):
                    found = await hub.outputs(run_no, event.task)
                    outputs = [await _whole(call, run, event.task, output) for output in found]
                for message in seed_messages(event, run, outputs, gpus):
                    yield json.dumps(message).encode()
                sealed = isinstance(event, SEALING)
            after = segment.first_seq + len(segment.events) - 1
        if not segments:
            sealed = await nothing_more(call, run, after)


def seed_messages(
    event: RunEvent, run: OpenRun, outputs: Sequence[OutputValue], gpus: dict[int, int]
) -> list[dict[str, Any]]:
    """Return what the original's reader sees of an event: nothing of what it did not know."""
    match event:
        case TaskStarted() if event.rebuild:
            return []
        case TaskStarted():
            return [_start(run, event.task, event.node_ip, event.node, gpus.get(event.lease))]
        case TaskFinished():
            return [_about(run, event.task, "finish_task", _result(run, event.task, outputs))]
        case TaskReused():
            finished = _about(run, event.task, "finish_task", _result(run, event.task, outputs))
            return [_start(run, event.task, "", "", None), finished]
        case TaskFailed():
            return [_about(run, event.task, "task_exception", event.error.text)]
        case TaskCancelled() if event.was_running:
            return [_about(run, event.task, "task_exception", f"Cancelled: {event.reason}")]
        case RunFinished():
            return [{"type": "finish_workflow", "data": {"run_id": run.names.run_id}}]
        case _:
            return []


def _start(run: OpenRun, task: int, node_ip: str, node: str, gpu: int | None) -> dict[str, Any]:
    place = {"node_ip": node_ip, "node_id": node, "gpu_id": gpu}
    return {"type": "start_task", "data": {**_task(run, task), **place}}


def _about(run: OpenRun, task: int, kind: str, result: Any) -> dict[str, Any]:
    return {"type": kind, "data": {**_task(run, task), "result": result}}


def _task(run: OpenRun, task: int) -> dict[str, Any]:
    return {**run.names.run(), "task_id": run.names.task_id(task)}


def _result(run: OpenRun, task: int, outputs: Sequence[OutputValue]) -> Any:
    if len(outputs) == 1 and outputs[0].key == WHOLE:
        return _rendered(run, task, outputs[0])
    return {output.key: _rendered(run, task, output) for output in outputs}


def _rendered(run: OpenRun, task: int, output: OutputValue) -> Any:
    if output.value.codec == FILE:
        return output_path(run.names.run_id, run.names.task_id(task), output.key, _file_name(output))
    if output.value.ref is None:
        return seed_value(output.value)
    return object_json(output, href(run.names.run_id, run.names.task_id(task), output.key))


def _file_name(output: OutputValue) -> str:
    try:
        return parse_header(output.value.body).name
    except ValueError:
        return output.key.replace("/", "_")


async def _whole(call: Call, run: OpenRun, task: int, output: OutputValue) -> OutputValue:
    """Return an output with its bytes, as the original sent them, unless it is large or nobody has it any more."""
    value = output.value
    if value.ref is None or value.size > MAX_TASK_VALUES:
        return output
    try:
        body = await open_output(call, run, task, output)
    except (Gone, Unavailable):
        return output
    try:
        data = await body.read(0, body.size)
    finally:
        body.close()
    return OutputValue(output.key, Value(value.codec, len(data), data), output.type)
