"""Space on the disk of the state directory, kept in advance for the day when it is full.

`relieve` is called on the journal's thread when a commit failed, everything else on the event loop; the decisions are
space.py's. The file is really allocated, and is removed when the head stops: a head that is not running keeps no space
from anybody.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final

from maze_head.space import Space

__all__ = ["FILE_NAME", "Ballast"]

log = logging.getLogger(__name__)

FILE_NAME: Final = "ballast"
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Ballast:
    """The ballast of one state directory, and whether its head may write."""

    def __init__(self, directory: Path, size: int) -> None:
        """Take the space, or be read-only from the start if it is not there. `size` in bytes; 0: no ballast."""
        self._path = directory / FILE_NAME
        self._size = size
        self._space = Space(size)
        if not self._take():
            self._space.fill()
            log.error("the disk is full, so the head is read-only", extra=self._facts())

    @property
    def read_only(self) -> bool:
        """Tell whether nothing new may be promised."""
        return self._space.read_only

    def relieve(self) -> None:
        """Give the space up because a commit failed."""
        self._drop()
        self._space.fill()

    def tick(self, *, failing: bool) -> None:
        """Take the space again once there is enough, and be writable again."""
        if self.read_only and self._space.is_good_with(self._free(), failing=failing) and self._take():
            self._space.recover()
            log.warning("the disk has room again and the head goes on", extra=self._facts())

    def close(self) -> None:
        """Give the space back."""
        self._drop()

    def counters(self) -> dict[str, int | float]:
        """Return how the disk is."""
        return {
            "disk_free_bytes": self._free(),
            "disk_full_total": self._space.times_full,
            "disk_read_only": int(self._space.read_only),
        }

    def _take(self) -> bool:
        if not self._size:
            return True
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
        except OSError as error:
            self._drop()
            if error.errno in NO_ROOM:
                return False
            log.warning("no ballast on this file system", extra={"path": str(self._path), "error": str(error)})
        return True

    def _drop(self) -> None:
        self._path.unlink(missing_ok=True)

    def _free(self) -> int:
        facts = os.statvfs(self._path.parent)
        return facts.f_bavail * facts.f_frsize

    def _facts(self) -> dict[str, object]:
        return {"path": str(self._path.parent), "free": self._free(), "needed": self._space.needed}
