"""What clients ask to change: workflows, edits, runs. Each function answers with a value or raises `Rejected`.

The scheduler makes the one `Reply` of it. A repeated request (same workflow id, edit id, run id) gets the answer of
the first one and changes nothing.
"""

from __future__ import annotations

from maze_head.core import events as asked
from maze_head.core.codes import CodeFacts, check_code, pack_code
from maze_head.core.contents import Contents
from maze_head.core.describe import summarise_workflow
from maze_head.core.edits import UnknownTask, apply_ops, check_base
from maze_head.core.effects import AppendCluster, SaveCode
from maze_head.core.ends import cancel_run as halt
from maze_head.core.ends import seal_if_over
from maze_head.core.errors import Conflict, Invalid, Rejected, Unavailable
from maze_head.core.fetching import need
from maze_head.core.graph import Graph
from maze_head.core.infeasible import announce
from maze_head.core.lookups import find_run, find_workflow, refuse_gone, show
from maze_head.core.names import named
from maze_head.core.runs import Run
from maze_head.core.sharing import project_key
from maze_head.core.specs import CodeOf
from maze_head.core.state import State
from maze_head.core.workflows import Edit, Workflow
from maze_protocol.declare import check_priority
from maze_protocol.events import RunSubmitted
from maze_protocol.http import CodeBody, EditResponse, RunBody, RunRequest, WorkflowSummary
from maze_protocol.ids import RUN, TASK, WORKFLOW, format_id, parse_id
from maze_protocol.limits import MAX_OPS_PER_REQUEST, NAME_LENGTH

__all__ = ["begin_run", "cancel_run", "check_room", "create_workflow", "edit_workflow", "submit_run"]

MAX_TASKS = 1 << 24
"""Task numbers of one run, as the journal keys them."""
REASON_LENGTH = 500


def create_workflow(state: State, command: asked.CreateWorkflow) -> WorkflowSummary:
    """Make an empty workflow, or return the one of that id."""
    workflow = state.workflows.get(command.workflow_id)
    if workflow is None:
        refuse_gone(state, command.workflow_id, WORKFLOW)
        name = command.request.name
        if name:
            named(name, "the workflow's name", "$.name")
        workflow = state.workflows[command.workflow_id] = Workflow(command.workflow_id, name, state.now.wall)
        body = {"workflow_id": workflow.id, "name": name, "time": state.now.wall}
        state.emit(AppendCluster("workflow_created", body))
        state.note_idle(workflow.id)
    return summarise_workflow(workflow)


def edit_workflow(state: State, command: asked.EditWorkflow) -> EditResponse:
    """Apply operations all or none."""
    workflow, request = need(state, command.workflow_id), command.request
    if request.edit_id and request.edit_id in workflow.edits:
        return _edited(workflow, workflow.edits[request.edit_id])
    if len(request.ops) > MAX_OPS_PER_REQUEST:
        message = f"{len(request.ops)} operations: at most {MAX_OPS_PER_REQUEST} in one request"
        raise Invalid("too_many_ops", message, field="$.ops")
    if len(request.edit_id) > NAME_LENGTH:
        raise Invalid("invalid_edit", f"edit_id is longer than {NAME_LENGTH} characters", field="$.edit_id")
    check_base(workflow, request.base_revision)
    codes = _new_codes(state, request.codes)
    edit = Edit(workflow)
    try:
        apply_ops(edit, request.ops, _finder(state, codes))
    except UnknownTask as error:
        edit.take_back()
        raise _foreign(state, error) or error from None
    except Rejected:
        edit.take_back()
        raise
    _save_codes(state, codes)
    if edit.changes:
        _keep_edit(state, workflow, edit, request.edit_id)
    return _edited(workflow, workflow.revision)


def _foreign(state: State, error: UnknownTask) -> Invalid | None:
    """Return the refusal of a task that another workflow has; None if no workflow that is at hand has it."""
    at_hand = (each for each in state.workflows.values() if not each.away)
    home = next((each for each in at_hand if error.task_id in each.contents.tasks), None)
    if home is None:
        return None
    message = f"task {format_id(error.task_id, TASK)} belongs to workflow {format_id(home.id, WORKFLOW)}"
    return Invalid("foreign_task", message, hint=error.hint, field=error.field, op=error.op)


def _edited(workflow: Workflow, revision: int) -> EditResponse:
    return EditResponse(format_id(workflow.id, WORKFLOW), revision)


def _new_codes(state: State, codes: list[CodeBody]) -> dict[bytes, tuple[CodeFacts, CodeBody]]:
    new: dict[bytes, tuple[CodeFacts, CodeBody]] = {}
    for index, code in enumerate(codes):
        digest, facts = check_code(code, f"$.codes[{index}]")
        if digest not in state.codes:
            new[digest] = facts, code
    return new


def _finder(state: State, new: dict[bytes, tuple[CodeFacts, CodeBody]]) -> CodeOf:
    """Return what looks functions up among those that came with an edit and those that are known."""

    def find(digest: bytes) -> CodeFacts | None:
        return new[digest][0] if digest in new else state.codes.get(digest)

    return find


def _save_codes(state: State, codes: dict[bytes, tuple[CodeFacts, CodeBody]]) -> None:
    for digest, (facts, code) in codes.items():
        state.codes[digest] = facts
        state.emit(SaveCode(digest, pack_code(code)))
        body = {"hash": digest, "kind": facts.kind, "python": list(facts.python)}
        state.emit(AppendCluster("code_saved", body))


