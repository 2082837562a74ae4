"""How long a node has been silent, and what that means. Arithmetic only: `now` comes in, nothing goes out.

Any valid message is a sign of life. A node is SUSPECT after a few missed heartbeats (no new work) and LOST when
its lease time has passed (its work goes elsewhere). Silence while the head itself stood still is the head's own
fault: `extend` moves every deadline by that much. One `doubt` (an unroutable link) makes a node suspect at once.
"""

from __future__ import annotations

from enum import Enum

from maze_protocol.limits import LOST_AFTER, SUSPECT_AFTER

__all__ = ["Liveness", "NodeLiveness"]


class Liveness(Enum):
    """What silence says about a node."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    LOST = "lost"


class NodeLiveness:
    """The silence of one node. Times are readings of one monotonic clock."""

    __slots__ = ("_doubted", "_lost_after", "_lost_at", "_suspect_after", "_suspect_at")

    def __init__(
        self, heard_at: float, *, suspect_after: float = SUSPECT_AFTER, lost_after: float = LOST_AFTER
    ) -> None:
        if not 0 < suspect_after <= lost_after:
            raise ValueError(f"need 0 < suspect_after <= lost_after, got {suspect_after} and {lost_after}")
        self._suspect_after = suspect_after
        self._lost_after = lost_after
        self.heard(heard_at)

    def heard(self, now: float) -> None:
        """Record a sign of life; it ends every doubt."""
        self._doubted = False
        self._suspect_at = now + self._suspect_after
        self._lost_at = now + self._lost_after

    def doubt(self, lost_at: float | None = None) -> None:
        """Suspect the node until it is heard again; with `lost_at`, it is lost by then at the latest."""
        self._doubted = True
        if lost_at is not None:
            self._lost_at = min(self._lost_at, lost_at)

    def extend(self, stall: float) -> None:
        """Forgive a silence of `stall` seconds during which this process did not listen."""
        self._suspect_at += stall
        self._lost_at += stall

    def state(self, now: float) -> Liveness:
        """Judge the silence up to `now`."""
        if now >= self._lost_at:
            return Liveness.LOST
        if self._doubted or now >= self._suspect_at:
            return Liveness.SUSPECT
        return Liveness.ALIVE

    def deadline(self) -> float:
        """Return the time from which the node is lost unless it is heard before."""
        return self._lost_at
