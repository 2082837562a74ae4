"""What this machine can offer, measured, with the origin of every number in words. Flags override.

CPU is the least of: the affinity mask, the CPU quota of every control group on the path, and what psutil counts.
Memory likewise. GPUs are those that NVML shows and CUDA_VISIBLE_DEVICES allows (gpus.py). All sources stand behind
`Probe`, so that tests give numbers.
"""

from __future__ import annotations

import os
from typing import Final, Protocol

from maze_node.cgroups import cpu_quotas, memory_limits
from maze_node.config import Settings
from maze_node.gpus import Gpus, find_gpus
from maze_protocol.resources import Capacity, Device

__all__ = ["HostProbe", "Probe", "measure"]

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

    def cpus(self) -> list[tuple[float, str]]:
        """Ask the scheduler, psutil and the control groups."""
        import psutil

        bounds: list[tuple[float, str]] = [(float(psutil.cpu_count() or 1), "CPUs of the machine")]
        if hasattr(os, "sched_getaffinity"):
            bounds.append((float(len(os.sched_getaffinity(0))), "affinity mask"))
        return bounds + cpu_quotas()

    def memory(self) -> list[tuple[int, str]]:
        """Ask psutil and the control groups."""
        import psutil

        return [(psutil.virtual_memory().total // MIB, "memory of the machine"), *memory_limits()]

    def gpus(self) -> Gpus:
        """Ask NVML."""
        return find_gpus()


def measure(settings: Settings, probe: Probe | None = None) -> Capacity:
    """Return what the node offers."""
    probe = probe or HostProbe()
    cpus, cpu_origin = (settings.cpus, "--cpus") if settings.cpus is not None else _cpu_share(settings, probe)
    memory, memory_origin = (
        (settings.memory, "--memory") if settings.memory is not None else _memory_share(settings, probe)
    )
    devices, gpu_origin = _devices(settings, probe)
    workers, worker_origin = _workers(settings, cpus)
    return Capacity(
        max(1, round(cpus * 1000)),
        memory,
        devices,
        workers,
        (("cpu", cpu_origin), ("memory", memory_origin), ("gpu", gpu_origin), ("workers", worker_origin)),
    )


def _cpu_share(settings: Settings, probe: Probe) -> tuple[float, str]:
    """Return this node's part of the CPUs: at least one, so that a task of the default size fits somewhere."""
    cpus, origin = min(probe.cpus())
    return max(min(cpus, 1.0), cpus / settings.share[1]), origin + _part(settings)


def _memory_share(settings: Settings, probe: Probe) -> tuple[int, str]:
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


def _devices(settings: Settings, probe: Probe) -> tuple[tuple[Device, ...], str]:
    """Take the measured devices, cut or filled up to --gpus; declared ones need not be there (for tests)."""
    if settings.gpus == 0:
        return (), "--gpus"
    found, origin = probe.gpus()
    if settings.gpus is None:
        part, count = settings.share
        found, origin = found[part - 1 :: count], origin + _part(settings)
    else:
        found = (*found, *_declared(found, settings.gpus - len(found)))[: settings.gpus]
        origin = "--gpus"
    if settings.gpu_mem is not None:
        found = tuple(Device(each.index, settings.gpu_mem, each.uuid, each.name) for each in found)
        origin += ", memory by --gpu-mem"
    return found, origin


def _declared(found: tuple[Device, ...], count: int) -> tuple[Device, ...]:
    first = max((each.index for each in found), default=-1) + 1
    return tuple(Device(first + number, 0, "", "declared") for number in range(count))
