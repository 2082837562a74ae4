"""How much of a device each process here has, to hold attempts to what they claimed of it.

A node in a PID namespace of its own (most containers) may not find its workers among the processes that NVML tells.
A list with a process that is not here speaks of another namespace, where our numbers are other processes': it tells
nothing. Then nothing is enforced; `maze-node doctor` says so.

Read in a thread of its own (watch.py): a sick device may hold it for good, but not the watch over the memory of the
machine. So what is told was read since the question before, and is true of the attempts that ran then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from maze_node.gpu_use import process_memory
from maze_node.nvml import Nvml, load_nvml
from maze_node.watch import Watch

__all__ = ["DeviceMemory", "DeviceUse", "device_memory"]


class DeviceUse(NamedTuple):
    """A reading of some devices."""

    leases: frozenset[int] = frozenset()
    """Of the attempts that it is about."""
    mib: Mapping[str, Mapping[int, int]] = {}
    """What each process has, by the UUID of the device and pid."""


class DeviceMemory:
    """Reads devices again and again."""

    def __init__(self, read: Callable[[str], Mapping[int, int]] | None = None) -> None:
        self._read = read or device_memory
        self._wanted: tuple[tuple[str, ...], frozenset[int]] = ((), frozenset())
        self._found: SimpleQueue[DeviceUse] = SimpleQueue()
        self._watch = Watch(self._look, self._found.put)

    def read(self, uuids: Iterable[str], leases: Iterable[int]) -> DeviceUse:
        """Return what was read since the last call, once, and have these devices read for these attempts."""
        known = DeviceUse() if self._found.empty() else self._found.get()
        self._wanted = tuple(uuids), frozenset(leases)
        if self._wanted[0]:
            self._watch.ask()
        return known

    def stop(self) -> None:
        """End the thread once it is free."""
        self._watch.stop()

    def _look(self) -> DeviceUse:
        uuids, leases = self._wanted
        return DeviceUse(leases, {uuid: self._read(uuid) for uuid in uuids})


def device_memory(uuid: str, nvml: Nvml | None = None, proc: Path = Path("/proc")) -> Mapping[int, int]:
    """Return the MiB that each process has on a device, by pid; empty if that cannot be told."""
    library = nvml if nvml is not None else load_nvml()
    if library is None or not uuid:
        return {}
    try:
        # Begun and ended each time: NVML counts, so that whoever else has begun it can end it (gpus.py).
        library.nvmlInit()
    except library.NVMLError:
        return {}
    try:
        used = process_memory(library, library.nvmlDeviceGetHandleByUUID(uuid))
    except library.NVMLError:
        return {}
    finally:
        library.nvmlShutdown()
    return used if used and all((proc / str(pid)).exists() for pid in used) else {}
