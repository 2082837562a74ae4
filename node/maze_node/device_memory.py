"""How much of a device each process here has, to hold attempts to what they claimed of it.

A node in a PID namespace of its own (most containers) may not find its workers among the processes that NVML tells.
A list with a process that is not here speaks of another namespace, where our numbers are other processes': it tells
nothing. Then nothing is enforced; `maze-node doctor` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from maze_node.gpu_use import process_memory
from maze_node.nvml import Nvml, load_nvml

__all__ = ["device_memory"]


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
