"""How workers fare that have just been forked: whether this node can make workers at all, and how fast it may try.

Rules
* A worker that dies before its first task is a failure of the node. Failures in a row slow forking down, and the head
  is told their number: it gives no work to a node that only swallows it.
* The first failure delays nothing: somebody may have killed one process.
* The row ends when a worker reports, or when one that was forked after the last failure has lived for a second. As
  long as it has not ended, one more worker than needed is tried: else a node that recovered would never find out.
"""

from __future__ import annotations

from typing import Final

from maze_node.core.roster import Worker

__all__ = ["ForkHealth"]

PROVEN_AFTER: Final = 1.0
MAX_DELAY: Final = 5.0
ONE_BLOW: Final = 0.1
"""Workers that a dying spawner takes along within this time are one failure."""


class ForkHealth:
    """The failures in a row, and what follows from them."""

    def __init__(self) -> None:
        self.failures = 0
        self._failed_at = 0.0
        self._fork_after = 0.0

    def may_fork(self, mono: float) -> bool:
        """Tell whether a worker may be forked now."""
        return mono >= self._fork_after

    def failed(self, mono: float, *, blameless: bool) -> None:
        """Note that a worker died before it had a task."""
        if blameless and self.failures and mono - self._failed_at < ONE_BLOW:
            return
        self.failures += 1
        self._failed_at = mono
        if self.failures > 1:
            self._fork_after = mono + min(MAX_DELAY, 0.05 * 2**self.failures)

    def succeeded(self) -> None:
        """Note that a worker works."""
        self.failures = 0
        self._fork_after = 0.0

    def look_at(self, idle: list[Worker], mono: float) -> None:
        """Note the workers that wait for a task."""
        if self.failures and any(self._failed_at < each.idle_since <= mono - PROVEN_AFTER for each in idle):
            self.succeeded()
