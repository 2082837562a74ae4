"""The bytes of objects: written by who makes them, mapped by who reads them. Linux only in what it asks for.

Rules
* What is in memory is a sealed memfd: whoever maps it may rely on it, and nothing of it can be cut off under a reader.
  It is allocated before it is written, so that a lack of memory is an error and no signal.
* What is on disk is a file without a name, which goes with its last descriptor.
* Large ones are mapped: a view of them is one of the page cache, and lives as long as somebody has it. Small ones are
  read: that costs less than to map them, and leaves no descriptor behind (a mapping of Python's keeps one).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Final

__all__ = ["MAPPED", "is_in_memory", "new_file", "new_memory", "read_body", "seal", "write_body"]

MAPPED: Final = 1 << 20
"""From that size on objects are mapped."""
NAME: Final = "maze-object"
"""memory.py does not count what is called like this as an attempt's."""
MOST_PIECES: Final = 512
"""Of one writev; the kernel takes 1,024."""
_SEALS: Final = 0x0001 | 0x0002 | 0x0004 | 0x0008
"""F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE."""
_F_ADD_SEALS: Final = 1033
_F_GET_SEALS: Final = 1034
_NO_MEMORY: Final = (errno.ENOSPC, errno.ENOMEM)


def new_memory(size: int) -> int:
    """Return a memfd of that size.

    Raises:
        OSError: there is not so much memory.
    """
    descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def new_file(directory: str) -> int:
    """Return a file without a name.

    Raises:
        OSError: none can be made there.
    """
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        return fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)


def seal(descriptor: int) -> None:
    """Let nobody change a memfd any more, ever."""
    fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)


def is_in_memory(descriptor: int) -> bool:
    """Tell whether this is a memfd that nobody can change."""
    try:
        return fcntl.fcntl(descriptor, _F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        return False


def write_body(pieces: Sequence[bytes | memoryview], size: int, directory: str, *, on_disk: bool) -> tuple[int, bool]:
    """Write what is one body after the other; return (descriptor, whether it is a file).

    Args:
        pieces: of the body.
        size: of all of them, in bytes.
        directory: where files go.
        on_disk: whether it is to be one; without memory for it, it is one anyway.

    Raises:
        OSError: there is no room on disk either.
    """
    if not on_disk:
        try:
            return _filled(new_memory(size), pieces, sealed=True), False
        except OSError as error:
            if error.errno not in _NO_MEMORY:
                raise
    return _filled(new_file(directory), pieces, sealed=False), True


def _filled(descriptor: int, pieces: Sequence[bytes | memoryview], *, sealed: bool) -> int:
    try:
        _write_all(descriptor, [memoryview(piece).cast("B") for piece in pieces if len(piece)])
        if sealed:
            seal(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_all(descriptor: int, left: list[memoryview]) -> None:
    start = 0
    while start < len(left):
        written = os.writev(descriptor, left[start : start + MOST_PIECES])
        while start < len(left) and written >= left[start].nbytes:
            written -= left[start].nbytes
            start += 1
        if written:
            left[start] = left[start][written:]


def read_body(descriptor: int, offset: int, size: int) -> memoryview:
    """Return the bytes of an object, and close its descriptor; who has the view may not write in it.

    Raises:
        OSError: it cannot be read, or not be mapped.
    """
    try:
        if size < MAPPED:
            return memoryview(_read(descriptor, offset, size))
        # Private: kernels before 6.7 map nothing shared that is sealed against writing, not even to read it.
        return memoryview(mmap.mmap(descriptor, size, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=offset))
    finally:
        os.close(descriptor)


def _read(descriptor: int, offset: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.pread(descriptor, size - len(data), offset + len(data))
        if not part:
            raise OSError(errno.EIO, "an object ends early")
        data = part if not data else data + part
    return data
