"""A small file system that a test can fill: a tmpfs of its own, or nothing where only root may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 16


@contextmanager
def small_disk(mount_point: Path, mib: int) -> Iterator[SmallDisk]:
    """Mount a tmpfs of so many MiB; skip the test where that is not possible."""
    import pytest

    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mount_point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(mount_point)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield SmallDisk(mount_point)
    finally:
        subprocess.run(["umount", "--lazy", str(mount_point)], check=True)


class SmallDisk:
    """The file system, and the file of somebody else that fills it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def free(self) -> int:
        """Return the bytes that are left."""
        facts = os.statvfs(self.path)
        return facts.f_bavail * facts.f_frsize

    def fill(self) -> None:
        """Let somebody else take all that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (CHUNK, 4096, 512):
                while _write(file.fileno(), size):
                    pass

    def empty(self) -> None:
        """Let somebody else give it all back."""
        self._filler.unlink()


def _write(fd: int, size: int) -> bool:
    try:
        return os.write(fd, bytes(size)) == size
    except OSError:
        return False
