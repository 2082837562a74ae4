"""Which limits a sandboxed attempt gets: from what its task declares, as far as the node can keep them. Pure.

* CPU time: what all its CPUs together can give in its `timeout`, if it has one; so it ends also where nobody looks.
* Memory: what it claims, as address space, unless it has a GPU: CUDA reserves far more than it takes. Who claims none
  gets no limit, as ever. The worker adds what it has before, and what the inputs are mapped with.
"""

from __future__ import annotations

from math import ceil

from maze_node.frames import Sandbox
from maze_protocol.messages import SANDBOX, Assignment

__all__ = ["confine"]


def confine(assignment: Assignment, *, cut_network: bool) -> Sandbox | None:
    """Return how an attempt is shut in; None if it is not.

    Args:
        assignment: the attempt.
        cut_network: whether this node can.
    """
    if not assignment.flags & SANDBOX:
        return None
    claim = assignment.claim
    cpus = max(1, ceil(claim.cpu_milli / 1000))
    return Sandbox(cut_network, ceil(assignment.timeout * cpus), 0 if claim.devices else claim.mem_mib)
