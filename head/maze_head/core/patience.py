"""For how long what nodes say may wait for more, to be handled in one turn: a turn costs as much as several results.

* Results: as long as each worker that they tell of has enough in hand meanwhile: SHARE of what its grant still holds,
  by how long that was expected to run. The rest is for the node, which gathers its ends, and for the way of what comes.
* The last result of a grant waits for nothing, so a lone task never does.
* Starts and heartbeats only tell how things stand: nobody is idle for want of them. All else is taken in at once.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.events import NodeSaid
from maze_head.core.leases import Grant
from maze_head.core.nodes import Node
from maze_head.core.state import State
from maze_protocol.messages import Heartbeat, Result, Started

__all__ = ["HANDLING", "LONGEST", "patience"]

SHARE: Final = 0.4
LONGEST: Final = 0.008
SHORTEST: Final = 0.001
"""Less is not worth a timer."""
HANDLING: Final = 0.0001
"""Seconds that a worker takes from task to task, beside what it runs, at least."""


def patience(state: State, said: NodeSaid) -> float:
    """Return for how many seconds after a turn what a node says may wait."""
    node = state.links.get(said.link)
    if node is None:
        return 0.0
    if isinstance(said.message, Result):
        return _of_results(node, said.message)
    return LONGEST if isinstance(said.message, (Started, Heartbeat)) else 0.0


def _of_results(node: Node, message: Result) -> float:
    leases, told = node.leases, dict[Grant, int]()
    if len(leases) <= len(message.items):
        return 0.0  # nothing is in hand: so it is with lone tasks
    for outcome in message.items:
        lease = leases.get(outcome.lease)
        if lease is not None:
            told[lease.grant] = told.get(lease.grant, 0) + 1
    seconds = min([_in_hand(grant, ends) for grant, ends in told.items()], default=0.0)
    return min(LONGEST, SHARE * seconds) if SHARE * seconds >= SHORTEST else 0.0


def _in_hand(grant: Grant, ends: int) -> float:
    """Return for how long what is left of a grant keeps its worker busy, once so many ends are taken in."""
    last = next(reversed(grant.leases.values()))
    return (len(grant.leases) - ends) * (last.seconds + HANDLING) if last.seconds else 0.0
