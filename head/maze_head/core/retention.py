"""How long runs are kept once they are over, and how they go: by count, by age, by the size of the journal, or because
somebody asks. And workflows that nobody uses.

Rules
* Only runs that are over go, the oldest first, and whole: the fact is in the cluster's log, and from its commit on the
  run is unknown but for the word that it was removed (410). The rows follow little by little (sweep.py).
* A few per tick: removing is never in anybody's way.
* A version of a graph goes with the last run of it unless it is its workflow's newest; edits and functions go with the
  workflow.
* A workflow that has a name goes only because somebody asks. One without, of which no run is kept, goes when it was not
  used (edited or run: who looks does not count) for as long as runs are kept, or if it is an hour at least and as many
  as runs are kept came to be unused later: who makes a workflow for each request does not fill the head for ever. They
  also go, after that hour, if the journal is too large.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import islice
from typing import Final

from maze_head.core import events as asked
from maze_head.core.describe import summarise_workflow
from maze_head.core.effects import AppendCluster, DropRuns, DropWorkflow
from maze_head.core.errors import Conflict
from maze_head.core.lookups import find_run, find_workflow, show
from maze_head.core.objects import drop_runs
from maze_head.core.state import EXPIRED, REMOVED, State
from maze_head.core.workflows import Workflow
from maze_protocol.http import RunBody, WorkflowSummary
from maze_protocol.ids import RUN, WORKFLOW, format_id, parse_id

__all__ = ["expire", "remove_run", "remove_workflow", "shrink"]

AT_ONCE: Final = 64
"""Most runs that go in one tick."""
SHRINK_PART: Final = 50
"""One of so many runs goes when the journal is too large; then it is measured again."""
DAY: Final = 86_400.0
UNUSED_AT_LEAST: Final = 3_600.0
"""A workflow that was used more recently is one that somebody is about to use, however many there are."""


def expire(state: State) -> None:
    """Remove the oldest runs, and the workflows that were not used for longest, beyond the limits of count and age."""
    # The only use of the wall clock for a decision: days are what people mean by days.
    days = state.settings.keep_days
    horizon = state.now.wall - days * DAY if days else 0.0
    _expire_runs(state, _surplus(state, state.sealed), horizon)
    _expire_workflows(state, _surplus(state, state.idle), horizon)


def _surplus(state: State, kept: Sized) -> int:
    return len(kept) - state.settings.keep_runs if state.settings.keep_runs else 0


def _expire_runs(state: State, surplus: int, horizon: float) -> None:
    if surplus <= 0 and not horizon:
        return
    old: list[int] = []
    for number, sealed in state.sealed.items():
        ended_at = sealed.body.ended_at or 0.0
        if len(old) >= AT_ONCE or (len(old) >= surplus and ended_at >= horizon):
            break
        old.append(number)
    _remove(state, old, EXPIRED)


def _expire_workflows(state: State, surplus: int, horizon: float) -> None:
    late = state.now.wall - UNUSED_AT_LEAST
    old: list[bytes] = []
    for workflow_id, since in state.idle.items():
        goes = since < horizon or (len(old) < surplus and since < late)
        if not goes or len(old) >= AT_ONCE:
            break
        old.append(workflow_id)
    for workflow_id in old:
        _drop_workflow(state, state.workflows[workflow_id], EXPIRED)


def shrink(state: State, event: asked.JournalSized) -> None:
    """Remove some of the oldest runs, and of the workflows that nobody uses, if the journal is too large."""
    limit = state.settings.keep_bytes
    if limit and event.used > limit:
        _remove(state, list(islice(state.sealed, _part(state.sealed))), EXPIRED)
        _expire_workflows(state, _part(state.idle), 0.0)


def _part(kept: Sized) -> int:
    return min(AT_ONCE, len(kept) // SHRINK_PART + 1)


def remove_run(state: State, command: asked.RemoveRun) -> RunBody:
    """Remove a run that is over; return what it was."""
    number = find_run(state, command.run_id)
    body = show(state, number)
    if number in state.runs:
        message = f"{body.run_id} is not over ({body.status})"
        raise Conflict("run_not_over", message, hint="cancel it, and wait for its end")
    _remove(state, [number], REMOVED)
    return body


def remove_workflow(state: State, command: asked.RemoveWorkflow) -> WorkflowSummary:
    """Remove a workflow with all its runs; return what it was."""
    workflow = find_workflow(state, command.workflow_id)
    summary = summarise_workflow(workflow)
    if state.runs_of(workflow.id):
        _remove_runs_of(state, workflow)
    _drop_workflow(state, workflow, REMOVED)
    return summary


def _remove_runs_of(state: State, workflow: Workflow) -> None:
    live = next((run for run in state.runs.values() if run.submitted.workflow_id == workflow.id), None)
    if live is not None:
        message = f"{format_id(live.submitted.run_id, RUN)} of this workflow is not over"
        raise Conflict("run_not_over", message, hint="cancel it, and wait for its end")
    text = format_id(workflow.id, WORKFLOW)
    _remove(state, [number for number, sealed in state.sealed.items() if sealed.body.workflow_id == text], REMOVED)


def _drop_workflow(state: State, workflow: Workflow, reason: str) -> None:
    codes = state.code_users.only_of(workflow.id)
    body = {"workflow_id": workflow.id, "codes": codes, "reason": reason}
    state.emit(AppendCluster("workflow_removed", body))
    state.forget_workflow(workflow.id, codes, reason)
    for version in list(state.graph_runs.get(workflow.id, ())):
        state.settle_graph((workflow.id, version))
    state.emit(DropWorkflow(workflow.id, tuple(codes)))


def _remove(state: State, numbers: Sequence[int], reason: str) -> None:
    if not numbers:
        return
    bodies = [(number, state.sealed[number].body) for number in numbers]
    runs = [(number, parse_id(body.run_id, RUN)) for number, body in bodies]
    state.emit(AppendCluster("runs_removed", {"reason": reason, "runs": runs}))
    drop_runs(state, numbers)
    state.emit(DropRuns(tuple(numbers)))
    for number, run_id in runs:
        state.forget_run(number, run_id, reason)
    for key in dict.fromkeys((parse_id(body.workflow_id, WORKFLOW), body.revision) for _, body in bodies):
        state.settle_graph(key)
    state.counters.runs_removed += len(runs)
