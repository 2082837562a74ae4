"""Files and directories as bodies of values, packed and unpacked without ever holding one in memory.

`maze_protocol.files` says how a body begins.

Rules
* A body is what somebody sent: nothing of a directory lands outside it or links to the outside (tarfile's `data`
  filter). Owners and special bits are not kept, permissions are.
* Importing this costs little: `maze.MaClient` does it.
* What is large is mapped, not read. Mapped files are only those that this process wrote, or that its user gave it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from maze._values.container import Body
from maze._values.errors import ValueDecodeError
from maze_protocol.files import HEADER_BYTES, NAME_BYTES, Header, pack_header, parse_header

__all__ = ["HEADER_BYTES", "Header", "pieces_of", "read_header", "snapshot_of", "stream_of", "unpack"]

_MAPPED: Final = 1 << 20
_CHUNK: Final = 1 << 20


def read_header(body: Body) -> Header:
    """Return the header of a body, of which the first HEADER_BYTES are enough.

    Raises:
        ValueDecodeError: this is no file.
    """
    try:
        return parse_header(body)
    except ValueError as error:
        raise ValueDecodeError(str(error)) from error


def pieces_of(path: Path) -> list[bytes | memoryview]:
    """Return what is the body of a file or directory one after the other.

    Raises:
        OSError: it cannot be read, or there is no room to pack a directory.
    """
    status = path.stat()
    directory = path.is_dir()
    head = pack_header(_name_of(path), status.st_mode, directory)
    if directory:
        with _packed(path) as packed:
            return [head, *_content(packed)]
    with path.open("rb") as file:
        return [head, *_content(file)]


def snapshot_of(path: Path) -> bytes | memoryview:
    """Return the body of a file or directory as it is now, whatever becomes of it; a large one is in a nameless file.

    Raises:
        OSError: it cannot be read, or there is no room for it.
    """
    pieces = pieces_of(path)
    if sum(map(len, pieces)) < _MAPPED:
        return b"".join(pieces)
    import tempfile

    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        return _content(file)[0]


def stream_of(body: Body, start: int) -> BinaryIO:
    """Return the content of a body for reading, which is not copied."""
    return io.BufferedReader(_Reader(memoryview(body)[start:]))


def unpack(content: BinaryIO, header: Header, target: Path) -> None:
    """Write the content of a body to a new file or directory.

    Raises:
        OSError: there is no room, or the target is there already.
        ValueDecodeError: a directory holds what may not be in it.
    """
    if header.is_directory:
        target.mkdir()
        _extract(content, target)
    else:
        with target.open("xb") as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
    target.chmod(header.mode or 0o600)


def _extract(content: BinaryIO, target: Path) -> None:
    import tarfile

    try:
        with tarfile.open(fileobj=content, mode="r|") as packed:
            # One by one: the list of members that extractall keeps grows with the directory.
            for member in packed:
                packed.extract(member, target, filter="data")
                packed.members = []  # type: ignore[attr-defined]  # tarfile has no other way to forget what it passed
    except tarfile.TarError as error:
        raise ValueDecodeError(f"a directory cannot be unpacked: {error}") from error


def _packed(path: Path) -> BinaryIO:
    """Return a nameless file with all that is in a directory."""
    import tarfile
    import tempfile

    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    try:
        with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as packed:
            for inside in _walk(path):
                packed.add(inside, str(inside.relative_to(path)), recursive=False)
                packed.members = []  # type: ignore[attr-defined]  # as above
    except BaseException:
        file.close()
        raise
    return file


def _walk(path: Path) -> Iterator[Path]:
    """Yield what is in a directory at any depth, sorted, so that equal directories have equal bodies."""
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        inside = Path(entry.path)
        yield inside
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(inside)


def _content(file: BinaryIO) -> list[bytes | memoryview]:
    file.flush()
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < _MAPPED:
        return [file.read()] if size else []
    import mmap

    return [memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ))]


def _name_of(path: Path) -> str:
    name = path.resolve().name if path.name in ("", "..") else path.name
    return name.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore") if name else "root"


class _Reader(io.RawIOBase):
    """Reads a view, of which nothing is copied but what is asked for."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._view)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # whatever io gives us is a buffer
        part = self._view[self._at : self._at + len(target)]
        target[: len(part)] = part
        self._at += len(part)
        return len(part)
