"""From the journal back to the state: the same `apply` as live, then one event per unfinished attempt.

Order: the driver restores in commit order; a graph comes before the segments that run it. Workflows come back by
replaying their journalled edits, runs by replaying their segments. A sealed run keeps only its summary. Nodes are not
restored: they say HELLO again. Lease tokens of an earlier epoch stay out of force for good.
"""

from __future__ import annotations

from typing import Any

from maze_head.core.codes import CodeFacts
from maze_head.core.describe import run_body
from maze_head.core.graph import Graph, load_graph
from maze_head.core.runs import Run
from maze_head.core.sealed import unpack_sealed
from maze_head.core.state import State
from maze_head.core.transitions import LEASED, READY, RUNNING
from maze_head.core.workflows import Workflow, replay
from maze_protocol.events import (
    AttemptInterrupted,
    RunEvent,
    RunSubmitted,
    Segment,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
)  # fmt: skip
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, WORKFLOW, parse_id

__all__ = ["finish", "restore_cluster", "restore_graph", "restore_sealed", "restore_segment"]


def restore_graph(state: State, workflow_id: bytes, version: int, body: bytes) -> None:
    """Take in a saved version of a workflow's graph; it is compiled for the first run that needs it."""
    state.saved_graphs[workflow_id, version] = body


def restore_cluster(state: State, kind: str, body: dict[str, Any], time: float) -> None:
    """Take in an event of the cluster's log; kinds that carry no state are skipped."""
    if kind == "workflow_created":
        created_at = float(body.get("time", time))
        state.workflows[body["workflow_id"]] = Workflow(body["workflow_id"], body["name"], created_at)
    elif kind == "workflow_edited":
        _edit(state, body)
    elif kind == "code_saved":
        major, minor = body["python"]
        state.codes[body["hash"]] = CodeFacts(body["kind"], (major, minor))
    elif kind == "runs_removed":
        for number, run_id in body["runs"]:
            state.forget_run(number, run_id, body["reason"])
    elif kind == "workflow_removed":
        state.forget_workflow(body["workflow_id"], body["codes"])


def _edit(state: State, body: dict[str, Any]) -> None:
    workflow = state.workflows[body["workflow_id"]]
    codes = body.get("codes")
    if codes is None:  # journalled before version 2 of the schema
        codes = replay(workflow, body["changes"], body["edit_id"])
    else:
        workflow.postpone(body["changes"], body["edit_id"], body["tasks"])
    for hash_ in codes:
        state.code_users.setdefault(hash_, {})[workflow.id] = None


def restore_sealed(state: State, run_no: int, packed: bytes) -> RunBody:
    """Take in the summary of a run that is over, and return what it says."""
    sealed = unpack_sealed(packed)
    graph = parse_id(sealed.body.workflow_id, WORKFLOW), sealed.body.revision
    state.keep_sealed(run_no, parse_id(sealed.body.run_id, RUN), graph, sealed)
    return sealed.body


def restore_segment(state: State, run_no: int, segment: Segment) -> None:
    """Take in the events that one commit added to a run's log."""
    first = segment.events[0]
    if isinstance(first, RunSubmitted):
        state.open_run(Run(run_no, first, _graph(state, first), segment.time))
    run = state.runs[run_no]
    if segment.first_seq != run.next_seq:
        raise ValueError(f"run {run_no}: the log continues at {segment.first_seq}, {run.next_seq} was expected")
    for event in segment.events:
        run.apply(event)
        _remember(state, event)
    # Which tasks wait in which order is settled at the end, when all runs are there.
    run.fresh.clear()
    run.again.clear()
    if run.sealed_by is not None:
        run.ended_at = segment.time
        state.close_run(run, run_body(state, run))


def _graph(state: State, submitted: RunSubmitted) -> Graph:
    key = submitted.workflow_id, submitted.version
    graph = state.graphs.get(key)
    if graph is None:
        graph = state.graphs[key] = load_graph(*key, state.saved_graphs[key])
    return graph


def _remember(state: State, event: RunEvent) -> None:
    if isinstance(event, (TaskFinished, TaskFailed)):
        state.leases.remember(event.lease)


def finish(state: State) -> None:
    """Queue what is ready, older runs first, and interrupt what the earlier head had leased."""
    _settle_graphs(state)
    state.sealed = dict(sorted(state.sealed.items(), key=lambda item: item[1].body.ended_at or 0.0))
    for run in list(state.runs.values()):
        run.fresh.extend(task for task in range(len(run.graph)) if run.phase[task] == READY)
        state.enqueue(run)
        state.touched.setdefault(run.no, [])
    for run in reversed(state.runs.values()):
        _interrupt(state, run)


def _settle_graphs(state: State) -> None:
    """Note which versions are saved; the compiled ones that no live run uses are compiled again when they are run."""
    for key in state.saved_graphs:
        state.graph_runs.setdefault(key, 0)
        state.settle_graph(key)
    state.saved_graphs.clear()
    for graph in list(state.graphs.values()):
        state.drop_graph(graph)


def _interrupt(state: State, run: Run) -> None:
    held = [task for task in range(len(run.graph)) if run.phase[task] in (LEASED, RUNNING)]
    for task in reversed(held):
        if run.halting:
            was_running = run.phase[task] == RUNNING
            state.record(run, TaskCancelled(task, run.attempt[task], "the head restarted", was_running))
        else:
            state.record(run, AttemptInterrupted(task, run.attempt[task], run.lease[task]))
