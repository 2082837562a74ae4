"""Which of the tasks that a worker was sent it may begin: one byte each in a pipe, in their order.

The worker takes one byte ahead of each task; the agent may take back those that are left. Both read the same pipe, so
the kernel decides who gets a byte: what the agent has taken back was not begun, and never will be. A task that was
taken back is still in the worker's socket: the byte that says to skip it follows.

Odd: the agent reads through a description of its own, as only its reads must not wait; the flag for that is a
property of the description, and the worker has the other one.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

__all__ = ["BEGIN", "SKIP", "Permits"]

BEGIN: Final = b"+"
SKIP: Final = b"-"
_CAPACITY: Final = 65_536


class Permits:
    """The agent's end."""

    def __init__(self) -> None:
        self._far, self._write = os.pipe2(os.O_CLOEXEC)
        # Far more fit than are ever given: a full pipe means that something is wrong, and must not stop the agent.
        os.set_blocking(self._write, False)
        self._read = os.open(f"/proc/self/fd/{self._far}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def far_end(self) -> int:
        """Return the descriptor that the worker gets."""
        return self._far

    def close_far_end(self) -> None:
        """Close our copy of the worker's descriptor."""
        os.close(self._far)
        self._far = -1

    def give(self, count: int) -> None:
        """Let the worker begin so many more tasks."""
        # Its end may have closed: the worker is dying, and its exit is told by the spawner.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write, BEGIN * count)

    def take_back(self, count: int) -> int:
        """Forbid the last tasks, up to so many; return how many of them had not begun, and never will."""
        try:
            left = os.read(self._read, _CAPACITY)
        except BlockingIOError:
            return 0
        taken = min(count, left.count(BEGIN))
        # Tasks are permitted in order: the last of what is left are the last that were sent.
        kept = len(left) - taken
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write, left[:kept] + SKIP * taken)
        return taken

    def end(self) -> None:
        """Permit nothing more, ever: the worker leaves once it has begun what it may."""
        if self._write >= 0:
            os.close(self._write)
            self._write = -1

    def close(self) -> None:
        """Close our ends."""
        self.end()
        if self._far >= 0:
            self.close_far_end()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1
