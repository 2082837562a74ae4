"""How much of a device each process has, as NVML tells it.

A node in a PID namespace of its own (most containers) may not find its workers among the processes that NVML tells.
A list with a process that is not here speaks of another namespace, where our numbers are other processes': it tells
nothing. Then nothing is enforced; `maze-node doctor` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from maze_node.nvml import MIB, load_nvml

__all__ = ["ProcessNvml", "device_memory"]


class ProcessNvml(Protocol):
    """What is used of pynvml."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]: ...  # noqa: N802 -- NVIDIA's name


def device_memory(uuid: str, nvml: ProcessNvml | None = None, proc: Path = Path("/proc")) -> Mapping[int, int]:
    """Return the MiB that each process has on a device, by pid; empty if that cannot be told."""
    library: Any = nvml if nvml is not None else load_nvml()
    if library is None or not uuid:
        return {}
    used: dict[int, int] = {}
    try:
        library.nvmlInit()
        for process in library.nvmlDeviceGetComputeRunningProcesses(library.nvmlDeviceGetHandleByUUID(uuid)):
            # None where the driver does not tell. A process with several contexts may stand there several times.
            used[process.pid] = used.get(process.pid, 0) + (process.usedGpuMemory or 0) // MIB
    except library.NVMLError:
        return {}
    return used if all((proc / str(pid)).exists() for pid in used) else {}
