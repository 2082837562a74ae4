"""How much memory of a device this node's own processes use, as far as NVML can attribute it.

NVML names processes by pid. Whose they are is read from /proc, upwards from each, so that it costs nothing where no
device is in use. It cannot be told, and None is returned, when
* NVML gives no list, or no amounts;
* the list has a pid that is not here: it speaks of another pid namespace (an old driver, seen from a container);
* nothing of ours is listed, and more is in use than what is listed explains: processes of other pid namespaces, or ours
  under a driver that lists none from within a container. Silence proves nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from maze_node.nvml import MIB, Nvml

__all__ = ["Family", "own_part", "process_memory"]

UNEXPLAINED_MIB: Final = 1024
"""What may be in use without any process: the driver's own reserve, 600 MiB on a device of 140 GB."""
MOST_GENERATIONS: Final = 100


@dataclass(frozen=True)
class Family:
    """A process and its descendants; by default this one's."""

    root: int = field(default_factory=os.getpid)
    proc: Path = Path("/proc")

    def knows(self, pid: int) -> bool:
        """Tell whether there is such a process here."""
        return (self.proc / str(pid)).is_dir()

    def has(self, pid: int) -> bool:
        """Tell whether a process is one of the family. Orphans are: workers, spawner and agent are subreapers."""
        for _ in range(MOST_GENERATIONS):
            if pid == self.root:
                return True
            if pid <= 1:
                return False
            pid = self._parent(pid)
        return False

    def _parent(self, pid: int) -> int:
        try:
            text = (self.proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return 0
        # The name of the program, in parentheses, may hold anything.
        return int(text.rpartition(")")[2].split()[1])


def process_memory(library: Nvml, handle: Any) -> dict[int, int] | None:
    """Return the MiB of a device that each process uses, by pid; None where NVML does not say."""
    try:
        processes = library.nvmlDeviceGetComputeRunningProcesses(handle)
    except library.NVMLError:
        return None
    if any(each.usedGpuMemory is None for each in processes):
        return None
    used: dict[int, int] = {}
    for each in processes:
        # A process with several contexts may stand there several times.
        used[int(each.pid)] = used.get(int(each.pid), 0) + int(each.usedGpuMemory) // MIB
    return used


def own_part(listed: dict[int, int] | None, used: int, family: Family) -> int | None:
    """Return the MiB of a device that a family uses; None where that cannot be told.

    Args:
        listed: the MiB that each process uses, by pid.
        used: the MiB in use in all.
        family: whose part is asked for.
    """
    if listed is None:
        return None
    ours = [pid for pid in listed if family.has(pid)]
    if not all(family.knows(pid) for pid in listed if pid not in ours):
        return None
    if not ours and used - sum(listed.values()) > UNEXPLAINED_MIB:
        return None
    return sum(listed[pid] for pid in ours)
