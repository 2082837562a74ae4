"""One pass of the scheduler: give ready tasks to nodes with room, the longest-waiting first.

Across shapes the head that waited longest goes first; a shape that fits nowhere is set aside for the rest of the pass,
so it blocks nobody. The cost follows what is placed and how many shapes there are, not how much waits:
* per shape a heap of the nodes that fit, least loaded first, made once per pass; during a pass room only shrinks, so a
  stale entry is put right when it is popped;
* a shape that the last pass left waiting (`blocked`) looks only at nodes that gained room since.

A task that crashed or was lost on a node is tried on others first: as long as another node could ever take it, it waits
up to SHUN_SECONDS for room there, and blocks nobody meanwhile.

Among fitting nodes: those without GPUs first for work that needs none, then the least loaded, then the oldest.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

from maze_head.core.dispatch import dispatch
from maze_head.core.nodes import Node
from maze_head.core.ready import Queue
from maze_head.core.state import State
from maze_head.core.transitions import READY

__all__ = ["place"]

SHUN_SECONDS = 2.0

_Ranked = tuple[tuple[bool, int, int], int, Node]


def place(state: State) -> None:
    """Lease as many ready tasks as fit."""
    state.wake_delayed()
    nodes = [node for node in state.nodes.values() if node.takes_work]
    gained = [node for node in nodes if node.id in state.gained]
    state.gained.clear()
    candidates: dict[int, list[_Ranked]] = {}
    waiting = [
        (queue.entries[0], number, queue) for number, queue in enumerate(state.ready.queues.values()) if queue.entries
    ]
    heapify(waiting)
    shunning: list[tuple[Queue, int, int]] = []
    while waiting:
        _, number, queue = waiting[0]
        if number not in candidates:
            candidates[number] = _rank(queue, gained if queue.blocked else nodes)
            queue.blocked = False
        if _place_head(state, queue, candidates[number], shunning):
            heappop(waiting)
            if queue.entries:
                heappush(waiting, (queue.entries[0], number, queue))
        else:
            queue.blocked = True
            heappop(waiting)
    for queue, run_no, task in reversed(shunning):
        state.ready.push_front(queue, run_no, task)
        queue.blocked = False


def _place_head(state: State, queue: Queue, ranked: list[_Ranked], shunning: list[tuple[Queue, int, int]]) -> bool:
    """Deal with the first task of a queue; return False if no node has room for it."""
    run_no, task = queue.head()
    run = state.runs.get(run_no)
    if run is None or run.phase[task] != READY:
        queue.entries.popleft()
        return True
    shunned = run.avoid.get(task) if run.avoid else None
    node = _pick_other(queue, ranked, shunned) if shunned else _pick(queue, ranked)
    if node is None and shunned:
        if _may_wait(state, queue, (run_no, task), shunned):
            shunning.append((queue, *queue.head()))
            queue.entries.popleft()
            return True
        node = _pick(queue, ranked)
    if node is None:
        return False
    queue.entries.popleft()
    if shunned:
        state.shunning.pop((run_no, task), None)
    dispatch(state, node, run, task)
    return True


def _pick_other(queue: Queue, ranked: list[_Ranked], shunned: tuple[str, ...]) -> Node | None:
    """Return the best node with room that a task has not failed on."""
    others = [
        (_key(queue, node), serial, node)
        for _, serial, node in ranked
        if node.id not in shunned and node.ledger.fits(queue.shape.request)
    ]
    return min(others)[2] if others else None


def _may_wait(state: State, queue: Queue, key: tuple[int, int], shunned: tuple[str, ...]) -> bool:
    """Tell whether a task shall wait for another node than those it has failed on."""
    request, python = queue.shape[:2]
    others = (node for node in state.nodes.values() if node.takes_work and node.id not in shunned)
    if not any(node.runs_python(python) and node.ledger.could_fit(request) for node in others):
        return False
    return state.now.mono - state.shunning.setdefault(key, state.now.mono) < SHUN_SECONDS


def _rank(queue: Queue, nodes: list[Node]) -> list[_Ranked]:
    request, python = queue.shape[:2]
    ranked = [
        (_key(queue, node), node.serial, node)
        for node in nodes
        if node.runs_python(python) and node.ledger.fits(request)
    ]
    heapify(ranked)
    return ranked


def _key(queue: Queue, node: Node) -> tuple[bool, int, int]:
    spare_gpus = bool(node.ledger.devices) and not queue.shape.request.wants_gpu
    return spare_gpus, node.ledger.load, node.ledger.attempts


def _pick(queue: Queue, ranked: list[_Ranked]) -> Node | None:
    """Return the best node that has room now; entries made stale by other shapes are put right on the way."""
    while ranked:
        key, serial, node = ranked[0]
        if not node.ledger.fits(queue.shape.request):
            heappop(ranked)
        elif (now := _key(queue, node)) != key:
            heapreplace(ranked, (now, serial, node))
        else:
            return node
    return None
