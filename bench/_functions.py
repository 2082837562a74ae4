"""The tasks of the speed benchmarks: the same for every system. Standard library; NumPy where a payload is an array."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

__all__ = [
    "ROWS", "array_of", "bytes_of", "identity", "increment", "memcpy_ms", "memory_settled", "size_of", "spin",
    "stamped", "total", "wait_for",
]  # fmt: skip

ROWS = 100 * 2**20 // 8
"""Of a float64 array of 100 MiB."""


def identity(x: int) -> int:
    """Return the input."""
    return x


def increment(x: int) -> int:
    """Return the next number."""
    return x + 1


def spin(x: int) -> int:
    """Keep a CPU busy for a millisecond."""
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass
    return x


def stamped(x: int, path: str) -> int:
    """Sleep for ten milliseconds, and write down when that began and ended."""
    with open(path, "ab", 0) as stamps:
        stamps.write(f"{x} {os.getpid()} b {time.time()}\n".encode())
        time.sleep(0.01)
        stamps.write(f"{x} {os.getpid()} e {time.time()}\n".encode())
    return x


def wait_for(path: str) -> int:
    """Keep a worker until a file is there."""
    while not os.path.exists(path):
        time.sleep(0.01)
    return 0


def total(values: list[int]) -> int:
    """Return the sum."""
    return sum(values)


def array_of(rows: int) -> Any:
    """Return a float64 array."""
    import numpy

    return numpy.ones(rows)


def bytes_of(size: int) -> bytes:
    """Return so many bytes."""
    return b"x" * size


def size_of(value: Any) -> float:
    """Look at a payload: the first and the last item, and how many there are."""
    return float(len(value) + value[0] - value[-1])


def memcpy_ms(size: int, rounds: int = 7) -> float:
    """Return how long a copy of so many bytes takes here and now, in milliseconds, the median of some."""
    source, target = bytearray(size), bytearray(size)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        memoryview(target)[:] = source
        times.append(1000 * (time.perf_counter() - started))
    return sorted(times)[rounds // 2]


def memory_settled(read: Callable[[], dict[str, int]], limit_s: float = 20.0) -> dict[str, int]:
    """Return what memory is used once it has not changed by a percent for a second."""
    before = read()
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        time.sleep(1.0)
        now = read()
        if abs(sum(now.values()) - sum(before.values())) <= sum(before.values()) / 100:
            return now
        before = now
    return before
