"""What this machine can offer, measured, with the origin of every number in words. Flags override.

CPU is the least of: the affinity mask, the CPU quota of every control group on the path, what Slurm gave, and what
psutil counts. Memory likewise. GPUs are those that NVML shows and CUDA_VISIBLE_DEVICES allows (gpus.py). All sources
stand behind `Probe`, so that tests give numbers.

A `Surveyor` measures again and again. It remembers what was settled at first sight, so that a device that vanishes
neither makes place for one that a flag declares, nor moves another node's device into this node's part.
"""

from __future__ import annotations

import os
from typing import Final, Protocol

from maze_node.cgroups import cpu_quotas, memory_limits
from maze_node.config import Settings
from maze_node.core.offer import Offer, Survey
from maze_node.gpus import Driver, Gpus
from maze_node.slurm import cpu_bounds, memory_bounds
from maze_protocol.resources import Capacity, Device

__all__ = ["HostProbe", "Probe", "Surveyor", "measure"]

MIB: Final = 2**20
WORKERS_PER_CPU: Final = 4
LEAST_WORKERS: Final = 16
MOST_WORKERS: Final = 4096


class Probe(Protocol):
    """Where the numbers come from."""

    def cpus(self) -> list[tuple[float, str]]:
        """Return every bound on CPUs with its origin."""

    def memory(self) -> list[tuple[int, str]]:
        """Return every bound on memory, in MiB, with its origin."""

    def gpus(self) -> Gpus:
        """Return the devices."""


class HostProbe:
    """This machine."""

    def __init__(self) -> None:
        self._driver = Driver()

    def cpus(self) -> list[tuple[float, str]]:
        """Ask the scheduler, psutil, the control groups and Slurm."""
        import psutil

        bounds: list[tuple[float, str]] = [(float(psutil.cpu_count() or 1), "CPUs of the machine")]
        if hasattr(os, "sched_getaffinity"):
            # Of the main thread: 0 would mean the thread that measures, which nobody thinks of when moving a process.
            bounds.append((float(len(os.sched_getaffinity(os.getpid()))), "affinity mask"))
        return [*bounds, *cpu_quotas(), *cpu_bounds()]

    def memory(self) -> list[tuple[int, str]]:
        """Ask psutil, the control groups and Slurm."""
        import psutil

        total = psutil.virtual_memory().total // MIB
        return [(total, "memory of the machine"), *memory_limits(), *memory_bounds(min(self.cpus())[0])]

    def gpus(self) -> Gpus:
        """Ask NVML."""
        return self._driver.find()


class Surveyor:
    """Measures what a node with these settings offers."""

    def __init__(self, settings: Settings, probe: Probe | None = None) -> None:
        self._settings = settings
        self._probe = probe or HostProbe()
        self._declared: tuple[Device, ...] | None = None
        self._ours: frozenset[str] | None = None
        """The devices of this node, once there were some to choose from; None: all that are found."""

    def survey(self) -> Survey:
        """Look at the machine once: totals with their origins, and what of each measured device is in use."""
        settings, probe = self._settings, self._probe
        cpus, cpu_origin = (settings.cpus, "--cpus") if settings.cpus is not None else _cpu_share(settings, probe)
        memory, memory_origin = (
            (settings.memory, "--memory") if settings.memory is not None else _memory_share(settings, probe)
        )
        gpus = self._gpus()
        workers, worker_origin = _workers(settings, cpus)
        origins = (("cpu", cpu_origin), ("memory", memory_origin), ("gpu", gpus.origin), ("workers", worker_origin))
        return Survey(Capacity(max(1, round(cpus * 1000)), memory, gpus.devices, workers, origins), gpus.uses)

    def _gpus(self) -> Gpus:
        """Take the measured devices, cut or filled up to --gpus; declared ones need not be there (for tests)."""
        settings = self._settings
        if settings.gpus == 0:
            return Gpus((), "--gpus")
        found = self._probe.gpus() if "gpus" in settings.detect else Gpus((), "--detect")
        declared = self._declare(found.devices)
        ours = self._choose(found.devices, len(declared))
        devices = (*(each for each in found.devices if each.uuid in ours), *declared)
        origin = found.origin + _part(settings) if settings.gpus is None else f"--gpus; {found.origin}"
        if settings.gpu_mem is None:
            return Gpus(devices, origin, tuple(use for use in found.uses if use.uuid in ours))
        devices = tuple(Device(each.index, settings.gpu_mem, each.uuid, each.name) for each in devices)
        return Gpus(devices, f"{origin}; memory by --gpu-mem")

    def _declare(self, found: tuple[Device, ...]) -> tuple[Device, ...]:
        """Return the devices that flags declare beyond those that are there at first sight."""
        if self._declared is None:
            first = max((each.index for each in found), default=-1) + 1
            missing = max(0, (self._settings.gpus or 0) - len(found))
            self._declared = tuple(Device(first + number, 0, "", "declared") for number in range(missing))
        return self._declared

    def _choose(self, found: tuple[Device, ...], declared: int) -> frozenset[str]:
        """Return which devices are this node's: settled when there are some."""
        part, count = self._settings.share
        if self._settings.gpus is None and count == 1:
            return frozenset(each.uuid for each in found)
        if self._ours is None and found:
            wanted = self._settings.gpus
            chosen = found[part - 1 :: count] if wanted is None else found[: wanted - declared]
            self._ours = frozenset(each.uuid for each in chosen)
        return self._ours or frozenset()


def measure(settings: Settings, probe: Probe | None = None) -> Capacity:
    """Return what the node would offer now."""
    return Offer(Surveyor(settings, probe).survey()).now


def _cpu_share(settings: Settings, probe: Probe) -> tuple[float, str]:
    """Return this node's part of the CPUs: at least one, so that a task of the default size fits somewhere."""
    if "cpus" not in settings.detect:
        return 1.0, "--detect"
    cpus, origin = min(probe.cpus())
    return max(min(cpus, 1.0), cpus / settings.share[1]), origin + _part(settings)


def _memory_share(settings: Settings, probe: Probe) -> tuple[int, str]:
    if "mem" not in settings.detect:
        return 0, "--detect"
    memory, origin = min(probe.memory())
    return memory // settings.share[1], origin + _part(settings)


def _part(settings: Settings) -> str:
    part, count = settings.share
    return f", part {part} of {count}" if count > 1 else ""


def _workers(settings: Settings, cpus: float) -> tuple[int, str]:
    if settings.workers is not None:
        return settings.workers, "--workers"
    count = min(MOST_WORKERS, max(LEAST_WORKERS, round(cpus * WORKERS_PER_CPU)))
    return count, f"{WORKERS_PER_CPU} per CPU, at least {LEAST_WORKERS}"
