"""While the disk is full: nothing new is promised, nothing is lost, and everybody can still look.

Commands that change something are refused (507). What nodes tell about their attempts waits here, unanswered, so that
they keep it, and is handled in its order when there is room again. Liveness goes on: a node that falls silent is lost
as ever, which is few and small facts. Nothing is placed.
"""

from __future__ import annotations

from maze_head.core.errors import Unavailable
from maze_head.core.events import NodeSaid
from maze_head.core.state import State
from maze_protocol.messages import Drain, Heartbeat

__all__ = ["refusal", "waits"]


def refusal() -> Unavailable:
    """Return the answer to a command that needs the disk."""
    return Unavailable(
        "disk_full",
        "the disk of the head's state directory is full, so nothing new is taken; what was acknowledged is safe",
        hint="free space there, and the head goes on by itself",
    )


def waits(state: State, event: NodeSaid) -> bool:
    """Keep what a node says for later if it would have to be written; tell whether it was kept."""
    if not state.read_only or isinstance(event.message, (Heartbeat, Drain)):
        return False
    state.unheard.append(event)
    return True
