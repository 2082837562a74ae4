"""What the figures were taken on, and a yardstick of the moment. No measuring of Maze here."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def _loop_ns() -> float:
    started = time.perf_counter_ns()
    total = 0
    for number in range(2_000_000):
        total += number
    return (time.perf_counter_ns() - started) / 2_000_000


def _steal_percent() -> float | None:
    """Share of time the hypervisor took away since boot: a high one spoils every absolute figure."""
    try:
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return None
    return round(100 * fields[7] / sum(fields), 2) if len(fields) > 7 else None


def describe() -> dict[str, Any]:
    """Return the machine, the interpreter and the yardstick."""
    return {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "steal_percent": _steal_percent(),
        "yardstick_loop_ns": round(_loop_ns(), 2),
    }
