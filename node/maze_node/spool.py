"""Outcomes on disk: appended to files without a name, which vanish with this process however it ends.

A file takes SEGMENT bytes, then the next one is begun; one of which nothing is wanted any more is closed, and its space
is free. Nothing is synced: what must survive the node is at the head by then, or is run again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from maze._daemon.guarantees import spool_dir

__all__ = ["Spool"]

SEGMENT: Final = 64 * 2**20


@dataclass(slots=True)
class Segment:
    """One file."""

    file: IO[bytes]
    end: int = 0
    wanted: int = 0


class Spool:
    """Numbered byte strings, on disk."""

    def __init__(self, directory: Path | None = None, segment: int = SEGMENT) -> None:
        self._directory = directory
        self._limit = segment
        self._current: Segment | None = None
        self._places: dict[int, tuple[Segment, int, int]] = {}

    def put(self, number: int, data: bytes) -> None:
        """Write it.

        Raises:
            OSError: the disk is full, or there is none; nothing was written.
        """
        segment = self._segment()
        try:
            _write(segment.file.fileno(), data, segment.end)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(segment.file.fileno(), segment.end)
            raise
        self._places[number] = segment, segment.end, len(data)
        segment.end += len(data)
        segment.wanted += 1

    def get(self, number: int) -> bytes:
        """Read it back.

        Raises:
            OSError: it cannot be read.
        """
        segment, offset, size = self._places[number]
        data = b""
        while len(data) < size:
            part = os.pread(segment.file.fileno(), size - len(data), offset + len(data))
            if not part:
                raise OSError(f"the spool ends {size - len(data)} bytes early")
            data += part
        return data

    def drop(self, number: int) -> None:
        """Forget it, if it is there."""
        place = self._places.pop(number, None)
        if place is None:
            return
        segment = place[0]
        segment.wanted -= 1
        if segment.wanted == 0:
            segment.file.close()
            if segment is self._current:
                self._current = None

    def close(self) -> None:
        """Give all space back."""
        for segment in {id(segment): segment for segment, _, _ in self._places.values()}.values():
            segment.file.close()
        if self._current is not None:
            self._current.file.close()
        self._current = None
        self._places.clear()

    def _segment(self) -> Segment:
        if self._current is None or self._current.end >= self._limit:
            self._current = Segment(tempfile.TemporaryFile(dir=self._directory or spool_dir(), buffering=0))  # noqa: SIM115 -- closed when nothing of it is wanted
        return self._current


def _write(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
