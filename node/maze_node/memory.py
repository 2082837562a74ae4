"""How much memory the processes of an attempt have: /proc for RAM, NVML for devices. Reads; decides nothing.

* An attempt is its worker with all descendants, whatever sessions these have made.
* RAM is anonymous memory (RssAnon: 12 µs a process) and the memfds that are open, each once. Files in /dev/shm and
  mapped files are not counted: nobody can tell whose they are.
* Forked processes share pages, and RssAnon counts them in each. So a sum beyond what the attempt may have is not
  believed: then shared pages are divided among their owners (Pss_Anon, three times the price).
* Families and devices are looked at in every fourth round: they change slowly, and cost more.
* `read` runs in a thread beside `note`; hence families by lease: what was read of a worker's earlier attempt is never
  taken for a later one's.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from maze_node.core.allowance import Watched
from maze_node.core.events import MemoryUse
from maze_node.device_memory import DeviceMemory
from maze_node.limits import children

__all__ = ["MemoryWatch"]

ROUNDS: Final = 4
REMEMBERED: Final = 8192
"""Of how many workers it is known what they had before: twice as many as a node has."""
KIB: Final = 1024
ENOUGH: Final = 16_384
"""The files that are read here are shorter."""
OUR_OWN: Final = "/memfd:maze"
"""How the names of the node's own memfds begin: inputs that it hands to tasks are not theirs."""


class _Family(NamedTuple):
    pids: tuple[int, ...]
    memfds: int
    """KiB."""
    devices: tuple[tuple[int, int], ...]


class MemoryWatch:
    """Reads what attempts have, round by round."""

    def __init__(self, devices: DeviceMemory | None = None, proc: Path = Path("/proc")) -> None:
        self._devices = devices or DeviceMemory()
        self._proc = proc
        self._before: OrderedDict[int, int] = OrderedDict()
        """KiB that each worker had before its attempt, by pid."""
        self._bare: dict[int, list[str]] = {}
        """The descriptors of workers that had no memfd among them."""
        self._families: dict[int, _Family] = {}
        self._round = 0

    def note(self, pid: int) -> None:
        """Note what a worker has before its next attempt."""
        self._before[pid] = self._anonymous(pid) + self._memfds_before(pid)
        self._before.move_to_end(pid)
        if len(self._before) > REMEMBERED:
            self._bare.pop(self._before.popitem(last=False)[0], None)

    def _memfds_before(self, pid: int) -> int:
        """As `_memfds`, but cheap (5 instead of 40 µs) for a worker that has nothing open that it had not before."""
        names = _names(f"{self._proc}/{pid}/fd")
        if self._bare.get(pid) == names:
            return 0
        kib = self._memfds((pid,))
        if not kib:
            self._bare[pid] = names
        return kib

    def read(self, attempts: Sequence[Watched]) -> tuple[MemoryUse, ...]:
        """Return what the attempts have now."""
        if self._round % ROUNDS == 0:
            self._families = self._find_families(attempts)
        self._round += 1
        return tuple(self._use(each) for each in attempts)

    def stop(self) -> None:
        """End what reads devices."""
        self._devices.stop()

    def _use(self, attempt: Watched) -> MemoryUse:
        family = self._families.get(attempt.lease) or _Family((attempt.pid,), 0, ())
        if not attempt.limit_mib:
            return MemoryUse(attempt.lease, 0, family.devices)
        beside = family.memfds - self._before.get(attempt.pid, 0)
        kib = sum(self._anonymous(pid) for pid in family.pids) + beside
        if kib > attempt.limit_mib * KIB and len(family.pids) > 1:
            kib = sum(self._divided(pid) for pid in family.pids) + beside
        return MemoryUse(attempt.lease, max(0, kib), family.devices)

    def _find_families(self, attempts: Sequence[Watched]) -> dict[int, _Family]:
        shared = {uuid for each in attempts for _, uuid in each.devices}
        sharing = [each.lease for each in attempts if each.devices]
        read = self._devices.read(sorted(shared), sharing)
        families = {}
        for each in attempts:
            pids = tuple(_with_descendants(each.pid))
            memfds = self._memfds(pids) if each.limit_mib else 0
            known = read.mib if each.lease in read.leases else {}
            devices = tuple((index, _sum_of(known.get(uuid, {}), pids)) for index, uuid in each.devices)
            families[each.lease] = _Family(pids, memfds, devices)
        return families

    def _anonymous(self, pid: int) -> int:
        return _field(f"{self._proc}/{pid}/status", b"RssAnon:") or 0

    def _divided(self, pid: int) -> int:
        rollup = f"{self._proc}/{pid}/smaps_rollup"
        found = _field(rollup, b"Pss_Anon:")
        if found is None:
            found = _field(rollup, b"Pss:")  # before Linux 5.3: with mapped files
        anonymous = self._anonymous(pid)
        return anonymous if found is None else min(found, anonymous)

    def _memfds(self, pids: Iterable[int]) -> int:
        """Return the KiB in memfds that these processes have open, each counted once."""
        found: dict[int, int] = {}
        for pid in pids:
            folder = f"{self._proc}/{pid}/fd"
            for descriptor in _names(folder):
                with contextlib.suppress(OSError):
                    path = f"{folder}/{descriptor}"
                    name = os.readlink(path)
                    if name.startswith("/memfd:") and not name.startswith(OUR_OWN):
                        status = os.stat(path)
                        found[status.st_ino] = status.st_blocks * 512 // KIB
        return sum(found.values())


def _with_descendants(pid: int) -> Iterator[int]:
    left = [pid]
    while left:
        each = left.pop()
        yield each
        left += children(each)


def _sum_of(used: Mapping[int, int], pids: Iterable[int]) -> int:
    return sum(used.get(pid, 0) for pid in pids)


def _field(path: str, name: bytes) -> int | None:
    """Return a number of a file of /proc, or None if it has none, or the process is gone."""
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        found = file.read(ENOUGH).partition(b"\n" + name)[2]
        if found:
            return int(found.split(maxsplit=1)[0])
    return None


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []
