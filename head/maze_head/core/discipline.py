"""In which order ready tasks start: the interface of a discipline, and the plain one.

A discipline decides nothing else: not where a task runs, not whether it fits, and it never holds one back. It is told
of ready tasks and of ends, and answers with numbers; the ready queues (ready.py) do the sorting. The ready tasks of one
shape and project are divided into lanes. Within a lane tasks start in the order in which they became ready, so only the
first of each lane has a rank that matters, and the cost of a decision follows the number of lanes.

A discipline is pure and deterministic like all of the core: no clock, no I/O, no randomness. What it raises is a bug
that stops the head. One of your own is given to `maze-head --order package.module:Class`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Protocol

from maze_head.core.observed import Observed

if TYPE_CHECKING:
    from maze_head.core.runs import Run

__all__ = ["Discipline", "Fcfs", "MakeDiscipline"]


class Discipline(Protocol):
    """In which order the ready tasks of one shape and project start."""

    @property
    def name(self) -> str:
        """Return what people call it."""

    @property
    def generation(self) -> int:
        """Return a number that grows when the ranks of all tasks must be computed anew."""

    def lane(self, run: Run, task: int) -> Hashable:
        """Return the lane of a task: it never changes, and the ranks within it differ by `since` only."""

    def rank(self, run: Run, task: int, since: float) -> float:
        """Return the place of a ready task: lower starts first, and ranks of all lanes and shapes are compared.

        It must grow with `since`, and stays right until `generation` grows or `moved` names the run.

        Args:
            since: the monotonic time at which it became ready, in seconds, made earlier by its priority.
        """

    def finished(self, run: Run, task: int) -> None:
        """Take note that a task is over, however it ended; it may never have been ready."""

    def closed(self, run: Run) -> None:
        """Forget a run that is over."""

    def moved(self) -> list[int]:
        """Return the numbers of the live runs whose ranks changed since the last call."""


MakeDiscipline = Callable[[Observed], Discipline]
"""What `--order` names: a class whose only argument is what was observed so far, and goes on to be observed."""


class Fcfs:
    """First come, first served: whoever is ready first starts first."""

    name = "fcfs"
    generation = 0

    def __init__(self, observed: Observed) -> None:
        """Take no interest in how long anything takes."""

    def lane(self, run: Run, task: int) -> Hashable:
        """Return the only lane."""
        return None

    def rank(self, run: Run, task: int, since: float) -> float:
        """Return the time of readiness."""
        return since

    def finished(self, run: Run, task: int) -> None:
        """Change nothing."""

    def closed(self, run: Run) -> None:
        """Forget nothing."""

    def moved(self) -> list[int]:
        """Return no run."""
        return []
