"""Projects that compete for a cluster, in virtual time: the head's own core, and nodes that only keep time.

Tasks run for half to one and a half times as long as their project says, drawn from a seed. What each project holds is
added up over the time in which every project has work waiting: only then are shares a matter of the scheduler, not of
the demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple

import msgspec

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.settings import Settings
from maze_head.core.transitions import READY
from maze_protocol.cluster import CapBody, ProjectRequest
from maze_protocol.messages import Outcome
from maze_protocol.resources import Capacity
from support.head_core import Head, add, ok

__all__ = ["Demand", "FairCluster", "jain"]


class Demand(NamedTuple):
    """What a project wants."""

    project: str
    tasks: int
    seconds: float
    resources: dict[str, float]
    weight: float = 1.0
    cap: CapBody = CapBody()
    more: dict[str, Any] = {}
    """Other options of its tasks."""


def jain(amounts: Sequence[float]) -> float:
    """Return Jain's index of fairness: 1 if all are equal, 1/n if one has everything (Jain, Chiu, Hawe, 1984)."""
    return sum(amounts) ** 2 / (len(amounts) * sum(amount**2 for amount in amounts))


class FairCluster:
    """One head, its nodes and the projects' runs."""

    def __init__(self, nodes: Sequence[Capacity], demands: Sequence[Demand], seed: int = 0) -> None:
        self.head = Head(Settings(suspect_after=1e9, lost_after=2e9))
        self.demands: dict[str, Demand] = {}
        self.ends: list[tuple[float, int, bytes, float]] = []
        self.started: list[tuple[float, str]] = []
        self.shares: dict[str, float] = {}
        """Share-seconds of each project: its dominant share divided by its weight, over the contested time."""
        self.contested = 0.0
        self._random = Random(seed)
        # Before the nodes: nobody shall have a start on the others.
        for demand in demands:
            self.submit(demand)
        for capacity in nodes:
            self.join(capacity)

    def join(self, capacity: Capacity) -> None:
        """Let one more node join."""
        number = len(self.head.core.state.nodes)
        self.head.greet(b"L%d" % number, f"n{number}", capacity=capacity)
        self._start()

    def submit(self, demand: Demand) -> None:
        """Submit the run of a project."""
        self.demands[demand.project] = demand
        self.shares[demand.project] = 0.0
        if demand.weight != 1.0 or demand.cap != CapBody():
            self.head.ask(ev.SetProject, demand.project, ProjectRequest(demand.weight, demand.cap))
        ids = bytes([len(self.demands)]) * 16
        tasks = [add(task, resources=demand.resources, **demand.more) for task in range(demand.tasks)]
        self.head.workflow(*tasks, workflow_id=ids)
        self.head.run(ids, ids, project=demand.project)
        self._start()

    def _start(self) -> None:
        for effect in self.head.take(fx.AssignTask):
            project = effect.assignment.project
            seconds = self.demands[project].seconds * self._random.uniform(0.5, 1.5)
            heappush(self.ends, (self.head.mono + seconds, effect.assignment.lease, effect.link, seconds))
            self.started.append((self.head.mono, project))
        self.head.forget()

    def run_of(self, project: str) -> bytes:
        """Return the id of a project's run."""
        runs = self.head.core.state.runs.values()
        return next(run.submitted.run_id for run in runs if run.submitted.project == project)

    def reset(self) -> None:
        """Begin to add up anew."""
        self.shares = dict.fromkeys(self.shares, 0.0)
        self.contested = 0.0

    def run(self, until: float = float("inf"), tick: float = 0.25) -> None:
        """Let time pass until every task is over, or so many seconds have passed."""
        head, begin = self.head, self.head.mono
        while self.head.core.state.runs and head.mono - begin < until:
            due = min(self.ends[0][0] if self.ends else float("inf"), head.mono + tick)
            self._add_up(due - head.mono)
            head.mono = due
            ended: dict[bytes, list[Outcome]] = {}
            while self.ends and self.ends[0][0] <= due:
                _, lease, link, seconds = heappop(self.ends)
                # What the core learns of durations must be true.
                ended.setdefault(link, []).append(msgspec.structs.replace(ok(lease), wall_ms=1000 * seconds))
            for link, outcomes in ended.items():
                head.result(*outcomes, link=link)
                self._start()
            if not ended:
                head.do(ev.Ticked())
                self._start()

    def _add_up(self, seconds: float) -> None:
        runs = self.head.core.state.runs.values()
        wanting = {run.submitted.project for run in runs if run.counts[READY]}
        if wanting < set(self.demands):
            return
        self.contested += seconds
        for project in self.shares:
            self.shares[project] += seconds * self.head.core.state.shares.share(project)

    @property
    def mean_shares(self) -> dict[str, float]:
        """Return each project's mean share over the contested time."""
        return {project: amount / self.contested for project, amount in self.shares.items()}
