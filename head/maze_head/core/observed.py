"""How long attempts and runs took, and so how long the next ones will: what disciplines and backfill predict from.

Rules
* A function (the hash of its code) has its own average once one of its attempts has finished; until then its kind has
  one over all functions; until that has one, a constant stands in. So there is always a number, and never a lookup of
  inputs: an average per input would know nothing of fresh ones.
* Averages are exponential, and plain while there are few observations: the weight of a new one is 1/n until that is
  less than alpha. A slow first attempt (imports, cold caches) would else colour the next ten.
* Only finished attempts count. One that failed or timed out says how long it takes to fail.
* Bounded: the functions that were seen last are kept. Nothing here is journalled; a recovery notes what the logs of
  live runs say, and the summaries of those that are over.

Alphas and constants are those of the original HACS: 0.2 per function, 0.1 per kind and over runs; gpu 60 s, cpu 3 s,
io 2 s; 60 s for a run.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from maze_protocol.resources import Request

__all__ = ["CPU", "GPU", "IO", "SHORTEST", "Observed", "kind_of"]

GPU: Final = "gpu"
CPU: Final = "cpu"
IO: Final = "io"

KEPT_FUNCTIONS: Final = 10_000
SHORTEST: Final = 0.001
"""Seconds that anything takes at least: predictions are divided by, and their logarithms taken."""
FUNCTION_ALPHA: Final = 0.2
KIND_ALPHA: Final = 0.1
LONGEST_ALPHA: Final = 0.03
RUN_ALPHA: Final = 0.1
UNKNOWN: Final = {GPU: 60.0, CPU: 3.0, IO: 2.0}
FIRST_RUN: Final = 60.0

_Average = tuple[float, int]
"""Seconds, and how many observations they come from."""
_NOTHING: Final = 0.0, 0


def kind_of(request: Request) -> str:
    """Return what a task is mostly busy with: `gpu` if it wants a device, `io` if less than a CPU, else `cpu`."""
    if request.wants_gpu:
        return GPU
    return IO if request.cpu_milli < 1000 else CPU


class Observed:
    """Averages of wall time, in seconds.

    Args:
        keep: how many functions are remembered.
    """

    def __init__(self, keep: int = KEPT_FUNCTIONS) -> None:
        self.jct = FIRST_RUN
        """The average time from submission to end of a run that succeeded (job completion time)."""
        self._keep = keep
        self._functions: OrderedDict[bytes, _Average] = OrderedDict()
        self._longest: dict[bytes, float] = {}
        """Per function, the longest of its attempts; an old one counts for less and less."""
        self._kinds: dict[str, _Average] = {}

    def note(self, code: bytes, kind: str, wall_s: float) -> None:
        """Take note of a finished attempt."""
        functions = self._functions
        average = functions[code] = _averaged(functions.get(code, _NOTHING), wall_s, FUNCTION_ALPHA)
        longest = self._longest.get(code, wall_s)
        longest -= LONGEST_ALPHA * (longest - average[0])
        self._longest[code] = wall_s if wall_s > longest else longest
        functions.move_to_end(code)
        if len(functions) > self._keep:
            forgotten, _ = functions.popitem(last=False)
            del self._longest[forgotten]
        self._kinds[kind] = _averaged(self._kinds.get(kind, _NOTHING), wall_s, KIND_ALPHA)

    def note_run(self, seconds: float) -> None:
        """Take note of a run that succeeded."""
        self.jct += RUN_ALPHA * (max(seconds, SHORTEST) - self.jct)

    def known(self, code: bytes) -> float | None:
        """Return how long a function takes, or None if none of its attempts has finished lately."""
        average = self._functions.get(code)
        return None if average is None else average[0]

    def longest(self, code: bytes) -> float | None:
        """Return how long a function takes at most, as far as one has seen lately, or None if nothing is known.

        For promises to others: whoever is let in where room is kept for another must be gone in time.
        """
        return self._longest.get(code)

    def seconds(self, code: bytes, kind: str) -> float:
        """Return how long an attempt will take, as far as one can tell; at least SHORTEST."""
        average = self._functions.get(code) or self._kinds.get(kind)
        return UNKNOWN[kind] if average is None else max(SHORTEST, average[0])


def _averaged(average: _Average, value: float, alpha: float) -> _Average:
    mean, count = average
    count += 1
    weight = 1 / count
    return mean + (weight if weight > alpha else alpha) * (value - mean), count
