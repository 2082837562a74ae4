"""Leases: who holds which attempt, under which token. The fence of exactly one accepted result.

A token is (epoch, counter), never used twice. A result counts only if its token is in this table *and* the speaker
holds it. Answers already given are remembered for a while, so that a repeated result is answered as the first was;
beyond that memory the answer is STALE, which the node treats alike (it may forget the result).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from maze_protocol.leases import make_lease
from maze_protocol.resources import Claim

if TYPE_CHECKING:
    from maze_head.core.nodes import Node
    from maze_head.core.runs import Run

__all__ = ["Lease", "Leases"]

REMEMBERED: Final = 16_384


class Lease:
    """One attempt in the hands of a node."""

    __slots__ = ("cancelled", "claim", "formerly", "node", "once", "run", "task", "token")

    def __init__(self, token: int, run: Run, task: int, node: Node, claim: Claim, *, once: bool = False) -> None:
        self.token = token
        self.run = run
        self.task = task
        self.node = node
        self.claim = claim
        self.once = once
        """The task may be started once only (`at_most_once`)."""
        self.formerly: int | None = None
        """Of an adopted attempt: the token by which its node calls it until a WELCOME with the new one gets there."""
        self.cancelled = False
        """The node was told to stop it; whatever it answers, the task is cancelled."""


class Leases:
    """All current leases of this head."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._counter = 0
        self.current: dict[int, Lease] = {}
        self._accepted: set[int] = set()
        # Beside the set, since taking a dict's first key again and again is quadratic.
        self._oldest: deque[int] = deque()

    def grant(self, run: Run, task: int, node: Node, claim: Claim, *, once: bool = False) -> Lease:
        """Make a lease under a new token; the claim is already taken from the node."""
        self._counter += 1
        return self.restore(Lease(make_lease(self._epoch, self._counter), run, task, node, claim, once=once))

    def restore(self, lease: Lease) -> Lease:
        """Put a lease in force; one of an earlier epoch keeps the token under which its node knows it."""
        self.current[lease.token] = lease
        lease.node.leases[lease.token] = lease
        return lease

    def end(self, lease: Lease) -> None:
        """Take a lease out of force and give its claim back."""
        del self.current[lease.token]
        del lease.node.leases[lease.token]
        lease.node.ledger.give_back(lease.claim)

    def remember(self, token: int) -> None:
        """Note that the result under this token was accepted."""
        if token in self._accepted:
            return
        self._accepted.add(token)
        self._oldest.append(token)
        if len(self._oldest) > REMEMBERED:
            self._accepted.discard(self._oldest.popleft())

    def was_accepted(self, token: int) -> bool:
        """Tell whether the result under this token was accepted, as far as remembered."""
        return token in self._accepted
