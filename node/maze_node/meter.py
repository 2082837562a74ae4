"""What each call costs: wall time, CPU time with finished children, and peak memory.

The kernel keeps the peak of a process's life; writing 5 to /proc/self/clear_refs lets it count from now. Where that is
forbidden the peak is that of the worker's life so far. Nobody raises the peak much within a millisecond (a page takes
the kernel 0.1 µs or more): a call shorter than that has the peak that was read last, and leaves it to the next one.
Likewise nobody makes a child, lets it work and waits for it in less than INSTANT_MS, and if somebody did, it could not
have worked for longer than that: the time of children is not read behind such a call.
"""

from __future__ import annotations

import contextlib
import os
import resource
from functools import cache
from time import perf_counter, process_time
from typing import Final

__all__ = ["Meter"]

BRIEF_MS: Final = 1.0
INSTANT_MS: Final = 0.05


class Meter:
    """Measures one call after the other, each from `start` to `stop`."""

    def __init__(self) -> None:
        self.called = False
        self._raised = True
        """The peak may be that of an earlier call."""
        self._cpu = 0.0
        self._wall = 0.0
        self._children = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget an earlier call, and what children have taken since."""
        self._children = _children_seconds()
        self.wall_ms = 0.0
        self.cpu_ms = 0.0
        self.peak_kib = 0

    def clear(self) -> None:
        """Another attempt begins; its call may never come."""
        self.called, self.wall_ms, self.cpu_ms = False, 0.0, 0.0

    def start(self) -> None:
        """A call begins."""
        self.called = True
        if self._raised:
            _reset_peak()
        self._cpu = process_time()
        self._wall = perf_counter()

    def stop(self) -> None:
        """Take the readings."""
        self.wall_ms = wall_ms = (perf_counter() - self._wall) * 1000
        self.cpu_ms = (process_time() - self._cpu) * 1000
        if wall_ms >= INSTANT_MS or self._raised:
            children = _children_seconds()
            self.cpu_ms += (children - self._children) * 1000
            self._children = children
        brief = wall_ms < BRIEF_MS
        if self._raised or not brief:
            self.peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._raised = not brief


def _children_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _reset_peak() -> None:
    descriptor = _clear_refs(os.getpid())
    if descriptor is not None:
        # User code may have closed it.
        with contextlib.suppress(OSError):
            os.write(descriptor, b"5")


@cache
def _clear_refs(pid: int) -> int | None:
    """Open the file once per process: the descriptor of a parent would reset the parent's peak."""
    try:
        return os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return None
