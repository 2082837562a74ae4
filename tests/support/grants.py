"""Nothing is given beyond what there is: neither at once nor on top of what a shrunken capacity has left behind.

A capacity may shrink under running attempts, so sums alone cannot tell a legal state from an over-commitment. What can:
of a resource of which more is given than there is, nothing new may be given. The leases of each look are remembered,
so that the next one knows which are new.
"""

from __future__ import annotations

from collections.abc import Sequence

from maze_head.core.leases import Lease
from maze_head.core.nodes import Node
from maze_head.core.state import State
from maze_protocol.resources import Claim

WHOLE = 1000


class Grants:
    """Which leases were in force at the last look."""

    def __init__(self) -> None:
        self._known: frozenset[int] = frozenset()

    def accept(self, state: State) -> None:
        """Take what is given as it is: a head has just read its journal."""
        self._known = frozenset(state.leases.current)

    def look(self, state: State) -> None:
        """Check what was given since the last look.

        Raises:
            AssertionError: a resource was given of which there was not enough.
        """
        for token, lease in state.leases.current.items():
            if token not in self._known:
                _check_limits(state, lease)
        for node in state.nodes.values():
            new = [claim for lease, claim in node.held() if lease.token not in self._known]
            if new:
                _check(node, new)
        self.accept(state)


def _check_limits(state: State, lease: Lease) -> None:
    held = {name: sum(units(each, name) for each in state.leases.current.values()) for name, _ in lease.terms.limits}
    for name, count in held.items():
        limit = state.allowances.limits.get(name)
        most = limit.concurrency if limit is not None else None
        assert most is None or count <= most, f"{count} of {most} units of limit {name!r} are given"


def units(lease: Lease, name: str) -> int:
    """Return how many units of a limit an attempt holds."""
    return dict(lease.terms.limits).get(name, 0)


def _check(node: Node, told: Sequence[Claim]) -> None:
    capacity, claims = node.ledger.capacity, [claim for _, claim in node.held()]
    assert sum(claim.cpu_milli for claim in claims) <= capacity.cpu_milli, f"{node.id}: CPUs over-committed by {told}"
    assert sum(claim.mem_mib for claim in claims) <= capacity.mem_mib, f"{node.id}: memory over-committed by {told}"
    assert len(claims) <= capacity.workers, f"{node.id}: more attempts than workers by {told}"
    memory = {device.index: device.mem_mib for device in capacity.devices}
    for index in {part.index for claim in told for part in claim.devices}:
        assert index in memory, f"{node.id}: device {index} is not there, and was given by {told}"
        milli, mem = _sums(claims, index)
        assert milli <= WHOLE, f"{node.id}: device {index} over-committed by {told}"
        assert mem <= memory[index], f"{node.id}: memory of device {index} over-committed by {told}"


def _sums(claims: Sequence[Claim], index: int) -> tuple[int, int]:
    parts = [part for claim in claims for part in claim.devices if part.index == index]
    return sum(part.milli for part in parts), sum(part.mem_mib for part in parts)
