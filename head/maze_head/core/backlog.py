"""From a task that became ready to its queue: shape, project, place, rank.

* A task that ran out of memory has another shape: more memory, and a node of its own.
* A task that follows another one (`same_node_as`) is bound to the node where that one was leased last, as long as the
  node is a member; it waits nowhere else meanwhile.
* Priority is seniority: each step counts as if the task had been ready `priority_step` seconds earlier. So a waiting
  task grows past all that come later, whatever their priority: nobody starves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from maze_head.core.graph import Shape
from maze_head.core.ready import Place, Queue
from maze_head.core.retry import longest_pause
from maze_head.core.transitions import READY

if TYPE_CHECKING:
    from maze_head.core.nodes import Node
    from maze_head.core.runs import Run
    from maze_head.core.state import State

__all__ = [
    "enqueue", "place_of", "places_of", "queue_of", "rank_of", "settle_ranks", "shape_of", "unpin", "wake_delayed",
    "withdraw",
]  # fmt: skip


MANY: Final = 100
"""From so many on, new tasks of a run of one shape go to their queue at once."""


def places_of(run: Run) -> list[Place]:
    """Return the place of each shape of a run, for tasks that nothing binds further."""
    project = run.submitted.project
    return [Place(shape, project, "", run.no if shape.terms.apart else 0) for shape in run.graph.shapes]


def enqueue(state: State, run: Run) -> None:
    """Move the tasks that became ready to their queues."""
    now, ready_at = state.now.mono, run.ready_at
    if len(run.fresh) >= MANY and len(run.graph.shapes) == 1 and _are_alike(run):
        _enqueue_many(state, run)
    else:
        _enqueue_fresh(state, run)
    for task in run.again:
        ready_at[task] = now
        state.ready.push_front(queue_of(state, run, task), run.no, task)
    for task in run.later:
        longest = longest_pause(run.graph.spec(task))
        pause = min(max(0.0, run.not_before[task] - state.now.wall), longest)
        ready_at[task] = now + pause
        state.ready.delay(now + pause, run.no, task)
    run.fresh.clear()
    run.again.clear()
    run.later.clear()


def _enqueue_fresh(state: State, run: Run) -> None:
    now, ready_at, push = state.now.mono, run.ready_at, state.ready.push
    priority, lane_of = run.submitted.priority, state.discipline.lane
    queues, shape_of, alike = state.queues[run.no], run.graph.shape_of, _are_alike(run)
    for task in run.fresh:
        ready_at[task] = now
        queue = queues[shape_of[task]] if alike else queue_of(state, run, task)
        push(queue, (priority, lane_of(run, task)), run.no, task)


def _enqueue_many(state: State, run: Run) -> None:
    """Move very many new tasks to the one queue that all of them have: as `_enqueue_fresh`, in a third of the time."""
    now, ready_at, priority, lane_of = state.now.mono, run.ready_at, run.submitted.priority, state.discipline.lane
    for task in run.fresh:
        ready_at[task] = now
    lanes = [(priority, lane_of(run, task)) for task in run.fresh]
    state.ready.push_all(state.queues[run.no][0], lanes, run.no, run.fresh)


def queue_of(state: State, run: Run, task: int) -> Queue:
    """Return the queue of a ready task."""
    queue = state.queues[run.no][run.graph.shape_of[task]]
    if _are_alike(run):
        return queue
    place = place_of(state, run, task)
    return queue if place == queue.place else state.ready.at(place)


def _are_alike(run: Run) -> bool:
    """Tell whether all tasks of a shape wait in one place."""
    return not run.grown and not run.graph.anchors


def place_of(state: State, run: Run, task: int) -> Place:
    """Return what decides in which queue a ready task is."""
    place = state.queues[run.no][run.graph.shape_of[task]].place._replace(shape=shape_of(run, task))
    pin = run.places.get(run.graph.anchors.get(task, -1), "")
    node = state.nodes.get(pin)
    return place if node is None or node.gone else place._replace(pin=pin)


def shape_of(run: Run, task: int) -> Shape:
    """Return the shape of a task's next attempt."""
    shape = run.graph.shape(task)
    return _grown(shape, run.grown[task]) if task in run.grown else shape


def withdraw(state: State, run: Run, tasks: dict[int, None]) -> None:
    """Take tasks of a run out of the queues: they go on without waiting their turn."""
    shapes = [shape_of(run, task) for task in tasks]
    keys = frozenset((run.no, task) for task in tasks)
    for queue in [queue for queue in state.ready.waiting if queue.shape in shapes]:
        queue.withdraw(keys)
    state.ready.withdraw_delayed(keys)
    state.set_aside[:] = [entry for entry in state.set_aside if entry[1:] not in keys]


def _grown(shape: Shape, mem_mib: int) -> Shape:
    request = msgspec.structs.replace(shape.request, mem_mib=mem_mib)
    return shape._replace(request=request, terms=shape.terms._replace(alone=True))


def rank_of(state: State, run_no: int, task: int) -> float:
    """Return the rank of a ready task; what is left of runs that are over comes first, to be dropped."""
    run = state.runs.get(run_no)
    if run is None:
        return float("-inf")
    seniority = run.submitted.priority * state.settings.priority_step
    return state.discipline.rank(run, task, run.ready_at[task] - seniority)


def settle_ranks(state: State) -> None:
    """Take in that the discipline sees tasks in another order than before."""
    discipline = state.discipline
    moved = discipline.moved()
    if discipline.generation != state.generation:
        state.generation = discipline.generation
        state.ready.rerank()
        return
    for run_no in moved:
        state.ready.rerank_run(run_no)


def wake_delayed(state: State) -> None:
    """Queue the tasks whose pause is over, at the front."""
    for run_no, task in state.ready.due(state.now.mono):
        run = state.runs.get(run_no)
        if run is not None and run.phase[task] == READY:
            state.ready.push_front(queue_of(state, run, task), run_no, task)


def unpin(state: State, node: Node) -> None:
    """Let the tasks that wait for a node which is gone run anywhere."""
    for queue in [queue for queue in state.ready.waiting if queue.place.pin == node.id]:
        for run_no, task in queue.take_all():
            run = state.runs.get(run_no)
            if run is not None and run.phase[task] == READY:
                state.ready.push_front(queue_of(state, run, task), run_no, task)
