"""The state directory: made private, checked to be local, and held by one head at a time.

The lock is an flock on `head.lock`, held for the life of the process and dropped by the kernel whatever ends it;
the pid written inside is only for the message. SQLite's own locks are not used for this: readers of the journal
(backup tools) may come and go.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from maze_head.errors import AlreadyRunning, StateDirUnusable

__all__ = ["REMOTE_SYSTEMS", "StateLock", "file_system_of", "prepare"]

REMOTE_SYSTEMS: Final = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "ocfs2", "gfs2",
        "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.juicefs",
    }
)  # fmt: skip
"""Where SQLite's shared memory and locks do not hold what they promise, or another machine might hold them, too."""


def prepare(path: Path) -> None:
    """Create the directory with mode 0700 if needed and make sure it can be used.

    Raises:
        StateDirUnusable: it cannot be made or written, or lies on a network file system.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirUnusable(
            f"cannot create state directory {path}: {error.strerror}", remedy="give a writable --state-dir"
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StateDirUnusable(f"state directory {path} is not writable", remedy="give a writable --state-dir")
    system = file_system_of(path.resolve(), _mounts())
    if system in REMOTE_SYSTEMS:
        raise StateDirUnusable(
            f"state directory {path} is on a network file system ({system}), where the journal is not safe",
            remedy="give a --state-dir on a local disk",
        )


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds `path`, or "" if the mount table does not tell."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, point, system, *_ = line.split(" ")
        if path.is_relative_to(point.replace("\\040", " ")) and len(point) >= best:
            best, kind = len(point), system
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return ""


class StateLock:
    """The right to be the head of a state directory."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: another process holds it.
            StateDirUnusable: the lock file cannot be opened.
        """
        path = directory / "head.lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateDirUnusable(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0)
            os.close(self._fd)
            raise AlreadyRunning(str(directory), int(holder) if holder.strip().isdigit() else None) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give the lock up; the file stays, for removing it would let two heads lock two files."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
