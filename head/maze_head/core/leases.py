"""Leases: who holds which attempt, under which token. The fence of exactly one accepted result.

A token is (epoch, counter), never used twice. A result counts only if its token is in this table *and* the speaker
holds it. Answers already given are remembered for a while, so that a repeated result is answered as the first was;
beyond that memory the answer is STALE, which the node treats alike (it may forget the result).

All that an attempt holds is counted here, and only here: room on its nodes (more than one for a gang, whose code runs
on the first), its project's share, units of named limits, and its claim to be alone or apart.

What holds room is a *grant*; leases queue behind it (decisions, 13), and their node runs them one after the other. Most
grants have one lease. Those of short tasks are filled up as long as they last (queueing.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from maze_protocol.events import TaskStarted
from maze_protocol.leases import make_lease
from maze_protocol.resources import Claim
from maze_protocol.terms import NO_TERMS, Terms

if TYPE_CHECKING:
    from maze_head.core.allowances import Allowances
    from maze_head.core.nodes import Node
    from maze_head.core.ready import Queue
    from maze_head.core.runs import Run
    from maze_head.core.shares import Shares

__all__ = ["Grant", "Lease", "Leases"]

REMEMBERED: Final = 16_384
LAST: Final = (1 << 32) - 1
"""No life of a head has more leases: four thousand million."""


class Grant:
    """Room on a node, for the leases that queue behind it; it ends with the last of them."""

    __slots__ = ("claim", "id", "leases", "moved_at", "node", "queue")

    def __init__(self, number: int, node: Node, claim: Claim) -> None:
        self.id = number
        """The token of its first lease."""
        self.node = node
        self.claim = claim
        self.leases: dict[int, Lease] = {}
        """By token, in the order in which they run."""
        self.queue: Queue | None = None
        """Whose tasks it may still be given; None: it is closed."""
        self.moved_at = 0.0
        """Monotonic time at which the first of its leases became the first."""

    def open_for(self, queue: Queue) -> None:
        """Let more tasks of a queue follow."""
        self.queue = queue
        queue.grants[self.id] = self

    def close(self) -> None:
        """Let nothing more follow."""
        if self.queue is not None:
            del self.queue.grants[self.id]
            self.queue = None


class Lease:
    """One attempt in the hands of a node."""

    __slots__ = (
        "cancelled", "claim", "follower", "follows", "formerly", "gang", "grant", "node", "once", "run", "seconds",
        "session", "since", "task", "terms", "token",
    )  # fmt: skip

    def __init__(self, token: int, run: Run, task: int, grant: Grant, terms: Terms, *, once: bool = False) -> None:
        self.token = token
        self.grant = grant
        """Whose room it uses: its own, or that of leases before it."""
        self.node = grant.node
        self.claim = grant.claim
        self.run = run
        self.task = task
        self.terms = terms
        self.gang: tuple[tuple[Node, Claim], ...] = ()
        """The other nodes of an attempt that has several, with what it holds there."""
        self.once = once
        """The task may be started once only (`at_most_once`)."""
        self.since = 0.0
        """Monotonic time of the grant."""
        self.session = 0
        """In which it was sent; 0: by an earlier head."""
        self.seconds = 0.0
        """How long it was expected to run; 0: not known."""
        self.formerly: int | None = None
        """Of an adopted attempt: the token by which its node calls it until a WELCOME with the new one gets there."""
        self.cancelled = False
        """The node was told to stop it; whatever it answers, the task is cancelled."""
        self.follows: Lease | None = None
        """Of an early lease: that of the task whose outputs it lacks, as long as that is in force (early.py)."""
        self.follower: Lease | None = None
        """The early lease that lacks the outputs of this one."""

    @property
    def lacks_inputs(self) -> bool:
        """Tell whether what it needs has not been accepted, and never will be if the run stops."""
        return self.follows is not None or (self.run.halting and self.run.missing[self.task] > 0)

    def follow(self, before: Lease) -> None:
        """Lack the outputs of another lease."""
        self.follows, before.follower = before, self

    def part(self) -> Lease | None:
        """Have to do with no other lease any more; return the early one that lacks the outputs of this one."""
        before, self.follows = self.follows, None
        if before is not None:
            before.follower = None
        follower, self.follower = self.follower, None
        if follower is not None:
            follower.follows = None
        return follower

    def parts(self) -> Iterator[tuple[Node, Claim]]:
        """Go through its nodes, the first one first, with what it holds on each."""
        yield self.node, self.claim
        yield from self.gang

    def started(self, at: float) -> TaskStarted:
        """Return the event that it runs, since `at` by the wall clock of its node."""
        run, task, node = self.run, self.task, self.node
        graph, hello = run.graph, node.hello
        isolation = hello.sandbox if graph.shapes[graph.shape_of[task]].sandbox else hello.isolation
        again = task in run.objects.lost
        return TaskStarted(task, run.attempt[task], self.token, node.id, hello.address, at, again, isolation)

    @property
    def company(self) -> tuple[int, str]:
        """Return what keeps it apart from others: the run's number and the word; without a word there is nothing."""
        return self.run.no, self.terms.apart


