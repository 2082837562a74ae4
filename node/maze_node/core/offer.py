"""What the node offers: what it was told at the start, corrected by what is measured again and again.

Rules
* A device's memory is what is free on it and what our own attempts use of it: others' use is subtracted. Where that
  cannot be told apart, it is measured only while no attempt of ours holds the device, and kept otherwise.
* A reading of memory is not believed alone: processes come and go between the calls that make one reading. Less is
  believed when two readings in a row say so, more when RISE of them do, and then the one nearest to the old value: what
  somebody takes and gives back all the time is not ours, and not worth telling each time.
* Devices without readings (declared, or with --gpu-mem) are as they were declared, for ever.
* What is measured is told only if it matters: a step of STEP_MIB or STEP_SHARE, a device that goes or comes. The
  head's picture (`told`) is what the node itself goes by, so that both refuse the same claims.
* No survey for SILENT_TICKS: the driver hangs, and its devices are as good as gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from maze_protocol.resources import Capacity, Device

__all__ = ["RISE", "SILENT_TICKS", "STEP_MIB", "STEP_SHARE", "Offer", "Survey", "Use"]

RISE: Final = 5
STEP_MIB: Final = 256
STEP_SHARE: Final = 0.02
SILENT_TICKS: Final = 40
"""Half seconds. Counted in ticks, so that a standstill of our own does not look like one of the driver."""


class Use(NamedTuple):
    """How much of a measured device is in use."""

    uuid: str
    free_mib: int
    own_mib: int | None
    """Of it by this node's own processes; None: cannot be told."""


class Survey(NamedTuple):
    """One look at the machine: totals with their origins, and a reading of each device that is measured."""

    capacity: Capacity
    uses: tuple[Use, ...] = ()


class Offer:
    """What the node offers now, and what the head was told."""

    def __init__(self, first: Survey) -> None:
        self._total = first
        self._memory = {use.uuid: use.free_mib + (use.own_mib or 0) for use in first.uses}
        self._readings = {uuid: deque([memory] * RISE, RISE) for uuid, memory in self._memory.items()}
        self._silence = 0
        self.now = self.told = self._capacity()

    def take(self, survey: Survey, held: Callable[[int], bool]) -> None:
        """Take in a survey; `held` tells whether an attempt of ours may use a device."""
        self._silence = 0
        self._total = survey
        indices = {device.uuid: device.index for device in survey.capacity.devices}
        for use in survey.uses:
            if use.own_mib is not None or not held(indices[use.uuid]):
                self._read(use)
        self.now = self._capacity()

    def tick(self) -> None:
        """Count a tick without a survey."""
        self._silence += 1
        if self._silence == SILENT_TICKS and self._total.uses:
            self._total = _without_measured(self._total, f"NVML has not answered for {SILENT_TICKS // 2} s")
            self.now = self._capacity()

    def news(self) -> str:
        """Return how what is offered differs from what was told, in words; empty if not by enough."""
        return "; ".join(_differences(self.told, self.now))

    def tell(self) -> Capacity:
        """Return what is offered now; from here on it counts as told."""
        self.told = self.now
        return self.told

    def _read(self, use: Use) -> None:
        new = use.free_mib + (use.own_mib or 0)
        old = self._memory.setdefault(use.uuid, new)
        readings = self._readings.setdefault(use.uuid, deque([new] * RISE, RISE))
        readings.append(new)
        self._memory[use.uuid] = max(min(readings), min(max(readings[-1], readings[-2]), old))

    def _capacity(self) -> Capacity:
        total = self._total.capacity
        measured = {use.uuid for use in self._total.uses}
        devices = tuple(self._corrected(each) if each.uuid in measured else each for each in total.devices)
        origins = [_origin(whole, part) for whole, part in zip(total.devices, devices, strict=True) if whole != part]
        return msgspec.structs.replace(total, devices=devices, origins=(*total.origins, *origins))

    def _corrected(self, device: Device) -> Device:
        return msgspec.structs.replace(
            device, mem_mib=min(device.mem_mib, self._memory.get(device.uuid, device.mem_mib))
        )


def _without_measured(survey: Survey, why: str) -> Survey:
    measured = {use.uuid for use in survey.uses}
    capacity = survey.capacity
    left = tuple(device for device in capacity.devices if device.uuid not in measured)
    origins = tuple((name, why if name == "gpu" else origin) for name, origin in capacity.origins)
    return Survey(msgspec.structs.replace(capacity, devices=left, origins=origins))


def _origin(whole: Device, part: Device) -> tuple[str, str]:
    others = whole.mem_mib - part.mem_mib
    return f"gpu {part.index}", f"{whole.mem_mib:,} MiB by NVML, {others:,} MiB of them in use by others"


def _differences(old: Capacity, new: Capacity) -> Iterator[str]:
    origins = dict(new.origins)
    if _matters(old.cpu_milli, new.cpu_milli, 0):
        yield f"{new.cpu_milli / 1000:g} CPUs instead of {old.cpu_milli / 1000:g} ({origins.get('cpu', '')})"
    if _matters(old.mem_mib, new.mem_mib, STEP_MIB):
        yield f"{new.mem_mib:,} MiB instead of {old.mem_mib:,} ({origins.get('memory', '')})"
    before = {_identity(device): device for device in old.devices}
    after = {_identity(device): device for device in new.devices}
    gone = [device for key, device in before.items() if key not in after]
    if gone:
        yield f"{_names(gone)} gone ({origins.get('gpu', '')})"
    come = [device for key, device in after.items() if key not in before]
    if come:
        yield f"{_names(come)} there"
    for key, device in after.items():
        if key in before and _matters(before[key].mem_mib, device.mem_mib, STEP_MIB):
            yield f"GPU {device.index}: {device.mem_mib:,} MiB instead of {before[key].mem_mib:,}, for others' use"


def _matters(old: int, new: int, step: int) -> bool:
    return old != new and abs(new - old) >= max(step, STEP_SHARE * max(old, new))


def _identity(device: Device) -> tuple[int, str]:
    return device.index, device.uuid


def _names(devices: list[Device]) -> str:
    listed = ", ".join(str(device.index) for device in devices)
    return f"GPU {listed} is" if len(devices) == 1 else f"GPUs {listed} are"
