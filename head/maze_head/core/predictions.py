"""The predictions that ranks are made of: those of `Observed`, but standing still between renewals.

What is observed moves with every end, and every move would put all ranks in doubt. So a discipline goes by predictions
that stand until one of them is off by more than DRIFT; then all are renewed at once, and the generation grows. To rank
everything anew costs as much as there are lanes: it is done at most once per as many ends as there are runs or graphs
with lanes, and per PATIENCE ends, so the cost per end stays the same at any size.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.observed import Observed

__all__ = ["DRIFT", "PATIENCE", "Predictions"]

DRIFT: Final = 0.1
PATIENCE: Final = 20
KEPT: Final = 10_000
"""Functions beyond which the next renewal forgets those that are gone."""


class Predictions:
    """What is taken as true of functions and runs until the next renewal."""

    def __init__(self, observed: Observed) -> None:
        self.generation = 0
        self.jct = observed.jct
        self._observed = observed
        self._seconds: dict[tuple[bytes, str], float] = {}
        self._ends = 0
        self._stale = False

    def seconds(self, code: bytes, kind: str) -> float:
        """Return how long an attempt of a function is taken to last."""
        key = code, kind
        seconds = self._seconds.get(key)
        if seconds is None:
            seconds = self._seconds[key] = self._observed.seconds(code, kind)
        return seconds

    def note_end(self, code: bytes, kind: str, crowd: int) -> bool:
        """Take note of the end of a task; return True if all predictions were renewed because of it.

        Args:
            crowd: of how many runs, or graphs, there may be lanes.
        """
        self._ends += 1
        used = self._seconds.get((code, kind))
        if used is not None and _off(used, self._observed.seconds(code, kind)):
            self._stale = True
        if self._ends < max(PATIENCE, crowd):
            return False
        if not (self._stale or _off(self.jct, self._observed.jct) or len(self._seconds) > KEPT):
            return False
        self._renew()
        return True

    def _renew(self) -> None:
        self.generation += 1
        self.jct = self._observed.jct
        self._seconds.clear()
        self._ends = 0
        self._stale = False


def _off(used: float, now: float) -> bool:
    return abs(now - used) > DRIFT * used
