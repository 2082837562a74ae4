"""What the core is measured against: two simple schedulers, and bounds that none can beat.

The schedulers know the same resources and start tasks of the same graphs. `HeadOfLine` serves all ready tasks in one
line, and who stands first holds up everybody; `FirstFit` goes through the line and starts whatever fits, each on the
first node with room. Neither predicts, reserves, or knows projects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from _workloads import Job, demand, pools

from maze_protocol.resources import Capacity, Claim, DeviceClaim, Request

__all__ = ["Attempt", "FirstFit", "HeadOfLine", "Room", "bounds"]


class Attempt(NamedTuple):
    """One decision: this step of this job runs on this node, with this claim."""

    job: int
    step: int
    node: int
    claim: Claim
    token: int = 0


class Room:
    """What is free on a node."""

    __slots__ = ("capacity", "cpu", "mem", "milli", "vram", "workers")

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.cpu, self.mem, self.workers = capacity.cpu_milli, capacity.mem_mib, capacity.workers
        self.milli = {device.index: 1000 for device in capacity.devices}
        self.vram = {device.index: device.mem_mib for device in capacity.devices}

    def choose(self, request: Request) -> Claim | None:
        """Return the claim that would serve a request, on the first devices with room, or None."""
        if request.cpu_milli > self.cpu or request.mem_mib > self.mem or not self.workers:
            return None
        if not request.wants_gpu:
            return Claim(request.cpu_milli, request.mem_mib)
        parts = self._share(request) if request.gpu_share else self._whole(request)
        return Claim(request.cpu_milli, request.mem_mib, tuple(parts)) if parts else None

    def _share(self, request: Request) -> list[DeviceClaim]:
        for index, milli in self.milli.items():
            if milli >= max(1, request.gpu_milli) and self.vram[index] >= request.gpu_mem_mib:
                return [DeviceClaim(index, request.gpu_milli, request.gpu_mem_mib)]
        return []

    def _whole(self, request: Request) -> list[DeviceClaim]:
        free = [
            DeviceClaim(device.index, 1000, device.mem_mib)
            for device in self.capacity.devices
            if self.milli[device.index] == 1000 and self.vram[device.index] == device.mem_mib >= request.gpu_mem_mib
        ]
        return free[: request.whole_devices] if len(free) >= request.whole_devices else []

    def take(self, claim: Claim, sign: int = 1) -> None:
        """Give a claim away, or take it back (sign -1)."""
        self.cpu -= sign * claim.cpu_milli
        self.mem -= sign * claim.mem_mib
        self.workers -= sign
        for part in claim.devices:
            self.milli[part.index] -= sign * part.milli
            self.vram[part.index] -= sign * part.mem_mib

    @property
    def overdrawn(self) -> bool:
        """Tell whether more was given away than there is."""
        return min(self.cpu, self.mem, self.workers, 0, *self.milli.values(), *self.vram.values()) < 0


class HeadOfLine:
    """First come, first served, and nobody overtakes."""

    name = "head-of-line"

    def __init__(self, nodes: Sequence[Capacity]) -> None:
        self.rooms = [Room(node) for node in nodes]
        self.line: deque[tuple[int, int, Request]] = deque()
        self.stuck = False
        """The first in line did not fit anywhere, and nothing has been freed since."""

    def submit(self, number: int, job: Job) -> None:
        """Take note of nothing: its first tasks are ready at once, and said to be so."""

    def ready(self, job: int, step: int, request: Request) -> None:
        """Put a task whose inputs are there at the end of the line."""
        self.line.append((job, step, request))

    def finish(self, ended: Sequence[Attempt], seconds: Sequence[float]) -> None:
        """Take back what attempts held."""
        for one in ended:
            self.rooms[one.node].take(one.claim, -1)
        self.stuck = self.stuck and not ended

    def place(self) -> list[Attempt]:
        """Start tasks from the front until one does not fit."""
        placed: list[Attempt] = []
        while self.line and not self.stuck:
            job, step, request = self.line[0]
            found = next(((n, c) for n, room in enumerate(self.rooms) if (c := room.choose(request)) is not None), None)
            self.stuck = found is None
            if found is not None:
                self.line.popleft()
                self.rooms[found[0]].take(found[1])
                placed.append(Attempt(job, step, *found))
        return placed


class _Line:
    """The waiting tasks of one request, and the first node that may have room for it."""

    __slots__ = ("first", "tasks")

    def __init__(self) -> None:
        self.tasks: deque[tuple[int, int, int]] = deque()
        self.first = 0


class FirstFit:
    """First come, first served among those that fit."""

    name = "first-fit"

    def __init__(self, nodes: Sequence[Capacity]) -> None:
        self.rooms = [Room(node) for node in nodes]
        self.lines: dict[Request, _Line] = {}
        self.serial = 0

    def submit(self, number: int, job: Job) -> None:
        """Take note of nothing: its first tasks are ready at once, and said to be so."""

    def ready(self, job: int, step: int, request: Request) -> None:
        """Put a task whose inputs are there at the end of its line."""
        self.serial += 1
        line = self.lines.get(request)
        if line is None:
            line = self.lines[request] = _Line()
        line.tasks.append((self.serial, job, step))

    def finish(self, ended: Sequence[Attempt], seconds: Sequence[float]) -> None:
        """Take back what attempts held."""
        for one in ended:
            self.rooms[one.node].take(one.claim, -1)
        freed = min((one.node for one in ended), default=len(self.rooms))
        for line in self.lines.values():
            line.first = min(line.first, freed)

    def place(self) -> list[Attempt]:
        """Start, in the order of waiting, whatever fits."""
        placed: list[Attempt] = []
        heads = [(line.tasks[0], request) for request, line in self.lines.items() if line.tasks]
        heads.sort(reverse=True)
        while heads:
            (_, job, step), request = heads.pop()
            line = self.lines[request]
            claim = self._search(line, request)
            if claim is None:
                continue
            line.tasks.popleft()
            self.rooms[line.first].take(claim)
            placed.append(Attempt(job, step, line.first, claim))
            if line.tasks:
                heads.append((line.tasks[0], request))
                heads.sort(reverse=True)
        return placed

    def _search(self, line: _Line, request: Request) -> Claim | None:
        while line.first < len(self.rooms):
            claim = self.rooms[line.first].choose(request)
            if claim is not None:
                return claim
            line.first += 1
        return None


def _critical_path(job: Job) -> float:
    ends: list[float] = []
    for step, seconds in zip(job.app.steps, job.seconds, strict=True):
        ends.append(seconds + max((ends[source] for source in step.sources), default=0.0))
    return max(ends)


def _least_flow(works: Sequence[tuple[float, float]]) -> float:
    """Return the least mean time in system of jobs (arrival, work) on one machine of speed 1.

    Shortest remaining processing time first, which is optimal there (Schrage 1968).
    """
    left: list[float] = []
    now = total = 0.0
    for arrives, work in [*works, (float("inf"), 0.0)]:
        while left and now + left[0] <= arrives:
            now += heappop(left)
            total += now
        if left and arrives < float("inf"):
            heappush(left, heappop(left) - (arrives - now))
        now = max(now, arrives)
        if arrives < float("inf"):
            total -= arrives
            heappush(left, work)
    return total / len(works)


def bounds(jobs: Sequence[Job], nodes: Sequence[Capacity]) -> dict[str, float]:
    """Return what no scheduler can be better than, even one that knows the future.

    * Mean job completion time: the mean critical path; and for each resource, that of the whole cluster as one machine
      which serves the jobs' shares of it one after another, the shortest remaining first.
    * Makespan: a job's arrival and critical path; and for each resource, the work that arrives after some moment, done
      by all of it.
    """
    paths = [_critical_path(job) for job in jobs]
    flow, makespan = 0.0, max(job.arrives + path for job, path in zip(jobs, paths, strict=True))
    for pool in pools(nodes):
        shares: dict[Request, float] = {}
        works: list[tuple[float, float]] = []
        for job in jobs:
            work = 0.0
            for step, seconds in zip(job.app.steps, job.seconds, strict=True):
                request = step.function.request
                if request not in shares:
                    shares[request] = demand(request, pool) / pool.size
                work += seconds * shares[request]
            if work:
                works.append((job.arrives, work))
        if works:
            flow = max(flow, _least_flow(works) * len(works) / len(jobs))
            later = 0.0
            for arrives, work in reversed(works):
                later += work
                makespan = max(makespan, arrives + later)
    mean_path = sum(paths) / len(paths)
    return {
        "mean_jct_s": max(mean_path, flow),
        "mean_critical_path_s": mean_path,
        "mean_jct_by_area_s": flow,
        "makespan_s": makespan,
    }
