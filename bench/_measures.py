"""What is measured of a simulated schedule, the same for every policy; and the few statistics that it takes.

* Utilisation: the share of all CPUs and devices that is given away, over the time from the first arrival to the last.
  A device counts with the larger of its thousandths and its memory that are.
* Fragmentation, of GPUs: which share of the free devices the next GPU task could not use, on average over the tasks of
  the workload, by the measure of Weng et al. ("Beware of Fragmentation", USENIX ATC '23): on a node that cannot take
  the task, all that is free; else the devices that have less than it asks for. Of CPUs alike: which share of the free
  CPUs is on nodes that cannot take the next CPU task. The mean of samples at even distances; a cluster without
  anything free has none.
* Wait: from the moment a task's inputs are there until it is given to a node.
* Jain's index of x1…xn: (Σx)² / (n Σx²); 1 if all are equal.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from _baselines import Attempt, Room
from _workloads import Workload

from maze_protocol.resources import Capacity, Claim, Request

__all__ = ["Meter", "confidence", "jain", "percentile"]

SAMPLES = 40


def jain(amounts: Iterable[float]) -> float:
    """Return how evenly something is divided: 1 evenly, 1/n all to one of n."""
    values = list(amounts)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which that share of the sorted values lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def confidence(values: Sequence[float], level: float = 0.95, rounds: int = 10_000) -> tuple[float, float]:
    """Return an interval for the mean that holds it with that confidence (percentile bootstrap)."""
    random = Random(0)
    means = sorted(statistics.fmean(random.choices(values, k=len(values))) for _ in range(rounds))
    return percentile(means, (1 - level) / 2), percentile(means, (1 + level) / 2)


class Meter:
    """Watches a schedule; refuses one that gives away more than there is."""

    def __init__(self, nodes: Sequence[Capacity], work: Workload) -> None:
        self.rooms = [Room(node) for node in nodes]
        self.work = work
        self.gpu_nodes = [room for room in self.rooms if room.vram]
        self.cpus = sum(node.cpu_milli for node in nodes)
        self.devices = sum(len(node.devices) for node in nodes)
        self.last = work.jobs[-1].arrives
        self.cpu = self.gpu = 0.0
        self.areas = [0.0, 0.0]
        self.at = 0.0
        self.waits: list[float] = []
        self.series: list[tuple[float, float, float]] = []
        self.lost: list[tuple[float | None, float | None]] = []
        asked = Counter(step.function.request for job in work.jobs for step in job.app.steps)
        self.gpu_tasks = _shares({request: count for request, count in asked.items() if request.wants_gpu})
        self.cpu_tasks = _shares({request: count for request, count in asked.items() if not request.wants_gpu})

    def advance(self, now: float) -> None:
        """Let time pass."""
        until = min(now, self.last)
        if until > self.at:
            self.areas[0] += self.cpu * (until - self.at)
            self.areas[1] += self.gpu * (until - self.at)
        self.at = now
        if now >= len(self.series) * self.last / SAMPLES and now <= self.last:
            self.series.append((now, self.cpu / self.cpus, self.gpu / self.devices if self.devices else 0.0))
            self.lost.append((self._gpu_lost(), self._cpu_lost()))

    def placed(self, one: Attempt, wait: float) -> None:
        """Count an attempt as running.

        Raises:
            AssertionError: the node has no room for it.
        """
        self._move(one, 1)
        assert not self.rooms[one.node].overdrawn, f"node {one.node} has given away more than it has: {one}"
        self.waits.append(wait)

    def ended(self, one: Attempt) -> None:
        """Count an attempt as over."""
        self._move(one, -1)

    def _move(self, one: Attempt, sign: int) -> None:
        room = self.rooms[one.node]
        self.gpu -= _given(room, one.claim)
        room.take(one.claim, sign)
        self.gpu += _given(room, one.claim)
        self.cpu += sign * one.claim.cpu_milli

    def _gpu_lost(self) -> float | None:
        free = lost = 0.0
        for room in self.gpu_nodes:
            shares = {
                device.index: min(room.milli[device.index] / 1000, room.vram[device.index] / device.mem_mib)
                for device in room.capacity.devices
            }
            here = sum(shares.values())
            free += here
            for request, popularity in self.gpu_tasks if here else ():
                lost += popularity * (_too_small(room, request, shares) if room.choose(request) else here)
        return lost / free if free > 1e-9 else None

    def _cpu_lost(self) -> float | None:
        free = sum(room.cpu for room in self.rooms)
        lost = sum(
            popularity * room.cpu
            for room in self.rooms
            for request, popularity in self.cpu_tasks
            if room.cpu and room.choose(request) is None
        )
        return lost / free if free and self.cpu_tasks else None

    def report(self) -> dict[str, Any]:
        """Return the figures of the schedule."""
        waits = sorted(self.waits)
        return {
            "utilisation": {
                "cpu": round(self.areas[0] / self.last / self.cpus, 3) if self.last else None,
                "gpu": round(self.areas[1] / self.last / self.devices, 3) if self.last and self.devices else None,
            },
            "fragmentation": {"gpu": _mean(gpu for gpu, _ in self.lost), "cpu": _mean(cpu for _, cpu in self.lost)},
            "wait_s": {
                "mean": round(statistics.fmean(waits), 3),
                "p99": round(percentile(waits, 0.99), 2),
                "max": round(waits[-1], 2),
            },
        }


def _shares(counts: dict[Request, int]) -> list[tuple[Request, float]]:
    total = sum(counts.values())
    return [(request, count / total) for request, count in counts.items()]


def _given(room: Room, claim: Claim) -> float:
    """Return how much of the devices of a claim is given away."""
    if not claim.devices:
        return 0.0
    size = {device.index: device.mem_mib for device in room.capacity.devices}
    indices = [part.index for part in claim.devices]
    return sum(1 - min(room.milli[index] / 1000, room.vram[index] / size[index]) for index in indices)


def _too_small(room: Room, request: Request, shares: dict[int, float]) -> float:
    """Return how much is free on devices that cannot serve a request which others of this node can."""
    if not request.gpu_share:
        return sum(share for share in shares.values() if share < 1)
    return sum(
        share
        for index, share in shares.items()
        if room.milli[index] < max(1, request.gpu_milli) or room.vram[index] < request.gpu_mem_mib
    )


def _mean(samples: Iterable[float | None]) -> float | None:
    taken = [sample for sample in samples if sample is not None]
    return round(statistics.fmean(taken), 3) if taken else None
