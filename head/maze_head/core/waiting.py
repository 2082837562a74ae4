"""Why all the tasks of a run wait, and what all runs wait for: explain for many, at a cost by kinds and not by tasks.

* Tasks of a run that are of one shape and in the same situation are one *kind*, and one of them is asked. Situations
  are rare but for the plain one: a pause, another node than the last, a larger claim, a node of its own.
* How many there are is counted as tasks become ready (`Run.ready_of`), so nobody goes through them.
* The most numerous kinds are explained; of the others only the number of their tasks is told (`more`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from maze_head.core.backlog import shape_of
from maze_head.core.explain import explain
from maze_head.core.graph import Shape
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import READY, WAITING
from maze_protocol.ids import RUN, TASK, format_id
from maze_protocol.waiting import (
    Demand,
    NamedTask,
    RunExplanation,
    ShapeBody,
    ShapeDemand,
    WaitingGroup,
)

__all__ = ["demand_of", "explain_all", "shape_body"]

NAMED_AT_MOST: Final = 5
KINDS_AT_MOST: Final = 20


class _Kind(NamedTuple):
    """Ready tasks of one shape in one situation."""

    size: int
    shape: int
    tasks: dict[int, None] | None
    """All of them, if the situation is not the plain one."""


def explain_all(state: State, run: Run) -> RunExplanation:
    """Return why the tasks of a live run that no node has do not start."""
    apart = _apart(state, run)
    kinds = sorted(_kinds(run, apart), key=lambda kind: -kind.size)
    groups = [_group(state, run, kind, _first(run, kind, apart)) for kind in kinds[:KINDS_AT_MOST]]
    count = run.counts[WAITING]
    if count:
        tasks = list(islice(_waiting(run), NAMED_AT_MOST))
        first = explain(state, run, tasks[0])
        groups.append(WaitingGroup(first.code, first.text, count, _named(run, tasks)))
    groups.sort(key=lambda group: -group.count)
    more = sum(kind.size for kind in kinds[KINDS_AT_MOST:])
    return RunExplanation(format_id(run.submitted.run_id, RUN), groups, more)


_Apart = dict[tuple[int, str], dict[int, None]]


def _apart(state: State, run: Run) -> _Apart:
    """Return the ready tasks that are in a situation of their own, by their shape's number and that situation."""
    found: _Apart = {}
    seen: dict[int, None] = {}
    for situation, tasks in (
        ("pause", [task for task, until in run.not_before.items() if until > state.now.wall]),
        ("shunning", [task for run_no, task in state.shunning if run_no == run.no]),
        ("grown", list(run.grown)),
        ("anchored", list(run.graph.anchors)),
    ):
        for task in tasks:
            if run.phase[task] == READY and task not in seen:
                seen[task] = None
                found.setdefault((run.graph.shape_of[task], situation), {})[task] = None
    return found


def _kinds(run: Run, apart: _Apart) -> Iterator[_Kind]:
    plain = list(run.ready_of)
    for (number, _), tasks in apart.items():
        plain[number] -= len(tasks)
        yield _Kind(len(tasks), number, tasks)
    for number, size in enumerate(plain):
        if size:
            yield _Kind(size, number, None)


def _first(run: Run, kind: _Kind, apart: _Apart) -> list[int]:
    """Return the first tasks of a kind."""
    if kind.tasks is not None:
        return sorted(kind.tasks)[:NAMED_AT_MOST]
    others = [tasks for (number, _), tasks in apart.items() if number == kind.shape]
    plain = (task for task in run.of_shape(kind.shape, READY) if not any(task in tasks for tasks in others))
    return list(islice(plain, NAMED_AT_MOST))


def _waiting(run: Run) -> Iterator[int]:
    """Go through the tasks that wait for others."""
    task = run.phase.find(WAITING)
    while task >= 0:
        yield task
        task = run.phase.find(WAITING, task + 1)


def _group(state: State, run: Run, kind: _Kind, tasks: list[int]) -> WaitingGroup:
    answer = explain(state, run, tasks[0])
    shape = shape_body(shape_of(run, tasks[0]))
    return WaitingGroup(answer.code, answer.text, kind.size, _named(run, tasks), shape)


def _named(run: Run, tasks: list[int]) -> list[NamedTask]:
    return [NamedTask(format_id(run.graph.ids[task], TASK), run.graph.task_name(task)) for task in tasks]


# -- demand ---------------------------------------------------------------------------------------------------------


class _Wanted:
    """What is known of the ready tasks of a shape."""

    __slots__ = ("count", "oldest", "runs")

    def __init__(self) -> None:
        self.count = 0
        self.runs: list[tuple[Run, int]] = []
        """Runs that have some, with their number of the shape."""
        self.oldest: tuple[Run, int] | None = None
        """The one that has waited longest, of those that are the first of a lane."""

    def meet(self, run: Run, task: int) -> None:
        """Take note of the first task of a lane."""
        if self.oldest is None or run.ready_at[task] < self.oldest[0].ready_at[self.oldest[1]]:
            self.oldest = run, task


def demand_of(state: State) -> Demand:
    """Return what is ready and waits for nodes, by shape, over all runs."""
    wanted: dict[Shape, _Wanted] = {}
    for run in state.runs.values():
        if run.counts[READY]:
            _count(wanted, run)
    for queue in state.ready.waiting:
        each = wanted.get(queue.shape)
        for run_no, task in queue.heads() if each is not None else ():
            live = state.runs.get(run_no)
            # What was cancelled stays in its queue until a pass meets it.
            if each is not None and live is not None and live.phase[task] == READY:
                each.meet(live, task)
    shapes = sorted(wanted.items(), key=lambda entry: -entry[1].count)
    told = [_demand(state, shape, each) for shape, each in shapes[:KINDS_AT_MOST]]
    return Demand(told, sum(each.count for _, each in shapes[KINDS_AT_MOST:]))


def _count(wanted: dict[Shape, _Wanted], run: Run) -> None:
    counts = list(run.ready_of)
    for task in [task for task in run.grown if run.phase[task] == READY]:
        counts[run.graph.shape_of[task]] -= 1
        each = wanted.setdefault(shape_of(run, task), _Wanted())
        each.count += 1
        each.meet(run, task)
    for number, count in enumerate(counts):
        if count:
            each = wanted.setdefault(run.graph.shapes[number], _Wanted())
            each.count += count
            each.runs.append((run, number))


def _demand(state: State, shape: Shape, each: _Wanted) -> ShapeDemand:
    run, task = each.oldest or _any(each)
    waited = max(0.0, state.now.mono - run.ready_at[task])
    return ShapeDemand(shape_body(shape), each.count, waited, explain(state, run, task).code)


def _any(each: _Wanted) -> tuple[Run, int]:
    """Return a task that is not the first of any lane: all pause, or are behind what was cancelled."""
    run, number = each.runs[0]
    return run, next(run.of_shape(number, READY))


def shape_body(shape: Shape) -> ShapeBody:
    """Return a shape as people and programs read it."""
    request, terms = shape.request, shape.terms
    return ShapeBody(
        cpu=request.cpu_milli / 1000,
        cpu_mem=request.mem_mib,
        gpu=request.gpu_milli / 1000,
        gpu_mem=request.gpu_mem_mib,
        nodes=terms.nodes,
        require=dict(terms.require),
        limits=dict(terms.limits),
        python="" if shape.python == (0, 0) else f"{shape.python[0]}.{shape.python[1]}",
        seconds=shape.seconds,
        sandbox=shape.sandbox,
    )
