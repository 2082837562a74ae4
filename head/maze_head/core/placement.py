"""One pass of the scheduler: give ready tasks to nodes with room, each in its turn.

Whose turn it is: the project with the smallest share of the cluster (shares.py), and within it the queue whose first
task has the lowest rank (discipline.py, priorities). A queue that cannot be served is set aside for the rest of the
pass, so it blocks nobody. The cost follows what is placed, what gained room and how many queues hold tasks, not how
much waits or how many nodes there are (ready.py, candidates.py).

Why a queue is set aside
* no node has room for its shape, nor a grant of its own that may be filled up (queueing.py): if its first task has
  waited long, one is kept for it (reservation.py), and if its project has less than its share, some are (levelling.py);
* a named limit, or its project's cap, is reached;
* its node is busy (`same_node_as`), or all nodes with room are ruled out for its first task: one of its company is
  there (`apart`), it must leave too soon, it is kept for another.

A task with large inputs goes, of the nodes with room, to the one that has most of their bytes (locality.py).

A task that crashed or was lost on a node is tried on others first: as long as another node could ever take it, it waits
up to SHUN_SECONDS for room there, and blocks nobody meanwhile.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import Final

from maze_head.core.backlog import settle_ranks, wake_delayed
from maze_head.core.dispatch import dispatch
from maze_head.core.early import lead
from maze_head.core.fitness import admits, could_ever, has_time, suits
from maze_head.core.levelling import level, may_start, relevel
from maze_head.core.locality import closest, is_too_old
from maze_head.core.nodes import Node
from maze_head.core.queueing import fill_up
from maze_head.core.ready import Queue
from maze_head.core.reservation import reserve
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import READY
from maze_protocol.waiting import Reason

__all__ = ["SHUN_SECONDS", "bar", "place"]

SHUN_SECONDS: Final = 2.0
TURNS_KEPT: Final = 10_000
RESERVE_EVERY: Final = 0.25
"""Seconds between looks for tasks that have waited long."""

_Line = list[tuple[float, int, Queue]]


def place(state: State) -> None:
    """Lease as many ready tasks as fit."""
    wake_delayed(state)
    settle_ranks(state)
    if state.ready.changed:
        state.ready.changed = False
        state.rooms.follow(state.ready.queues)
    relevel(state)
    if state.reservations:
        for reservation in [each for each in state.reservations if not each.holds()]:
            state.drop_reservation(reservation)
    queues = state.ready.live()
    roomless = _pass(state, queues) if queues else []
    if state.chains:
        lead(state, roomless)


def _pass(state: State, queues: list[Queue]) -> list[Queue]:
    """Serve what waits, and keep room for it; return the queues that found none."""
    roomless: list[Queue] = []
    shunning = state.set_aside
    _take_turns(state, _lines(queues, roomless), roomless, shunning)
    _keep_room(state, roomless)
    for queue, run_no, task in reversed(shunning):
        state.ready.push_front(queue, run_no, task)
    shunning.clear()
    return roomless


def _take_turns(
    state: State, lines: dict[str, _Line], roomless: list[Queue], shunning: list[tuple[Queue, int, int]]
) -> None:
    """Serve the lines, that of the project with the smallest share first; of equals, the one served longest ago."""
    turns, shares = state.turns, state.shares
    order = [(shares.share(project), turns.get(project, 0), project) for project in lines]
    heapify(order)
    while order:
        *_, project = order[0]
        line = lines[project]
        if _serve(state, line, roomless, shunning):
            state.turn += 1
            turns[project] = state.turn
        if not line:
            heappop(order)
        elif len(order) > 1:
            heapreplace(order, (shares.share(project), turns.get(project, 0), project))
    if len(turns) > TURNS_KEPT:
        turns.clear()


def _lines(queues: list[Queue], roomless: list[Queue]) -> dict[str, _Line]:
    """Return per project the queues that may be served, as heaps by rank."""
    lines: dict[str, _Line] = {}
    for queue in queues:
        if queue.candidates.idle() and not queue.place.pin and not queue.grants:
            roomless.append(queue)
            continue
        best = queue.best()
        if best is not None:
            lines.setdefault(queue.place.project, []).append((*best, queue))
    for line in lines.values():
        heapify(line)
    return lines


def _serve(state: State, line: _Line, roomless: list[Queue], shunning: list[tuple[Queue, int, int]]) -> bool:
    """Serve the first queue of a line once, or set it aside; return whether it was served."""
    queue = line[0][2]
    # What waited in it may wait for lost inputs since.
    if not queue.lanes or not _place_head(state, queue, roomless, shunning):
        heappop(line)
        return False
    if len(line) == 1 and queue.lanes:
        return True  # there is nobody to compare with
    best = queue.best()
    if best is None:
        heappop(line)
    else:
        heapreplace(line, (*best, queue))
    return True


def _place_head(state: State, queue: Queue, roomless: list[Queue], shunning: list[tuple[Queue, int, int]]) -> bool:
    """Deal with the first task of a queue; return False if it must wait."""
    run_no, task = queue.head()
    run = state.runs.get(run_no)
    if run is None or run.phase[task] != READY:
        queue.pop()
        return True
    if not may_start(state, queue):
        return False
    shunned = run.avoid.get(task, ()) if run.avoid else ()
    nodes = _nodes_for(state, queue, run, task, shunned)
    if not nodes and shunned:
        if _may_wait(state, queue, (run_no, task), shunned):
            shunning.append((queue, run_no, task))
            queue.pop()
            return True
        nodes = _nodes_for(state, queue, run, task, ())
    if not nodes:
        if queue.grants and fill_up(state, queue, roomless):
            return True
        roomless.append(queue)
        return False
    queue.pop()
    if shunned:
        state.shunning.pop((run_no, task), None)
    _note_served(state, queue, nodes, run, task)
    dispatch(state, nodes, run, task, queue)
    return True


def _may_wait(state: State, queue: Queue, key: tuple[int, int], shunned: tuple[str, ...]) -> bool:
    """Tell whether a task shall wait for another node than those it has failed on."""
    others = (node for node in state.nodes.values() if node.takes_work and node.id not in shunned)
    if queue.place.pin or not any(could_ever(node, queue.shape) for node in others):
        return False
    return state.now.mono - state.shunning.setdefault(key, state.now.mono) < SHUN_SECONDS


def _nodes_for(state: State, queue: Queue, run: Run, task: int, shunned: tuple[str, ...]) -> list[Node]:
    """Return the nodes for the first task of a queue: as many as it takes, or none."""
    now, shape = state.now.mono, queue.shape
    kept = queue.reservation
    if (
        kept is not None
        and not kept.many
        and all(admits(node, shape, now) and bar(state, node, queue, run, task) is None for node in kept.nodes)
    ):
        return list(kept.nodes)
    if queue.place.pin:
        node = state.nodes.get(queue.place.pin)
        if node is None or not (suits(node, shape) and admits(node, shape, now)):
            return []
        return [node] if bar(state, node, queue, run, task) is None else []
    if run.objects.made and shape.terms.nodes == 1:
        near = _nearest(state, queue, run, task, shunned)
        if near is not None:
            return [near]
    return _search(state, queue, run, task, shunned)


def _nearest(state: State, queue: Queue, run: Run, task: int, shunned: tuple[str, ...]) -> Node | None:
    """Return the node with room that has most of a task's large inputs, if it has any."""
    now, shape = state.now.mono, queue.shape
    for node in closest(state, run, task):
        if node.id in shunned or not (suits(node, shape) and admits(node, shape, now)):
            continue
        if bar(state, node, queue, run, task) is None:
            return node
    return None


