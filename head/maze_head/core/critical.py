"""Critical path first: the task with the longest way to go starts first.

The way to go is the upward rank of HEFT (Topcuoglu, Hariri and Wu, 2002): the predicted seconds of the task itself plus
the longest way to go of those that wait for it. Moving data is not counted; nothing predicts it.

Each second of waiting counts as a second of way, so a task precedes whatever arrives later with a way that is longer by
less than the time between: nobody is overtaken for longer than the longest way there is.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from maze_head.core.lineage import stretches
from maze_head.core.observed import Observed
from maze_head.core.predictions import Predictions

if TYPE_CHECKING:
    from maze_head.core.graph import Graph
    from maze_head.core.runs import Run

__all__ = ["AGEING", "CriticalPath"]

AGEING: Final = 1.0
"""Seconds of way that one second of waiting stands for."""


class CriticalPath:
    """Longest remaining path first."""

    name = "critical"

    def __init__(self, observed: Observed) -> None:
        self.predictions = Predictions(observed)
        self._ways: dict[tuple[bytes, int], array[float]] = {}
        """Per graph of a live run of which a task was ranked: the way to go of each group of its tasks."""

    @property
    def generation(self) -> int:
        """Return how often predictions were renewed."""
        return self.predictions.generation

    def lane(self, run: Run, task: int) -> Hashable:
        """Return the graph and the group of a task: runs of one graph share their lanes."""
        graph = run.graph
        return graph.workflow_id, graph.version, stretches(graph).of[task]

    def rank(self, run: Run, task: int, since: float) -> float:
        """Return the time of readiness less the way to go."""
        return since * AGEING - self.way(run.graph, task)

    def way(self, graph: Graph, task: int) -> float:
        """Return the predicted seconds of the longest path from a task to a sink, both included."""
        key = graph.workflow_id, graph.version
        ways = self._ways.get(key)
        if ways is None:
            ways = self._ways[key] = self._measure(graph)
        return ways[stretches(graph).of[task]]

    def _measure(self, graph: Graph) -> array[float]:
        ways = array("d")
        for code, kind, after in stretches(graph).members:
            ways.append(self.predictions.seconds(code, kind) + max([ways[there] for there in after], default=0.0))
        return ways

    def finished(self, run: Run, task: int) -> None:
        """Renew the predictions if they are off."""
        code, kind, _ = stretches(run.graph).members[stretches(run.graph).of[task]]
        if self.predictions.note_end(code, kind, len(self._ways)):
            self._ways.clear()

    def closed(self, run: Run) -> None:
        """Forget a graph that no live run uses."""
        graph = run.graph
        if not graph.live_runs:
            self._ways.pop((graph.workflow_id, graph.version), None)

    def moved(self) -> list[int]:
        """Return no run: a way to go does not change while a task waits, but with the predictions."""
        return []
