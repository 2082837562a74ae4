"""Was it the kernel, for lack of memory? It counts its kills, and says of none whom it hit.

A worker that dies by SIGKILL while the count has grown within the last ticks was killed for lack of memory, as far as
can be known. Kills of processes elsewhere, long ago, do not count: hence marks instead of one first reading.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["OomWatch", "oom_kills"]

MARKS: Final = 5
"""Ticks of half a second: the exit of a large process is told a while after its kill."""


def oom_kills() -> int:
    """Return how many processes this kernel has killed for lack of memory; -1 where it does not count."""
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return -1


class OomWatch:
    """Marks of the kernel's count."""

    def __init__(self, read: Callable[[], int] = oom_kills) -> None:
        self._read = read
        self._marks = deque([read()], maxlen=MARKS)

    def tick(self) -> None:
        """Set a mark."""
        self._marks.append(self._read())

    def seen(self) -> bool:
        """Tell whether the kernel has killed something since the oldest mark."""
        return self._read() > self._marks[0]