def _keep_edit(state: State, workflow: Workflow, edit: Edit, edit_id: str) -> None:
    key = workflow.id, workflow.revision
    before = state.graphs.get(key)
    changes, codes, uploads = edit.keep(edit_id), edit.codes(), edit.uploads()
    state.shelf.take(workflow.id)
    if before is not None:
        state.drop_graph(before)
    state.settle_graph(key)
    state.note_idle(workflow.id)
    state.counters.edits += 1
    state.code_users.note(workflow.id, codes)
    state.use_uploads(workflow.id, uploads)
    body = {
        "workflow_id": workflow.id, "revision": workflow.revision, "edit_id": edit_id, "changes": changes,
        "codes": codes, "tasks": workflow.size,
    }  # fmt: skip
    if uploads:
        body["uploads"] = uploads
    state.emit(AppendCluster("workflow_edited", body))


def submit_run(state: State, command: asked.SubmitRun) -> RunBody:
    """Run a snapshot of a workflow, or return the run of that id."""
    request = command.request
    workflow = find_workflow(state, _id_of(request.workflow_id, WORKFLOW, "$.workflow_id"))
    number = state.run_numbers.get(command.run_id)
    if number is not None:
        return _same_run(state, number, request.workflow_id)
    refuse_gone(state, command.run_id, RUN)
    project = project_key(request.project)
    graph = _graph(state, workflow, request.revision)
    _check_run(request)
    check_room(state, len(graph))
    state.save_graph(graph)
    submitted = RunSubmitted(
        command.run_id,
        workflow.id,
        graph.version,
        len(graph),
        request.fail_fast,
        request.priority,
        project,
        wait_for_capacity=request.wait_for_capacity,
    )
    return announce(state, begin_run(state, submitted, graph))


def _check_run(request: RunRequest) -> None:
    try:
        check_priority(request.priority)
    except ValueError as error:
        raise Invalid("invalid_run", str(error), field="$.priority") from error


def check_room(state: State, tasks: int) -> None:
    """Refuse so many more tasks if too many would be pending.

    Raises:
        Invalid: more than this head ever takes.
        Unavailable: not now.
    """
    most = state.settings.max_pending_tasks
    if tasks > most:
        message = f"{tasks} tasks: this head takes at most {most} at a time"
        raise Invalid("too_many_tasks", message, hint="split the workflow, or raise --max-pending-tasks of the head")
    pending = tasks + state.pending
    if pending > most:
        message = f"{pending} tasks would be pending, and this head takes at most {most}"
        raise Unavailable("too_many_pending", message, hint="try again when some of them are done")


def begin_run(state: State, submitted: RunSubmitted, graph: Graph) -> Run:
    """Open a new run of a graph."""
    run = Run(state.last_run_no + 1, submitted, graph, state.now.wall)
    state.open_run(run)
    state.record(run, submitted)
    state.counters.runs_submitted += 1
    return run


def _same_run(state: State, number: int, workflow_id: str) -> RunBody:
    body = show(state, number)
    if body.workflow_id != workflow_id:
        raise Conflict("run_exists", f"{body.run_id} is a run of {body.workflow_id}", field="$.run_id")
    return body


def _graph(state: State, workflow: Workflow, revision: int | None) -> Graph:
    """Return the version to run, compiled."""
    if workflow.id in state.shelf.awaited:
        need(state, workflow.id)  # behind the edits that wait, though the graph may be here for another run
    wanted = workflow.revision if revision is None else revision
    graph = state.graphs.get((workflow.id, wanted))
    if graph is not None:
        return graph
    if wanted != workflow.revision:
        message = f"the workflow is at revision {workflow.revision}, not {wanted}"
        raise Conflict("edit_conflict", message, hint="run the current revision", field="$.revision")
    contents = need(state, workflow.id).contents
    if not contents.tasks:
        raise Invalid("empty_workflow", "the workflow has no tasks", hint="add a task before running it")
    if contents.unsaved:
        raise _unsaved(contents)
    if len(contents.tasks) >= MAX_TASKS:
        raise Invalid("too_many_tasks", f"{len(contents.tasks)} tasks: at most {MAX_TASKS - 1} in one run")
    graph = state.graphs[workflow.id, wanted] = workflow.compile()
    return graph


def _unsaved(contents: Contents) -> Invalid:
    task_id = next(iter(contents.unsaved))
    spec = contents.spec(task_id)
    name = spec.name if spec else ""
    more = len(contents.unsaved) - 1
    others = f" (and {more} more)" if more else ""
    message = f"task {name!r} {format_id(task_id, TASK)}{others} has no function yet"
    return Invalid("unsaved_task", message, hint="save it, or delete it, before running")


def cancel_run(state: State, command: asked.CancelRun) -> RunBody:
    """Stop a run; one that is over stays as it ended."""
    number = find_run(state, command.run_id)
    run = state.runs.get(number)
    if run is not None:
        halt(state, run, command.reason[:REASON_LENGTH])
        seal_if_over(state, run)
    return show(state, number)


def _id_of(text: str, kind: str, field: str) -> bytes:
    try:
        return parse_id(text, kind)
    except ValueError as error:
        raise Invalid("invalid_id", str(error), field=field) from error
