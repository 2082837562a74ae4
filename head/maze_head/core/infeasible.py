"""Requests that no member of the cluster could ever meet: told when a run is submitted, and for as long as it waits.

* Judged per shape, never per task. A verdict holds until the nodes change (`State.roster`), and for a second at most,
  since nodes leave by the clock.
* As long as no node is a member there is nothing to judge by, and nothing is told.
* A run that does not wait for capacity (`wait_for_capacity=False`) fails such tasks, also for want of any node: at its
  submission all of them, later each one that is ready.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_head.core.describe import run_body
from maze_head.core.ends import fail, seal_if_over
from maze_head.core.graph import Shape
from maze_head.core.prospects import hopeless, unfit
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import READY, WAITING
from maze_protocol.events import TaskFailed, TaskWarned
from maze_protocol.http import InfeasibleTask, RunBody
from maze_protocol.ids import TASK, format_id
from maze_protocol.messages import ErrorInfo
from maze_protocol.waiting import Explanation

__all__ = ["announce", "find_infeasible", "give_up"]

TOLD_AT_MOST: Final = 5
VERDICT_SECONDS: Final = 1.0
VERDICTS_KEPT: Final = 4096


def find_infeasible(state: State, run: Run) -> list[InfeasibleTask]:
    """Return tasks of a live run that no member could ever take: the first of each shape, and at most five."""
    return [_shown(run, task, verdict) for task, verdict in _found(state, run)]


def announce(state: State, run: Run) -> RunBody:
    """Write into the log of a new run what no member could ever take, and return what to answer to who submits it."""
    found = _found(state, run)
    told = [_shown(run, task, verdict) for task, verdict in found]
    if run.submitted.wait_for_capacity:
        for task, verdict in found:
            state.record(run, TaskWarned(task, verdict.text))
    elif found:
        _fail(state, run, WAITING, READY)
        seal_if_over(state, run)
    return msgspec.structs.replace(run_body(state, run), infeasible=told)


def give_up(state: State) -> None:
    """Fail the ready tasks that do not wait for capacity and that no member could ever take."""
    for run in list(state.impatient.values()):
        if run.counts[READY]:
            _fail(state, run, READY)


def _found(state: State, run: Run) -> list[tuple[int, Explanation]]:
    found: list[tuple[int, Explanation]] = []
    for number, shape in enumerate(run.graph.shapes):
        verdict = _verdict(state, run, shape)
        task = next(run.of_shape(number, WAITING, READY), None) if verdict is not None else None
        if verdict is not None and task is not None:
            found.append((task, verdict))
        if len(found) == TOLD_AT_MOST:
            break
    return found


def _verdict(state: State, run: Run, shape: Shape) -> Explanation | None:
    """Return why nobody could ever take a shape, as it was found lately."""
    patient = run.submitted.wait_for_capacity
    known = state.verdicts.get((shape, patient))
    if known is not None and known[0] == state.roster and state.now.mono < known[1]:
        return known[2]
    if len(state.verdicts) >= VERDICTS_KEPT:
        state.verdicts.clear()
    verdict = (unfit if patient else hopeless)(state, shape)
    state.verdicts[shape, patient] = state.roster, state.now.mono + VERDICT_SECONDS, verdict
    return verdict


def _fail(state: State, run: Run, *phases: int) -> None:
    for number, shape in enumerate(run.graph.shapes):
        verdict = _verdict(state, run, shape)
        if verdict is None:
            continue
        error = ErrorInfo("infeasible", "Infeasible", verdict.text)
        for task in run.of_shape(number, *phases):
            fail(state, run, TaskFailed(task, run.attempt[task], 0, error))


def _shown(run: Run, task: int, verdict: Explanation) -> InfeasibleTask:
    return InfeasibleTask(format_id(run.graph.ids[task], TASK), run.graph.task_name(task), verdict.text)
