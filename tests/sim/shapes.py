"""What worlds of many shapes have besides: devices, labels, company, several nodes, limits, changing capacities.

Only such worlds ask these dice, and they are dice of their own: so all other worlds are as they would be without them.
Whatever is drawn can be had once everything is healed, since then everything must come to an end.
"""

from __future__ import annotations

from random import Random
from typing import Any

from maze_protocol.cluster import LimitRequest
from maze_protocol.resources import Capacity, Device
from sim.knobs import Knobs

DEVICE_MEMORY = 24_000
MEMORY = 4096
LIMIT = "api"
DEVICES: tuple[dict[str, float], ...] = (
    {"gpu": 1},
    {"gpu": 2},
    {"gpu": 0.5},
    {"gpu": 0.3, "gpu_mem": 8000},
    {"gpu_mem": 8000},
    {"gpu_mem": 16_000},
    {"gpu": 1, "gpu_mem": 20_000},
)
PLACES = ("any", "require", "prefer", "apart", "several", "several", "follow")


def has_shapes(seed: int) -> bool:
    """Tell whether a seed's world is one of those."""
    return seed % 10 in (3, 7)


class Shapes:
    """The dice of one world."""

    def __init__(self, seed: int, knobs: Knobs) -> None:
        self._random = Random(f"shapes of {seed}")
        self._knobs = knobs
        self._devices = self._random.choice((0, 1, 2))
        self._taste = self._random.choice(PLACES)
        self.limit = LimitRequest(concurrency=self._random.choice((1, 2)))

    def capacity(self) -> Capacity:
        """Return what each node of this world has."""
        knobs = self._knobs
        devices = tuple(Device(index, DEVICE_MEMORY) for index in range(self._devices)) if knobs.shapes else ()
        return Capacity(knobs.cpus * 1000, MEMORY, devices, knobs.workers)

    def less(self) -> Capacity:
        """Return what a node has left of it after something happened to its machine."""
        whole, random = self.capacity(), self._random
        devices = random.sample(whole.devices, random.randint(0, len(whole.devices)))
        left = [Device(each.index, random.choice((each.mem_mib, 10_000))) for each in devices]
        cpu_milli, mem_mib = random.choice((whole.cpu_milli, 1000)), random.choice((MEMORY, 1024))
        return Capacity(cpu_milli, mem_mib, tuple(sorted(left, key=lambda each: each.index)), whole.workers)

    def labels(self, name: str) -> dict[str, str]:
        """Return the labels of a node: they are odd and even."""
        return {"parity": "odd" if int(name[1:]) % 2 else "even"} if self._knobs.shapes else {}

    def task(self, resources: dict[str, float], sources: list[int]) -> dict[str, Any]:
        """Return what a task asks for besides its CPUs, `resources`, and the numbers of tasks that it may follow."""
        random, knobs = self._random, self._knobs
        if not knobs.shapes:
            return {"resources": resources}
        resources = {"cpu": random.choice((0.25, 0.5, resources["cpu"]))}
        if self._devices and random.random() < 0.5:
            resources = resources | random.choice([each for each in DEVICES if each.get("gpu", 0) <= self._devices])
        if random.random() < 0.3:
            resources = resources | {"cpu_mem": random.choice((500, 2000, MEMORY))}
        asked: dict[str, Any] = {"resources": resources}
        if random.random() < 0.3:
            asked["limits"] = {LIMIT: 1}
        return asked | self._place(sources)

    def _place(self, sources: list[int]) -> dict[str, Any]:
        random, several = self._random, self._knobs.nodes > 1
        # Most tasks of one world are of one kind, so that they meet.
        kind = self._taste if random.random() < 0.5 else random.choice(PLACES)
        if kind == "require":
            return {"require": {"parity": random.choice(("odd", "even") if several else ("odd",))}}
        if kind == "prefer":
            return {"prefer": {"parity": random.choice(("odd", "even"))}}
        if kind == "apart":
            return {"apart": "others"}
        if kind == "several" and several:
            return {"nodes": 2}
        return {"follow": random.choice(sources)} if kind == "follow" and sources else {}

    def run(self) -> dict[str, Any]:
        """Return what is said of a run."""
        if not self._knobs.shapes:
            return {}
        return {"priority": self._random.choice((-1, 0, 0, 1)), "project": self._random.choice(("", "p"))}
