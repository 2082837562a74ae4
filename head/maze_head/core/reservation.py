"""Keeping room for a task that has waited long, without wasting it: EASY backfilling, per node.

Small tasks fill every gap at once, so a large one could wait for ever. Once the first task of a queue has waited
`reserve_after` seconds, the node that will have room for it soonest is kept: until then it takes only what
* is expected to end before that time (the *deadline*), or
* fits beside the large task even then (the *spare* room).
These are the two rules of EASY backfilling (Lifka, "The ANL/IBM SP Scheduling System", 1995; Mu'alem and Feitelson,
2001), with durations observed per function instead of those that users state: the longest of late for who is let in,
since an average is exceeded half of the time. A task that has run for longer than expected, or of which nothing is
known, is expected to run as long again as it has: so the wait is bounded by `reserve_after` and the longest task that
runs there, unless a function takes longer than it ever did.

Kept are at most a quarter of the nodes (at least one task's), and one task per shape: the others find their turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from maze_head.core.fitness import could_ever, has_time
from maze_head.core.leases import Lease
from maze_head.core.ledger import Ledger
from maze_head.core.nodes import Node
from maze_protocol.resources import Request

if TYPE_CHECKING:
    from maze_head.core.ready import Queue

__all__ = ["LOOKED_AT", "SHARE_KEPT", "Reservation", "reserve", "reserve_many"]

SHARE_KEPT: Final = 4
"""At most one node of so many is kept."""
LOOKED_AT: Final = 32
"""How many nodes are compared: the least loaded of those that could take the task."""
LEAST_REMAINING: Final = 1.0
"""Seconds that a task of unknown duration is expected to run at least."""


class Reservation:
    """Nodes that are kept for the first task of a queue, or for many of its tasks, each on one of them."""

    __slots__ = ("deadline", "many", "nodes", "queue", "since", "spare")

    def __init__(self, queue: Queue, nodes: tuple[Node, ...], deadline: float, spare: dict[int, Ledger]) -> None:
        self.many = False
        """Of the queue's tasks any number may start here: its project has less than its share (levelling.py)."""
        self.since = 0.0
        self.queue = queue
        self.nodes = nodes
        self.deadline = deadline
        """Monotonic time at which they are expected to have room."""
        self.spare = spare
        """Per serial of a node: what is free at that time, beside the task."""

    def allows(self, node: Node, request: Request, seconds: float | None, now: float) -> bool:
        """Tell whether another task may start on a kept node; `seconds` is how long it is expected to run."""
        if seconds is not None and now + seconds <= self.deadline:
            return True
        return self.spare[node.serial].fits(request)

    def backfill(self, node: Node, request: Request, seconds: float | None, now: float) -> None:
        """Note that such a task starts there."""
        if seconds is None or now + seconds > self.deadline:
            self.spare[node.serial].claim(request)

    def holds(self) -> bool:
        """Tell whether there is still a task, and whether the nodes can take it some day."""
        shape = self.queue.shape
        if self.many:  # looked at again before long
            return bool(self.queue.lanes) and all(node.takes_work for node in self.nodes)
        return bool(self.queue.lanes) and all(node.takes_work and could_ever(node, shape) for node in self.nodes)


def reserve(queue: Queue, nodes: Iterable[Node], kept: int, now: float) -> Reservation | None:
    """Choose the nodes that will have room soonest, or None if too many are kept already, or none would do.

    Args:
        queue: whose first task has waited long.
        nodes: all members.
        kept: how many of them are kept for others.
        now: monotonic time.
    """
    shape, count = queue.shape, queue.shape.terms.nodes
    able = [node for node in nodes if node.takes_work]
    if kept and kept + count > len(able) // SHARE_KEPT:
        return None
    fitting = [
        node
        for node in able
        if node.reservation is None and could_ever(node, shape) and has_time(node, shape.seconds, now)
    ]
    if queue.place.pin:
        fitting = [node for node in fitting if node.id == queue.place.pin]
    ranked = _soonest(queue, fitting, count, now)
    return _kept(queue, ranked, now + ranked[-1][0]) if len(ranked) == count else None


def reserve_many(
    queue: Queue, nodes: list[Node], before: Reservation | None, count: int, now: float
) -> Reservation | None:
    """Choose up to so many nodes for tasks of a queue, those that will have room soonest; None if none would do.

    Args:
        queue: whose project has less than its share.
        nodes: those that may be kept.
        before: what was kept until now; its nodes come first, if they still may be kept: they have begun to empty.
        count: how many are kept at most; no more than LOOKED_AT new ones at once, since each must be looked at.
        now: monotonic time.
    """
    spare = {} if before is None else before.spare
    ranked = [(0.0, node.serial, node, spare[node.serial]) for node in nodes if node.serial in spare][:count]
    others = [node for node in nodes if node.serial not in spare]
    ranked += _soonest(queue, others, min(count - len(ranked), LOOKED_AT), now)
    if not ranked:
        return None
    # A deadline that moved on would let others in again and again.
    deadline = now + ranked[0][0] if before is None else before.deadline
    reservation = _kept(queue, ranked, deadline)
    reservation.many, reservation.since = True, now
    return reservation


def _soonest(queue: Queue, nodes: list[Node], count: int, now: float) -> list[tuple[float, int, Node, Ledger]]:
    """Return up to so many nodes with the seconds until they have room, the earliest first, and what is free beside."""
    compared = sorted(nodes, key=lambda node: (node.ledger.load, node.serial))[: max(LOOKED_AT, count)]
    ranked = [(wait, node.serial, node, spare) for node in compared for wait, spare in _room(node, queue, now)]
    return sorted(ranked, key=lambda entry: entry[:2])[:count]


def _kept(queue: Queue, ranked: list[tuple[float, int, Node, Ledger]], deadline: float) -> Reservation:
    nodes = tuple(node for *_, node, _ in ranked)
    return Reservation(queue, nodes, deadline, {serial: spare for _, serial, _, spare in ranked})


def _room(node: Node, queue: Queue, now: float) -> list[tuple[float, Ledger]]:
    """Return in how many seconds a node is expected to have room, and what is free beside then."""
    request, alone = queue.shape.request, queue.shape.terms.alone
    ledger = Ledger(node.ledger.capacity)
    ends = sorted(((_remaining(lease, now), claim) for lease, claim in node.held()), key=lambda entry: entry[0])
    for _, claim in ends:
        ledger.take(claim)
    wait = 0.0
    for remaining, claim in ends:
        # What ends at the same time as the last one needed is over by then, too.
        if remaining > wait and ledger.fits(request) and not (alone and ledger.attempts):
            break
        ledger.give_back(claim)
        wait = remaining
    if ledger.claim(request) is None:
        return []
    if alone:
        ledger.close()
    return [(wait, ledger)]


def _remaining(lease: Lease, now: float) -> float:
    elapsed = now - lease.since
    return lease.seconds - elapsed if lease.seconds > elapsed else max(elapsed, LEAST_REMAINING)
