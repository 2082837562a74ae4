"""Where tasks fit, worked out the slow way: sums over lists, and every choice of devices tried.

Nothing of the head's placement or ledger is used here. Two rules are not arithmetic, and are stated here because the
head is held to them: a device whose thousandths are all given is full, whatever memory is left; and where a capacity
shrank below what is given of it, a node's CPUs and memory take nothing more at all, a device nothing more of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import inf
from typing import Any

from maze_protocol.resources import Capacity, Claim

FULL = 1000
Part = tuple[int, int, int]
"""Index of a device, thousandths, MiB."""


@dataclass(frozen=True)
class Want:
    """What a task asks for."""

    cpu: int
    mem: int
    share: int = 0
    """Thousandths of one device, shared with others."""
    whole: int = 0
    """Devices of its own."""
    gpu_mem: int = 0
    python: tuple[int, int] | None = None
    require: tuple[tuple[str, str], ...] = ()
    apart: str = ""
    nodes: int = 1
    limits: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0
    """How long it may take; a node that leaves before is none for it."""
    follows: int | None = None
    """The task on whose node it must run."""
    run: int = 0

    @property
    def devices(self) -> int:
        """Return how many devices it needs."""
        return self.whole or (1 if self.share or self.gpu_mem else 0)


def want_of(resources: Mapping[str, float], **given: Any) -> Want:
    """Read a declaration as the API reference and decision 27 have it."""
    gpu = resources.get("gpu", 0)
    return Want(
        cpu=int(resources.get("cpu", 1) * FULL),
        mem=int(resources.get("cpu_mem", 0)),
        share=int(gpu * FULL) if gpu < 1 else 0,
        whole=int(gpu) if gpu >= 1 else 0,
        gpu_mem=int(resources.get("gpu_mem", 0)),
        **given,
    )


@dataclass(frozen=True)
class Given:
    """What an attempt was given on one node."""

    node: str
    cpu: int
    mem: int
    parts: tuple[Part, ...] = ()
    company: tuple[int, str] | None = None
    """Its run and the word by which it keeps apart."""


def given_of(node: str, claim: Claim, want: Want) -> Given:
    """Read a claim as the journal has it."""
    parts = tuple((part.index, part.milli, part.mem_mib) for part in claim.devices)
    return Given(node, claim.cpu_milli, claim.mem_mib, parts, (want.run, want.apart) if want.apart else None)


@dataclass
class Place:
    """A node: what it has, and what is given of it."""

    name: str
    capacity: Capacity
    python: tuple[int, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    leaves_in: float = inf
    given: list[Given] = field(default_factory=list)

    @property
    def memory(self) -> dict[int, int]:
        """Return the memory of each device."""
        return {device.index: device.mem_mib for device in self.capacity.devices}

    def parts(self, index: int) -> list[Part]:
        """Return what is given of a device."""
        return [part for each in self.given for part in each.parts if part[0] == index]

    def too_much(self, new: Given) -> str:
        """Return which resource is given beyond what there is, of those that `new` takes of; it is given already."""
        if sum(each.cpu for each in self.given) > self.capacity.cpu_milli:
            return "CPUs"
        if sum(each.mem for each in self.given) > self.capacity.mem_mib:
            return "memory"
        if len(self.given) > self.capacity.workers:
            return "workers"
        for index, _, _ in new.parts:
            if index not in self.memory:
                return f"device {index}, which is not there"
            if sum(milli for _, milli, _ in self.parts(index)) > FULL:
                return f"thousandths of device {index}"
            if sum(mem for _, _, mem in self.parts(index)) > self.memory[index]:
                return f"memory of device {index}"
        return ""

    def shared_wholes(self) -> list[int]:
        """Return the devices that somebody has for himself and others use."""
        return [index for index in self.all_devices() if self._is_whole(index) and len(self.parts(index)) > 1]

    def all_devices(self) -> list[int]:
        """Return the devices that are there or given, though they vanished."""
        return sorted({part[0] for each in self.given for part in each.parts} | set(self.memory))

    def _is_whole(self, index: int) -> bool:
        return any(milli == FULL for _, milli, _ in self.parts(index))

    def could_ever(self, want: Want) -> bool:
        """Tell whether the node would take the task if it were idle."""
        return replace(self, given=[]).takes(replace(want, seconds=0.0))

    def takes(self, want: Want) -> bool:
        """Tell whether there is room for the task now, in any way at all."""
        if not self.suits(want) or (want.apart and self.has_company(want)) or want.seconds > self.leaves_in:
            return False
        return any(not self._would_be_too_much(new) for new in self._ways(want))

    def suits(self, want: Want) -> bool:
        """Tell whether Python and labels are as the task needs them."""
        has = all(key in self.labels and value in ("", self.labels[key]) for key, value in want.require)
        return has and want.python in (None, self.python)

    def has_company(self, want: Want) -> bool:
        """Tell whether a task is here from which this one keeps apart."""
        return (want.run, want.apart) in [each.company for each in self.given]

    def _ways(self, want: Want) -> Iterator[Given]:
        for chosen in combinations(self.memory, want.devices):
            if want.whole:
                fit = all(self.memory[index] >= want.gpu_mem and not self.parts(index) for index in chosen)
                parts = tuple((index, FULL, self.memory[index]) for index in chosen)
            else:
                fit = all(sum(milli for _, milli, _ in self.parts(index)) < FULL for index in chosen)
                parts = tuple((index, want.share, want.gpu_mem) for index in chosen)
            if fit:
                yield Given(self.name, want.cpu, want.mem, parts)

    def _would_be_too_much(self, new: Given) -> str:
        return replace(self, given=[*self.given, new]).too_much(new)


def check_claim(want: Want, new: Given, place: Place) -> None:
    """Assert that an attempt is given what its task asks for: no more, no less, and its share on one device."""
    assert (new.cpu, new.mem) == (want.cpu, want.mem), f"{want} was given {new}"
    assert len({index for index, _, _ in new.parts}) == len(new.parts) == want.devices, f"{want} was given {new}"
    for index, milli, mem in new.parts:
        if want.whole:
            assert (milli, mem) == (FULL, place.memory[index]), f"{want} was given {new}"
            assert mem >= want.gpu_mem, f"{want} was given {new}"
        else:
            assert (milli, mem) == (want.share, want.gpu_mem), f"{want} was given {new}"
