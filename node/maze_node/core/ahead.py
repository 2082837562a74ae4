"""Which leases a worker is sent before it needs them, and how they are taken back.

Rules
* Ahead goes what is tiny and like the lease that runs: of its grant and claim, without anything that must be done or
  looked at between two attempts (memory that is watched, devices, a choice of CPUs, inputs that are objects). What may
  begin once only, or is shut in, has nothing before or behind it.
* What is ahead may begin at any moment. Whoever wants something of one of them, or wants to signal its worker, has all
  of them taken back first: then exactly one lease of the worker can be in progress, the last that was not taken back.
* The answer comes before any report that was not known when it was asked for (the shell and the worker share a pipe,
  permits.py). Such a worker is closed before its next report: nothing goes ahead to it, since what was taken back is
  still in its socket, to be skipped; and nothing is left to be taken back.
* What is ahead is not begun after the lease time by itself: each frame says until when (fence.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from maze_node.core.effects import Effect, TakeBack
from maze_node.core.events import Instant
from maze_node.core.leases import Ending, Lease, Leases, Wish
from maze_node.core.roster import Roster, Worker
from maze_protocol.messages import AT_MOST_ONCE, SANDBOX
from maze_protocol.resources import Claim

__all__ = ["MAX_AHEAD", "Ahead"]

MAX_AHEAD: Final = 256
MAX_SIZE: Final = 16_384
"""Bytes of inputs of one that goes ahead: so the queues of a node stay small."""
_ALONE: Final = AT_MOST_ONCE | SANDBOX


class Ahead:
    """The queues of all workers.

    Args:
        leases: where each lease is.
        roster: the workers.
        emit: takes effects.
        end: ends an attempt that is in progress, for sure.
    """

    def __init__(
        self,
        leases: Leases,
        roster: Roster,
        emit: Callable[[Effect], None],
        end: Callable[[Lease, Wish, Instant], None],
    ) -> None:
        self._leases = leases
        self._roster = roster
        self._emit = emit
        self._end = end
        self._asked: dict[int, None] = {}
        """Workers whose queues are to be taken back at the end of this turn."""
        self._returned: list[Lease] = []

    def send(self, running: Lease) -> list[Lease]:
        """Send ahead what is like a lease that runs, and its next in order; return those that were."""
        its = running.assignment
        claim, room = its.claim, MAX_AHEAD - len(self._leases.ahead_of(running.grant))
        if claim.mem_mib or claim.devices or its.flags & _ALONE:
            return []
        sent: list[Lease] = []
        for lease in self._leases.waiting_of(running.grant):
            if len(sent) >= room or not _suits(lease, claim):
                break
            sent.append(lease)
        if sent:
            self._leases.send_ahead(sent, running.worker)
        return sent

    def wish(self, lease: Lease, wish: Wish) -> None:
        """Do something with a lease as soon as it is known whether it has begun; the strongest wish counts."""
        if lease.wish is None or lease.wish.ending is None or wish.ending is Ending.DROPPED:
            lease.wish = wish
        self.ask(lease.worker)

    def call_back_all(self) -> None:
        """Take everything back."""
        for lease in self._leases.all_ahead():
            worker = self._roster.get(lease.worker)
            if worker is not None and not worker.closed:
                self.ask(lease.worker)

    def ask(self, number: int) -> None:
        """Take back, at the end of this turn, what a worker has not begun."""
        worker = self._roster.get(number)
        if worker is not None and not worker.asked:
            worker.asked = True
            self._asked[number] = None

    def order(self, now: Instant) -> None:
        """End a turn: take back what was asked for in it."""
        asked, self._asked = self._asked, {}
        for worker in filter(None, map(self._roster.get, asked)):
            queue = self._leases.ahead_of(worker.lease.grant) if worker.lease is not None else ()
            if queue and not worker.closed:
                self._emit(TakeBack(worker.number, tuple(lease.token for lease in queue)))
            else:
                self.settle(worker, (), now)

    def settle(self, worker: Worker, tokens: Iterable[int], now: Instant) -> None:
        """Take what a worker has not begun, and never will; then exactly the last of the rest may be in progress."""
        worker.asked, worker.closed = False, True
        self.put_back(lease for token in tokens if (lease := self._leases.get(token)) is not None and lease.ahead)
        if worker.lease is None:
            return
        rest = [worker.lease, *self._leases.ahead_of(worker.lease.grant)]
        for lease in rest:
            wish = lease.wish
            if wish is not None and not lease.unwanted:
                lease.wish = None
            if wish is not None and wish.ending is not None and lease is rest[-1]:
                self._end(lease, wish, now)

    def put_back(self, leases: Iterable[Lease]) -> None:
        """Let leases wait again that have not begun."""
        back = list(leases)
        for lease in reversed(back):  # each to the front: its place is found at once
            self._leases.put_back(lease)
        self._returned += [lease for lease in back if lease.wish is not None]

    def take_returned(self) -> list[Lease]:
        """Return those that have not begun and that something is wished of, once."""
        returned, self._returned = self._returned, []
        return returned


def _suits(lease: Lease, claim: Claim) -> bool:
    """Tell whether a lease may be sent ahead behind one that claims that."""
    its = lease.assignment
    return (
        lease.size <= MAX_SIZE and not lease.objects and not its.flags & _ALONE and not its.gang and its.claim == claim
    )
