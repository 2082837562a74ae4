"""Room for projects that are behind: whose tasks are larger than what ends here and there would else never catch up.

Whenever a task ends, the project with the smallest share goes first (placement.py). But if its tasks need more room
than one end leaves, another project's task fills the gap at once, and so for ever. So for a project that is *behind*,
which with one more task would still have less than another one, nodes are kept (reservation.py) on which projects with
more than that hold anything: for any number of its tasks, until it is level.

At most a quarter of the nodes is kept so, and no more than half of what the project lacks. Every LEVEL_SECONDS it is
looked at again which: those that have begun to empty stay as long as others hold anything there, and more may come.
Nothing is taken from a task that runs, and tasks that keep apart, or take several nodes, wait for a reservation of
their own.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from maze_head.core.fitness import could_ever, has_time
from maze_head.core.nodes import Node
from maze_head.core.ready import Queue
from maze_head.core.reservation import SHARE_KEPT, Reservation, reserve_many
from maze_head.core.state import State
from maze_head.core.transitions import READY

__all__ = ["level", "may_start", "relevel"]

BEHIND_SECONDS: Final = 1.0
"""How long a task waits before room is kept for its project."""
LEVEL_SECONDS: Final = 2.0
EPSILON: Final = 1e-9


def may_start(state: State, queue: Queue) -> bool:
    """Tell whether limits and caps let one more attempt start, wherever."""
    shape, limits = queue.shape, queue.shape.terms.limits
    if limits and not state.allowances.admits(limits, state.now.mono):
        return False
    return state.shares.has_room(queue.place.project, shape.request, shape.terms.nodes)


def relevel(state: State) -> None:
    """Give up what is kept for projects that are level; look again at what has been kept for others for a while."""
    reservations = [each for each in state.reservations if each.many]
    most = state.shares.most if reservations else 0.0
    for reservation in reservations:
        queue = reservation.queue
        if queue.best() is None or not (_is_behind(state, queue, most) and may_start(state, queue)):
            state.drop_reservation(reservation)
        elif not reservation.holds() or state.now.mono - reservation.since >= LEVEL_SECONDS:
            state.drop_reservation(reservation)
            _keep(state, queue, most, reservation)


def level(state: State, roomless: list[Queue]) -> None:
    """Keep nodes for those of the queues without room whose projects are behind, the poorest first."""
    most = state.shares.most
    behind = [
        (state.shares.share(queue.place.project), *best, queue)
        for queue in roomless
        if queue.reservation is None
        and _is_behind(state, queue, most)
        and may_start(state, queue)
        and (best := _patient(state, queue))
    ]
    for *_, queue in sorted(behind, key=lambda entry: entry[:3]):
        _keep(state, queue, most)


def _is_behind(state: State, queue: Queue, most: float) -> bool:
    # Equal counts, too: else the last step would be given up when it is done, as the other has just given way.
    return _share_with(state, queue) <= most + EPSILON


def _share_with(state: State, queue: Queue) -> float:
    return state.shares.share_with(queue.place.project, queue.shape.request, queue.shape.terms.nodes)


def _patient(state: State, queue: Queue) -> tuple[float, int] | None:
    """Return the rank of a queue's first task if it has waited for a while and one node of any will do."""
    best = queue.best()
    if best is None or queue.place.pin or queue.place.group or queue.shape.terms.nodes > 1:
        return None
    run_no, task = queue.head()
    run = state.runs.get(run_no)
    if run is None or run.phase[task] != READY:
        return None
    return best if state.now.mono - run.ready_at[task] >= BEHIND_SECONDS else None


def _keep(state: State, queue: Queue, most: float, before: Reservation | None = None) -> None:
    """Keep nodes for a queue; those that were kept before stay, as long as others have anything to give up there."""
    share, now = _share_with(state, queue), state.now.mono
    able = [node for node in state.nodes.values() if node.takes_work]
    kept = sum(len(reservation.nodes) for reservation in state.reservations if reservation.many)
    lacking = max(1, ceil((most - share) * len(able) / 2))
    count = min(max(1, len(able) // SHARE_KEPT) - kept, lacking)
    if count <= 0:
        return
    richer = [project for project in state.shares.held if state.shares.share(project) >= share - EPSILON]
    may = [node for node in able if _may_keep(state, node, queue, dict.fromkeys(richer))]
    reservation = reserve_many(queue, may, before, count, now)
    if reservation is not None:
        state.keep(reservation)


def _may_keep(state: State, node: Node, queue: Queue, richer: dict[str, None]) -> bool:
    shape = queue.shape
    if node.reservation is not None or not could_ever(node, shape):
        return False
    if not has_time(node, shape.seconds, state.now.mono):
        return False
    return any(lease.run.submitted.project in richer for lease, _ in node.held())