class Leases:
    """All current leases of this head."""

    def __init__(self, epoch: int, shares: Shares, allowances: Allowances) -> None:
        self._tokens = iter(range(make_lease(epoch, 1), make_lease(epoch, LAST) + 1))
        self._shares = shares
        self._allowances = allowances
        self.current: dict[int, Lease] = {}
        self.queued: dict[int, Grant] = {}
        """Grants that had several leases at once."""
        # An ordered one: to take a plain dict's first key again and again is quadratic.
        self._accepted: OrderedDict[int, None] = OrderedDict()

    def next_token(self) -> int:
        """Return a token that was never used."""
        return next(self._tokens)

    def grant(self, lease: Lease, now: float) -> None:
        """Put a new lease in force; the claims of a new grant are already taken from the ledgers of its nodes."""
        lease.since = now
        self._hold(lease)
        if lease.terms.limits:
            self._allowances.take(lease.terms.limits, now)

    def restore(self, lease: Lease, now: float) -> None:
        """Put a lease in force whose attempt began before: of an earlier epoch, or given up for a while."""
        lease.since = now
        self._hold(lease)
        if lease.terms.limits:
            self._allowances.restore(lease.terms.limits)

    def _hold(self, lease: Lease) -> None:
        token, grant = lease.token, lease.grant
        self.current[token] = lease
        lease.node.leases[token] = lease
        grant.leases[token] = lease
        if len(grant.leases) > 1:
            self.queued[grant.id] = grant
            return
        grant.moved_at = lease.since
        lease.node.grants[grant.id] = grant
        project = lease.run.submitted.project
        terms = lease.terms
        if terms == NO_TERMS:
            self._shares.take(project, lease.claim)
            return
        for node, claim in lease.gang:
            node.guests[lease.token] = lease, claim
        for node, claim in lease.parts():
            self._shares.take(project, claim)
            if terms.alone:
                node.solo = lease.token
            if terms.apart:
                node.company[lease.company] = node.company.get(lease.company, 0) + 1

    def end(self, lease: Lease, now: float) -> bool:
        """Take a lease out of force; with the last one of its grant give back all that was held, and return True."""
        token, grant = lease.token, lease.grant
        del self.current[token]
        del lease.node.leases[token]
        del grant.leases[token]
        if grant.leases:
            grant.moved_at = now
            return False
        grant.close()
        self.queued.pop(grant.id, None)
        del lease.node.grants[grant.id]
        self._give_back(lease)
        return True

    def _give_back(self, lease: Lease) -> None:
        for node, _ in lease.gang:
            del node.guests[lease.token]
        project = lease.run.submitted.project
        terms = lease.terms
        for node, claim in lease.parts():
            node.ledger.give_back(claim)
            self._shares.give_back(project, claim)
            if terms.alone:
                node.solo = 0
            if terms.apart:
                _leave(node.company, lease.company)
        if terms.limits:
            self._allowances.give_back(terms.limits)

    def remember(self, token: int) -> None:
        """Note that the result under this token was accepted."""
        accepted = self._accepted
        accepted[token] = None
        if len(accepted) > REMEMBERED:
            accepted.popitem(last=False)

    def was_accepted(self, token: int) -> bool:
        """Tell whether the result under this token was accepted, as far as remembered."""
        return token in self._accepted


def _leave(company: dict[tuple[int, str], int], key: tuple[int, str]) -> None:
    left = company[key] - 1
    if left:
        company[key] = left
    else:
        del company[key]
