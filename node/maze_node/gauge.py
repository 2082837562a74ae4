"""How much a worker has written to each of its output pipes: what an attempt's output ends at, to the byte.

What was written is what the agent has read and what is still in the pipe. The agent keeps count of the former in a page
that the worker sees; the kernel tells the latter. For the moment of a read the count is odd, and the worker looks
again: a sum of two moments would be wrong. Both the agent's read and the worker's question lock the pipe, which puts
what either does to the page before it or after it in order for the other. The worker asks for both streams at once.

The worker can only look: whatever user code writes to descriptors that it finds, the page is sealed.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import mmap
import os
import struct
import termios
import time
from fcntl import ioctl
from typing import Final

__all__ = ["Gauge"]

_SIZE: Final = mmap.PAGESIZE
_WAIT: Final = 0.0001
_WORDS: Final = 2
_BOTH: Final = struct.Struct("4Q")
"""Of either stream: the count of reads, odd during one, and how much was read."""
_COUNTS: Final = slice(_BOTH.size)
_LEFT: Final = termios.FIONREAD
_F_SEAL_FUTURE_WRITE: Final = 0x0010
"""Only what is mapped by now may be written, and only there (Linux 5.1)."""


class Gauge:
    """Either end; the streams are numbered from 0.

    Args:
        descriptor: the worker's: the page that it was given. The agent makes one, `descriptor`, and closes it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _new_page() if descriptor is None else descriptor
        access = mmap.ACCESS_WRITE if descriptor is None else mmap.ACCESS_READ
        self._page = mmap.mmap(self.descriptor, _SIZE, access=access)
        if descriptor is None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
        self._words = memoryview(self._page).cast("Q")
        self._answer = array.array("i", [0])

    def read(self, stream: int, descriptor: int, size: int) -> bytes:
        """Read from a pipe that does not let wait, and count it; the agent's part.

        Raises:
            OSError: as of os.read.
        """
        words, place = self._words, _WORDS * stream
        words[place] += 1
        try:
            data = os.read(descriptor, size)
            words[place + 1] += len(data)
        finally:
            words[place] += 1
        return data

    def written(self, descriptors: tuple[int, int]) -> tuple[int, int]:
        """Return how many bytes were ever written to each pipe; the worker's part, with its own ends of the pipes."""
        page, answer = self._page, self._answer
        while True:
            before = page[_COUNTS]
            ioctl(descriptors[0], _LEFT, answer)
            left = answer[0]
            ioctl(descriptors[1], _LEFT, answer)
            first_round, first_read, second_round, second_read = _BOTH.unpack(before)
            if page[_COUNTS] == before and not (first_round | second_round) & 1:
                return first_read + left, second_read + answer[0]
            # The agent is reading; if it was stopped while it did, nobody could take our report either.
            time.sleep(_WAIT)

    def close(self) -> None:
        """Let go of the page."""
        self._words.release()
        self._page.close()


def _new_page() -> int:
    descriptor = os.memfd_create("maze-gauge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _SIZE)
    return descriptor