def _search(state: State, queue: Queue, run: Run, task: int, shunned: tuple[str, ...]) -> list[Node]:
    now, candidates, wanted = state.now.mono, queue.candidates, queue.shape.terms.nodes
    candidates.refresh(now)
    node = candidates.top(now)
    if wanted == 1 and node is not None and node.id not in shunned and bar(state, node, queue, run, task) is None:
        return [node]
    found: list[Node] = []
    looked = []
    while node is not None and len(found) < wanted:
        looked.append(candidates.take_top())
        if node.id not in shunned and bar(state, node, queue, run, task) is None:
            found.append(node)
        node = candidates.top(now)
    for entry in looked:
        candidates.put_back(entry)
    return found if len(found) == wanted else []


def bar(state: State, node: Node, queue: Queue, run: Run, task: int) -> Reason | None:
    """Return why a node with room may not take this very task, or None: its company, its age, its end, who has it."""
    place, shape = queue.place, queue.shape
    if place.group and (place.group, shape.terms.apart) in node.company:
        return Reason.APART
    if is_too_old(node, run, task):
        return Reason.OLD_NODE
    kept = node.reservation
    if kept is None and node.leaves_at is None:
        return None
    seconds = shape.seconds or state.longest_seconds(run, task)
    if seconds is not None and not has_time(node, seconds, state.now.mono):
        return Reason.LEAVING
    if kept is None or kept.queue is queue or kept.allows(node, shape.request, seconds, state.now.mono):
        return None
    return Reason.RESERVED


def _note_served(state: State, queue: Queue, nodes: list[Node], run: Run, task: int) -> None:
    """Give up the room that was kept for a task that starts; count it where it uses room that is kept for another."""
    kept = queue.reservation
    if kept is not None and not kept.many:
        state.drop_reservation(kept)
    else:
        queue.served_at = state.now.mono
    for node in nodes:
        if node.reservation is not None and node.reservation is not kept:
            seconds = queue.shape.seconds or state.longest_seconds(run, task)
            node.reservation.backfill(node, queue.shape.request, seconds, state.now.mono)


def _keep_room(state: State, roomless: list[Queue]) -> None:
    """Keep room for tasks that have waited long for it, in their turn."""
    now = state.now.mono
    if not roomless or now - state.looked_at < RESERVE_EVERY:
        return
    state.looked_at = now
    overdue = [
        (state.shares.share(queue.place.project), *best, queue)
        for queue in roomless
        if (best := _overdue(state, queue))
    ]
    shapes = [reservation.queue.shape for reservation in state.reservations if not reservation.many]
    for *_, queue in sorted(overdue, key=lambda entry: entry[:3]):
        if queue.shape in shapes or not may_start(state, queue):
            continue
        kept = sum(len(reservation.nodes) for reservation in state.reservations if not reservation.many)
        reservation = reserve(queue, state.nodes.values(), kept, now)
        if reservation is not None:
            state.keep(reservation)
            shapes.append(queue.shape)
    level(state, roomless)


def _overdue(state: State, queue: Queue) -> tuple[float, int] | None:
    """Return the rank of a queue's first task if it has waited for so long that room is to be kept for it."""
    best = queue.best()
    if best is None or queue.reservation is not None:
        return None
    run_no, task = queue.head()
    run = state.runs.get(run_no)
    if run is None or run.phase[task] != READY:
        return None
    since = max(run.ready_at[task], queue.served_at)
    return best if state.now.mono - since >= state.settings.reserve_after else None
