"""Bounds that control groups set, version 1 and 2, along the whole path: a parent's limit binds its children too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["cpu_quotas", "memory_limits"]

MIB: Final = 2**20
NO_LIMIT: Final = 2**60
"""Version 1 says "no limit" with a number near 2^63."""


def cpu_quotas(root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self")) -> list[tuple[float, str]]:
    """Return CPU quotas with their origin."""
    found = []
    for folder, version in _folders(root, proc, "cpu"):
        quota, period = _quota(folder, version)
        if quota > 0 and period > 0:
            found.append((quota / period, f"CPU quota of control group {folder}"))
    return found


def memory_limits(root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self")) -> list[tuple[int, str]]:
    """Return memory limits in MiB with their origin."""
    found = []
    for folder, version in _folders(root, proc, "memory"):
        limit = _number(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        if 0 < limit < NO_LIMIT:
            found.append((limit // MIB, f"memory limit of control group {folder}"))
    return found


def _folders(root: Path, proc: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield this process's groups that may bound a controller, from the innermost to the root, with the version."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            bases, version = (root / "unified", root), 2
        elif controller in controllers.split(","):
            bases, version = (root / controller, root / controllers), 1
        else:
            continue
        for base in bases:
            if base.is_dir():
                yield from ((folder, version) for folder in _upwards(base, path))
                break


def _upwards(base: Path, path: str) -> Iterator[Path]:
    # In a container the path may name a group of the host that is not mounted here: the root remains.
    folder = base / path.lstrip("/")
    while folder != base and base in folder.parents:
        yield folder
        folder = folder.parent
    yield base


def _quota(folder: Path, version: int) -> tuple[int, int]:
    if version == 1:
        return _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    words = _words(folder / "cpu.max")
    return (int(words[0]), int(words[1])) if len(words) == 2 and words[0].isdigit() else (0, 0)


def _number(file: Path) -> int:
    words = _words(file)
    return int(words[0]) if words and words[0].lstrip("-").isdigit() else 0


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
