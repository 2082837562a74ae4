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


class _Average:
    """Of a function or a kind, in seconds."""

    __slots__ = ("mean", "weight")

    def __init__(self) -> None:
        self.mean = 0.0
        self.weight = 1.0
        """That of the next observation."""

    def take(self, seconds: float, alpha: float) -> None:
        weight = self.weight
        self.mean += weight * (seconds - self.mean)
        if weight > alpha:
            self.weight = max(alpha, weight / (1 + weight))


class _OfFunction(_Average):
    __slots__ = ("longest",)

    def __init__(self, longest: float) -> None:
        super().__init__()
        self.longest = longest
        """Of its attempts; an old one counts for less and less."""


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
        self._functions: OrderedDict[bytes, _OfFunction] = OrderedDict()
        self._newest = b""
        """The last of them."""
        self._kinds: dict[str, _Average] = {}

    def note(self, code: bytes, kind: str, wall_s: float) -> None:
        """Take note of a finished attempt."""
        function = self._functions.get(code) or self._begin(code, wall_s)
        if code is not self._newest:  # nearly always the same, and looking that up takes longer than all the rest
            self._functions.move_to_end(code)
            self._newest = code
        function.take(wall_s, FUNCTION_ALPHA)
        longest = function.longest - LONGEST_ALPHA * (function.longest - function.mean)
        function.longest = wall_s if wall_s > longest else longest
        (self._kinds.get(kind) or self._kinds.setdefault(kind, _Average())).take(wall_s, KIND_ALPHA)

    def _begin(self, code: bytes, wall_s: float) -> _OfFunction:
        function = self._functions[code] = _OfFunction(wall_s)
        if len(self._functions) > self._keep:
            self._functions.popitem(last=False)
        return function

    def note_run(self, seconds: float) -> None:
        """Take note of a run that succeeded."""
        self.jct += RUN_ALPHA * (max(seconds, SHORTEST) - self.jct)

    def known(self, code: bytes) -> float | None:
        """Return how long a function takes, or None if none of its attempts has finished lately."""
        average = self._functions.get(code)
        return None if average is None else average.mean

    def longest(self, code: bytes) -> float | None:
        """Return how long a function takes at most, as far as one has seen lately, or None if nothing is known.

        For promises to others: whoever is let in where room is kept for another must be gone in time.
        """
        function = self._functions.get(code)
        return None if function is None else function.longest

    def seconds(self, code: bytes, kind: str) -> float:
        """Return how long an attempt will take, as far as one can tell; at least SHORTEST."""
        average = self._functions.get(code) or self._kinds.get(kind)
        return UNKNOWN[kind] if average is None else max(SHORTEST, average.mean)
