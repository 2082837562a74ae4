"""What the figures were taken on, and a yardstick of the moment. No measuring of Maze here."""

from __future__ import annotations

import compileall
import os
import platform
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PARTS = ("maze", "maze_head", "maze_node", "maze_protocol")


def compile_as_installed() -> None:
    """Compile Maze to byte code, as pip does when it installs a package: a checkout may be without (all peers have it).

    Where Python is told to write none (PYTHONDONTWRITEBYTECODE), each start would compile all sources anew.
    """
    for part in PARTS:
        spec = find_spec(part)
        assert spec is not None, f"{part} is not installed here"
        assert spec.origin is not None, f"{part} has no folder"
        compileall.compile_dir(Path(spec.origin).parent, quiet=1)


def loop_ns() -> float:
    """Return what a turn of a plain loop takes now."""
    started = time.perf_counter_ns()
    total = 0
    for number in range(2_000_000):
        total += number
    return (time.perf_counter_ns() - started) / 2_000_000


def _ping_pong_us(rounds: int = 500) -> float:
    """Time a byte to another process and back: what every hop between processes costs at least here."""
    there, back = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        while os.read(there[0], 1) == b"x":
            os.write(back[1], b"x")
        os._exit(0)
    started = time.perf_counter_ns()
    for _ in range(rounds):
        os.write(there[1], b"x")
        os.read(back[0], 1)
    elapsed = time.perf_counter_ns() - started
    os.write(there[1], b"q")
    os.waitpid(child, 0)
    for end in (*there, *back):
        os.close(end)
    return elapsed / rounds / 1000


def stolen_ticks() -> tuple[int, int]:
    """Return the stolen and all ticks of the processors since boot, a mark for `stolen_percent`."""
    try:
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0, 0
    return (fields[7], sum(fields)) if len(fields) > 7 else (0, 0)


def stolen_percent(since: tuple[int, int] = (0, 0)) -> float | None:
    """Share of time the hypervisor took away since a mark, or since boot: a high one spoils every absolute figure."""
    stolen, every = (now - then for now, then in zip(stolen_ticks(), since, strict=True))
    return round(100 * stolen / every, 2) if every else None


def describe() -> dict[str, Any]:
    """Return the machine, the interpreter and the yardstick."""
    return {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "steal_percent": stolen_percent(),
        "yardstick_loop_ns": round(loop_ns(), 2),
        "yardstick_ping_pong_us": round(_ping_pong_us(), 1),
    }
