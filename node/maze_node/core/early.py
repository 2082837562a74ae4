"""Early leases: those that lack what another lease of this node makes, and follow it without asking the head.

* Such a lease waits aside. When the other one has ended well it gets that one's outputs for inputs, and its place
  behind its grant. It may come late: the outcome that it waits for is kept until the head has acknowledged it, and the
  head does not do that before it has sent the lease.
* What cannot follow (the other one failed, was given back, made no such output) is an orphan, and is handed back; what
  follows that, too. The head does not wait for it: it lets the task wait again as soon as it knows of the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from maze_node.core.inputs import filled, refs_of, total_size
from maze_node.core.leases import Lease, Leases
from maze_node.core.outbox import Outbox
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.messages import OK, Outcome

__all__ = ["Early"]


class Early:
    """The early leases of a node.

    Args:
        leases: where each lease is.
        outbox: the outcomes of those that are over.
        line_up: lets a lease wait for its turn that has all its inputs but objects, which may have to be fetched.
    """

    def __init__(self, leases: Leases, outbox: Outbox, line_up: Callable[[Lease], None]) -> None:
        self._leases = leases
        self._outbox = outbox
        self._line_up = line_up
        self._behind: dict[int, Lease] = {}
        """By the token of the lease that makes what they lack."""
        self._orphans: list[Lease] = []

    def can_follow(self, token: int) -> bool:
        """Tell whether an early lease gets what it lacks from that lease, as far as one can know."""
        if token in self._leases:
            other = self._behind.get(token)
            return other is None or other.token not in self._leases
        made = self._outbox.outcome_of(token)
        return made is not None and made.status == OK

    def hold(self, lease: Lease) -> None:
        """Take an early lease in."""
        after = lease.assignment.after
        self._leases.hold(lease)
        lease.missing = 1
        self._behind[after] = lease
        made = self._outbox.outcome_of(after)
        if made is not None:
            self.is_over(after, made)

    def is_over(self, token: int, outcome: Outcome | None) -> None:
        """Let the early lease behind one that is over go on, or be handed back.

        Args:
            outcome: how that one has ended; None: nobody wants to know.
        """
        lease = self._behind.pop(token, None)
        if lease is None or lease.token not in self._leases:
            return
        if outcome is not None and outcome.status == OK and _fill(lease, outcome):
            self._line_up(lease)
        else:
            self._orphans.append(lease)

    def take_orphans(self) -> Iterator[Lease]:
        """Go through those that are to be handed back; to hand one back makes an orphan of the next."""
        while self._orphans:
            lease = self._orphans.pop(0)
            if lease.token in self._leases:
                yield lease


def _fill(lease: Lease, outcome: Outcome) -> bool:
    """Give a lease what it lacks; return False if that was not made, or is too much."""
    inputs = filled(lease.inputs, lease.assignment.awaits, outcome.outputs)
    if inputs is None or (size := total_size(inputs)) > MAX_TASK_VALUES:
        return False
    lease.inputs, lease.size, lease.objects, lease.missing = inputs, size, refs_of(inputs), 0
    return True
