"""A large file of a run, from the head: what it is called is asked for when that is wanted, its content once."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import BinaryIO

from maze._fetch import Memory, Place, fetch
from maze._loop import call
from maze._values.files import HEADER_BYTES, Header, read_header

__all__ = ["AtHead"]

Progress = Callable[[int], None]
"""Called with the bytes that have come."""


class AtHead:
    """The source of a `File` whose body is at the head."""

    def __init__(self, place: Place, size: int) -> None:
        self._place = place
        self._all = size
        self._here: BinaryIO | None = None
        self.progress: Progress | None = None

    @cached_property
    def header(self) -> Header:
        """Return what the body says of itself.

        Raises:
            ValueExpiredError, HeadUnavailableError: as `RemoteValue.get`.
        """
        first = Memory()
        call(fetch(self._place, first, range(HEADER_BYTES)))
        return read_header(bytes(first.data))

    @property
    def size(self) -> int:
        """Return the bytes of its content."""
        return self._all - self.header.length

    def open(self) -> BinaryIO:
        """Return its content for reading, from a nameless file into which it comes first."""
        if self._here is None:
            file = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as this source
            try:
                call(fetch(self._place, _Into(file, self), range(self.header.length, 1 << 62)))
            except BaseException:
                file.close()
                raise
            file.flush()
            weakref.finalize(self, file.close)
            self._here = file
        # A descriptor of its own would share the position with this one: each reader gets a file of its own.
        return open(f"/dev/fd/{self._here.fileno()}", "rb")


class _Into:
    """A sink that writes a file."""

    def __init__(self, file: BinaryIO, source: AtHead) -> None:
        self._file = file
        self._source = source

    async def begin(self, size: int) -> None:
        """Start anew."""
        self._file.seek(0)
        self._file.truncate()

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        self._file.write(data)
        if self._source.progress is not None:
            self._source.progress(self._file.tell())
