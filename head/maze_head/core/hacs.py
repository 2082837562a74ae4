"""HACS: short tasks first that much depends on, of runs that need few more GPUs, and the longer one waits the sooner.

The score of a task, highest first, is that of the HACS paper for static graphs:

    S = Omega * beta ** (t_wait / (alpha * JCT) - R) / T

with Omega = log2(2 + 2 * descendants), R the GPU tasks of its run that are not over, T the seconds that its function is
predicted to take, JCT the average completion time of runs, alpha = 1 and beta = 1.1. Descendants are counted, not
estimated by a longest path; the exponent is not clamped, or ageing would end.

Its logarithm grows for all waiting tasks at the same speed, so their order does not change while they wait, and

    log T - log Omega + R * log(beta) + since * log(beta) / (alpha * JCT)

orders them at any time as S does: it is the rank. It changes with R (`moved`), and with T and JCT (`generation`).

Nobody starves. The best that can arrive takes no time (T = SHORTEST) in a run without GPU tasks, and much depends on it
(Omega_max); a task precedes whatever becomes ready later than it by

    alpha * JCT * (log(T / SHORTEST * Omega_max / Omega) / log(beta) + R)  seconds.

The paper keeps a queue each for gpu, cpu and io tasks, so that no kind blocks another. Here every shape has its own,
which is finer; where shapes compete for the same room, their scores are compared.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from maze_head.core.lineage import standings
from maze_head.core.observed import GPU, Observed, kind_of
from maze_head.core.predictions import Predictions
from maze_head.core.transitions import FINISHED

if TYPE_CHECKING:
    from maze_head.core.runs import Run

__all__ = ["ALPHA", "BETA", "Hacs", "omega"]

ALPHA: Final = 1.0
BETA: Final = 1.1
LOG_BETA: Final = math.log(BETA)


def omega(descendants: int) -> float:
    """Return the weight of a task that so many others wait for, directly or not."""
    return math.log2(2 + 2 * descendants)


class Hacs:
    """The order of the HACS paper, for static graphs."""

    name = "hacs"

    def __init__(self, observed: Observed) -> None:
        self.predictions = Predictions(observed)
        self._left: dict[int, int] = {}
        """R of each live run of which a task was ranked."""
        self._moved: dict[int, None] = {}

    @property
    def generation(self) -> int:
        """Return how often predictions were renewed."""
        return self.predictions.generation

    def lane(self, run: Run, task: int) -> Hashable:
        """Return the run and the group of a task: same R, function and number of descendants."""
        return run.no, standings(run.graph).of[task]

    def rank(self, run: Run, task: int, since: float) -> float:
        """Return the part of -log S that waiting does not change."""
        groups = standings(run.graph)
        code, kind, descendants = groups.members[groups.of[task]]
        seconds = self.predictions.seconds(code, kind)
        ageing = since / (ALPHA * self.predictions.jct)
        return math.log(seconds / omega(descendants)) + (self._gpu_left(run) + ageing) * LOG_BETA

    def _gpu_left(self, run: Run) -> int:
        left = self._left.get(run.no)
        if left is None:
            left = self._left[run.no] = _count_gpu_left(run)
        return left

    def finished(self, run: Run, task: int) -> None:
        """Count down the GPU tasks of a run, and renew the predictions if they are off."""
        kind = kind_of(run.graph.shape(task).request)
        if kind == GPU and run.no in self._left:
            self._left[run.no] -= 1
            self._moved[run.no] = None
        self.predictions.note_end(run.graph.function(task), kind, len(self._left))

    def closed(self, run: Run) -> None:
        """Forget a run that is over."""
        self._left.pop(run.no, None)
        self._moved.pop(run.no, None)

    def moved(self) -> list[int]:
        """Return the runs that need fewer GPUs than before."""
        moved = list(self._moved)
        self._moved.clear()
        return moved


def _count_gpu_left(run: Run) -> int:
    graph = run.graph
    gpu = [kind_of(shape.request) == GPU for shape in graph.shapes]
    if not any(gpu):
        return 0
    return sum(gpu[shape] and phase < FINISHED for shape, phase in zip(graph.shape_of, run.phase, strict=True))
