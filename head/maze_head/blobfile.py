"""One file of the blob directory while it is written, and what can go wrong with it.

    BlobError                 what a blob cannot be: nobody's bug, told to whoever asked
    +-- NoRoomForBlob         the disk of the head is full
    +-- BlobUnwritable        the disk refuses for another reason
    +-- WrongUpload           other bytes than the client announced
    `-- BlobMissing           nobody has it (any more)

A file is written beside its name as `….part`, allocated first so that a full disk is met before the first byte, synced
at durability `power` together with its directory, and renamed: what has its name is whole. Every call may wait for the
disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from maze_head.ballast import NO_ROOM

__all__ = [
    "HASH_BYTES", "PART", "BlobError", "BlobMissing", "BlobUnwritable", "Incoming", "NoRoomForBlob", "Upload",
    "WrongUpload", "blob_error", "no_room", "sync_directory",
]  # fmt: skip

PART: Final = ".part"
HASH_BYTES: Final = 32
_CANNOT_ALLOCATE: Final = (errno.EOPNOTSUPP, errno.EINVAL)
"""Of a file system that gives space only to what is written."""


class BlobError(Exception):
    """A blob cannot be written or had."""


class NoRoomForBlob(BlobError):
    """The disk of the head is full."""


class BlobUnwritable(BlobError):
    """The disk of the head refuses."""


class WrongUpload(BlobError):
    """Other bytes than were announced."""


class BlobMissing(BlobError):
    """Nobody has these bytes (any more)."""


def blob_error(error: OSError, path: Path, size: int) -> BlobError:
    """Return what to tell whoever wanted to write `size` bytes there."""
    if error.errno in NO_ROOM:
        return no_room(path.parent, size)
    return BlobUnwritable(f"cannot use {path}: {error.strerror}")


def no_room(directory: Path, size: int) -> NoRoomForBlob:
    """Return what to tell whoever wanted to write `size` bytes in a directory that is full."""
    return NoRoomForBlob(f"no room for {size} bytes in {directory}: free some space there")


def sync_directory(path: Path) -> None:
    """Make the names in a directory outlast a power cut.

    Raises:
        OSError: the disk did not take it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Incoming:
    """A file that is being written through `fd`, at any offset; `commit` gives it its name."""

    def __init__(self, path: Path, part: Path, size: int, *, sync: bool) -> None:
        """Make the file and allocate its space.

        Raises:
            NoRoomForBlob: the disk is full.
            BlobUnwritable: it cannot be made for another reason.
        """
        self.size = size
        self._path = path
        self.part = part
        self._sync = sync
        try:
            self.fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise blob_error(error, part, size) from error
        try:
            _allocate(self.fd, size)
        except OSError as error:
            self.abort()
            raise blob_error(error, part, size) from error

    def commit(self) -> Path:
        """Make it durable as far as this head promises, give it its name, and return that.

        Raises:
            NoRoomForBlob, BlobUnwritable: the disk did not take it; nothing is left of it.
        """
        try:
            if self._sync:
                os.fsync(self.fd)
            os.replace(self.part, self._path)
            if self._sync:
                sync_directory(self._path.parent)
        except OSError as error:
            self.abort()
            raise blob_error(error, self._path, self.size) from error
        os.close(self.fd)
        return self._path

    def abort(self) -> None:
        """Leave nothing behind."""
        os.close(self.fd)
        self.part.unlink(missing_ok=True)


class Upload:
    """The bytes of a client, named by their content, written one after the other."""

    def __init__(self, incoming: Incoming, hash_: bytes, release: Callable[[Upload, bool], None]) -> None:
        self.hash = hash_
        self.size = incoming.size
        self.offset = 0
        """How much is there."""
        self._incoming = incoming
        self._release = release
        self._hasher = blake2b(digest_size=HASH_BYTES)

    def write(self, data: bytes | bytearray) -> None:
        """Add to it.

        Raises:
            WrongUpload: more than was announced.
            NoRoomForBlob, BlobUnwritable: the disk did not take it.
        """
        if self.offset + len(data) > self.size:
            raise WrongUpload(f"more than the {self.size} bytes that were announced")
        left, offset = memoryview(data), self.offset
        while left:
            try:
                written = os.pwrite(self._incoming.fd, left, offset)
            except OSError as error:
                raise blob_error(error, self._incoming.part, self.size) from error
            left, offset = left[written:], offset + written
        self._hasher.update(data)
        self.offset = offset

    def finish(self) -> Path:
        """Check that it is what it was named, and return where it is.

        Raises:
            WrongUpload: bytes are missing, or of another content; nothing is left of it.
            NoRoomForBlob, BlobUnwritable: the disk did not take it.
        """
        self._release(self, False)
        if self.offset != self.size or self._hasher.digest() != self.hash:
            self._incoming.abort()
            raise WrongUpload(f"{self.offset} of {self.size} bytes came, and their content is not {self.hash.hex()}")
        return self._incoming.commit()

    def pause(self) -> None:
        """Leave it as it is: the client has gone, and may come back."""
        self._release(self, True)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._release(self, False)
        self._incoming.abort()


def _allocate(fd: int, size: int) -> None:
    try:
        if size:
            os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in _CANNOT_ALLOCATE:
            raise
