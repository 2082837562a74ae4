"""Short tasks queue behind the grants of their queue, so that no worker waits for a round trip (decisions, 13).

* As much as QUEUED_SECONDS of work, by what was observed of the function; a function that nobody knows queues nowhere,
  nor does what holds more than room (ready.py) or may begin once only.
* While much waits, a grant gets its fill; the less waits, the less is given at a time (a half of what waits, over all
  grants: guided self-scheduling, Polychronopoulos and Kuck, IEEE Trans. Comput. 36, 1987), so that all end together.
* Room for others comes first: a grant is not filled up while a queue whose turn comes before would have room if it
  ended. Nothing is called back for the sake of order: what queues is over in QUEUED_SECONDS.
* What queues behind a task that takes longer than expected is called back (RECALL) after STUCK_SECONDS, and finds its
  turn elsewhere; that grant is filled up no more.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from maze_head.core.dispatch import Follower
from maze_head.core.effects import Send
from maze_head.core.fitness import has_time, suits
from maze_head.core.leases import Grant
from maze_head.core.locality import is_too_old
from maze_head.core.ready import Queue
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.tasks import TaskSpec
from maze_head.core.transitions import READY
from maze_protocol.messages import Recall

__all__ = ["QUEUED_SECONDS", "STUCK_SECONDS", "fill_up", "may_follow", "may_grow", "recall_stuck", "would_fit"]

QUEUED_SECONDS: Final = 0.02
MOST_QUEUED: Final = 256
STUCK_SECONDS: Final = 0.25


def fill_up(state: State, queue: Queue, roomless: list[Queue]) -> int:
    """Let tasks of a queue that found no room follow those that run; return how many.

    Args:
        roomless: the queues that found no room in this pass.
    """
    grants = _grants_for(state, queue, roomless)
    if not grants:
        return 0
    most = min(MOST_QUEUED, max(2, ceil(len(queue) / (2 * len(grants)))))
    return sum([_fill(state, queue, grant, most) for grant in grants])


def _grants_for(state: State, queue: Queue, roomless: list[Queue]) -> list[Grant]:
    """Return the grants that may be filled up: those on which nobody with an earlier turn waits."""
    grants = [grant for grant in queue.grants.values() if grant.node.takes_work and may_grow(grant)]
    if not grants:
        return []
    rivals = [each for each in roomless if each is not queue and _precedes(state, each, queue)]
    return [grant for grant in grants if not any(would_fit(each, grant) for each in rivals)] if rivals else grants


def _precedes(state: State, one: Queue, other: Queue) -> bool:
    if one.place.project != other.place.project:
        return state.shares.share(one.place.project) < state.shares.share(other.place.project)
    first, second = one.best(), other.best()
    return first is not None and second is not None and first < second


def would_fit(queue: Queue, grant: Grant) -> bool:
    """Tell whether a grant's end would make room for a task of a queue."""
    shape, node = queue.shape, grant.node
    if shape.terms.nodes > 1 or queue.place.pin not in ("", node.id):
        return False
    if shape.terms.alone and node.ledger.attempts > 1:
        return False
    return node.ledger.fits_without(grant.claim, shape.request) and suits(node, shape)


def _fill(state: State, queue: Queue, grant: Grant, most: int) -> int:
    """Fill one grant up, from the queue's first task on."""
    filled, leases, follower = 0, grant.leases, Follower(state, grant)
    while len(leases) < most and (first := queue.first()) is not None:
        run_no, task = first
        run = state.runs.get(run_no)
        if run is None or run.phase[task] != READY:
            queue.pop()
            continue
        spec = run.graph.spec(task)
        seconds = may_follow(state, grant, run, task, spec)
        if seconds is None:
            break
        queue.pop()
        follower.follow(run, task, spec, seconds)
        filled += 1
    follower.record()
    if filled:
        queue.served_at = state.now.mono
    return filled


def may_grow(grant: Grant) -> bool:
    """Tell whether anything may queue behind a grant."""
    # Room that is kept for somebody has to come free, and so has what is not there any more.
    return grant.node.reservation is None and not grant.node.ledger.overdrawn


def may_follow(state: State, grant: Grant, run: Run, task: int, spec: TaskSpec) -> float | None:
    """Return how long a task will run if it may queue behind a grant that may grow, else None."""
    node, seconds = grant.node, state.observed.known(spec.code)
    if seconds is None or len(grant.leases) * seconds >= QUEUED_SECONDS or spec.at_most_once:
        return None
    if run.avoid and node.id in run.avoid.get(task, ()):
        return None
    if is_too_old(node, run, task):
        return None
    if node.leaves_at is not None and not has_time(node, QUEUED_SECONDS + seconds, state.now.mono):
        return None
    return seconds


def recall_stuck(state: State) -> None:
    """Call back what queues behind tasks that take longer than expected."""
    now = state.now.mono
    for grant in list(state.leases.queued.values()):
        if len(grant.leases) < 2 or now - grant.moved_at < STUCK_SECONDS:
            continue
        grant.close()
        del state.leases.queued[grant.id]
        if grant.node.link is not None:
            state.emit(Send(grant.node.link, Recall(tuple(grant.leases)[1:])))
