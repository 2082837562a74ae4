"""What clients ask to see. Reads only: no event, no effect but the answer.

Runs that are over are known by their summary; their tasks and logs are in the journal (fold.py).
"""

from __future__ import annotations

import msgspec

from maze_head.core import events as asked
from maze_head.core.describe import counters, describe_nodes, summarise_workflow
from maze_head.core.effects import LogPlace, ObjectPlace
from maze_head.core.errors import NotFound
from maze_head.core.explain import explain, over
from maze_head.core.fetching import need
from maze_head.core.graph import Graph
from maze_head.core.lookups import find_run, show
from maze_head.core.objects import Copies, bytes_on_nodes
from maze_head.core.references import HEAD, reference
from maze_head.core.runs import Run
from maze_head.core.sharing import describe_limits
from maze_head.core.snapshot import Snapshot
from maze_head.core.state import State
from maze_head.core.transitions import IS_OVER
from maze_head.core.waiting import demand_of, explain_all
from maze_protocol.cluster import LimitList, NodeList
from maze_protocol.http import RunBody, RunList, WorkflowList
from maze_protocol.ids import RUN, TASK, WORKFLOW, format_id, parse_id
from maze_protocol.waiting import Demand, Explanation, RunExplanation

__all__ = [
    "count",
    "explain_run",
    "explain_task",
    "find_object",
    "list_limits",
    "list_runs",
    "list_uploads",
    "list_workflows",
    "locate_log",
    "locate_object",
    "show_demand",
    "show_nodes",
    "show_run",
    "show_workflow",
]


def show_workflow(state: State, command: asked.DescribeWorkflow) -> Snapshot:
    """Return a whole graph, to be written out outside the turn."""
    return Snapshot.of(need(state, command.workflow_id))


def list_workflows(state: State, command: asked.ListWorkflows) -> WorkflowList:
    """Return all workflows, oldest first."""
    return WorkflowList([summarise_workflow(workflow) for workflow in state.workflows.values()])


def show_run(state: State, command: asked.DescribeRun) -> RunBody:
    """Return one run."""
    number = find_run(state, command.run_id)
    return msgspec.structs.replace(show(state, number), object_bytes=bytes_on_nodes(state, number))


def list_runs(state: State, command: asked.ListRuns) -> RunList:
    """Return a page of runs, newest first; `next` is the number to ask for as `before`."""
    newest, oldest = state.last_run_no, min(state.run_numbers.values(), default=1)
    number = min(command.before - 1, newest) if command.before > 0 else newest
    wanted = format_id(command.workflow_id, WORKFLOW) if command.workflow_id is not None else None
    runs: list[RunBody] = []
    while number >= oldest and len(runs) < max(1, command.limit):
        if number in state.runs or number in state.sealed:
            body = show(state, number)
            if wanted in (None, body.workflow_id):
                runs.append(body)
        number -= 1
    return RunList(runs, str(number + 1) if number >= oldest else "")


def show_nodes(state: State, command: asked.DescribeNodes) -> NodeList:
    """Return all nodes."""
    return describe_nodes(state)


def list_limits(state: State, command: asked.ListLimits) -> LimitList:
    """Return all limits and projects."""
    return describe_limits(state)


def count(state: State, command: asked.CountersAsked) -> dict[str, int | float]:
    """Return totals and gauges."""
    return counters(state)


def locate_log(state: State, command: asked.LocateLog) -> LogPlace:
    """Say where the output of an attempt is."""
    number = find_run(state, command.run_id)
    run = state.runs.get(number)
    if run is None:
        return _sealed_log(state, number, command)
    task = _task_number(run, command.task_id)
    latest = run.attempt[task]
    attempt = command.attempt or latest
    _check_attempt(attempt, latest)
    if attempt < latest:
        return LogPlace(number, task, attempt, 0, None, over=True)
    lease = state.leases.current.get(run.lease[task])
    link = lease.node.link if lease is not None else None
    return LogPlace(number, task, attempt, run.lease[task], link, IS_OVER[run.phase[task]])


def locate_object(state: State, command: asked.LocateObject) -> ObjectPlace:
    """Say who has an output that is an object."""
    number, task = find_run(state, command.run_id), command.task_no
    copies = state.objects.find(number, task)
    if copies is None or command.output not in copies.parts:
        return ObjectPlace(number, task, command.output, None, kept=False)
    # Under the number that was asked for, though a later run may have taken it over.
    return _place(state, copies, command.output, number)


def list_uploads(state: State, command: asked.ListUploads) -> frozenset[bytes]:
    """Return what clients uploaded and workflows have as inputs."""
    return frozenset(hash_ for hashes in state.uploads.values() for hash_ in hashes)


def find_object(state: State, command: asked.FindObject) -> ObjectPlace | None:
    """Say which output an object is, and who has it."""
    copies = state.objects.made.get(command.lease)
    if copies is None or command.output not in copies.parts:
        return None
    return _place(state, copies, command.output, copies.run_no)


def _place(state: State, copies: Copies, output: int, run_no: int) -> ObjectPlace:
    ref = reference(state, copies, output, HEAD)
    part = copies.parts[output]
    return ObjectPlace(run_no, copies.task, output, ref if ref.holders else None, part.kept, part.like)


def _sealed_log(state: State, number: int, command: asked.LocateLog) -> LogPlace:
    sealed, task = state.sealed[number], command.task_no
    if task < 0:
        graph = _sealed_graph(state, sealed.body)
        if graph is None:
            raise NotFound("run_sealed", "the run is over and its workflow was edited since: ask by task number")
        task = graph.index.get(command.task_id, -1)
    if not 0 <= task < sealed.body.tasks:
        raise _unknown_task(command.task_id)
    latest = sealed.attempts.get(task, 1)
    attempt = command.attempt or latest
    _check_attempt(attempt, latest)
    return LogPlace(number, task, attempt, 0, None, over=True)


def _sealed_graph(state: State, body: RunBody) -> Graph | None:
    return state.graphs.get((parse_id(body.workflow_id, WORKFLOW), body.revision))


def _check_attempt(attempt: int, latest: int) -> None:
    if attempt > latest:
        raise NotFound("unknown_attempt", f"the task had {latest} attempts")


def _task_number(run: Run, task_id: bytes) -> int:
    task = run.graph.index.get(task_id)
    if task is None:
        raise _unknown_task(task_id)
    return task


def _unknown_task(task_id: bytes) -> NotFound:
    return NotFound("unknown_task", f"no task {format_id(task_id, TASK)} in this run")


def explain_task(state: State, command: asked.ExplainTask) -> Explanation:
    """Say why a task has not started."""
    number = find_run(state, command.run_id)
    run = state.runs.get(number)
    if run is None:
        return over(state.sealed[number].body.status)
    return explain(state, run, _task_number(run, command.task_id))


def explain_run(state: State, command: asked.ExplainRun) -> RunExplanation:
    """Say why tasks of a run have not started."""
    run = state.runs.get(find_run(state, command.run_id))
    return RunExplanation(format_id(command.run_id, RUN), []) if run is None else explain_all(state, run)


def show_demand(state: State, command: asked.DemandAsked) -> Demand:
    """Say what waits for nodes."""
    return demand_of(state)
