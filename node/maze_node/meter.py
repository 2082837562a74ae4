"""What one call costs: wall time, CPU time with finished children, and peak memory.

The kernel keeps the peak of a process's life; writing 5 to /proc/self/clear_refs lets it count from now (1.3 µs with
the file kept open). Where that is forbidden the peak is that of the worker's life so far.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from functools import cache

__all__ = ["Meter"]


class Meter:
    """Runs from its making until `stop`."""

    def __init__(self) -> None:
        _reset_peak()
        self._cpu = _cpu_seconds()
        self._wall = time.perf_counter()
        self.wall_ms = 0.0
        self.cpu_ms = 0.0
        self.peak_kib = 0

    def stop(self) -> None:
        """Take the readings."""
        self.wall_ms = (time.perf_counter() - self._wall) * 1000
        self.cpu_ms = (_cpu_seconds() - self._cpu) * 1000
        self.peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


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
