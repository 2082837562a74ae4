"""One measurement of a peer: `python bench/_peer_side.py SYSTEM WORKLOAD [SIZE]`, by the peer's own interpreter.

Prints one JSON document. No import of Maze: it is not installed there.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from _functions import (
    ROWS,
    array_of,
    bytes_of,
    identity,
    increment,
    memcpy_ms,
    memory_settled,
    size_of,
    spin,
    stamped,
    total,
    wait_for,
)  # fmt: skip
from _peers import LOST, PEERS
from _stamps import after_kill, read_stamps, running_one

System = Any
MIB = 2**20


def w1(system: System, tasks: int) -> dict[str, float]:
    """Throughput of no-op tasks."""
    system.gather([system.submit(identity, number) for number in range(200)])
    started = time.perf_counter()
    values = system.gather([system.submit(identity, number) for number in range(tasks)])
    seconds = time.perf_counter() - started
    assert values == list(range(tasks)), "a result is missing or wrong"
    return {"tasks_per_second": tasks / seconds}


def w2(system: System, rounds: int) -> dict[str, float]:
    """Latency of one task."""
    times = []
    for number in range(rounds + 50):
        started = time.perf_counter()
        system.gather([system.submit(identity, number)])
        times.append(1000 * (time.perf_counter() - started))
    times = sorted(times[50:])
    return {"p50_ms": statistics.median(times), "p99_ms": times[-1 - rounds // 100]}


def w3(system: System, length: int) -> dict[str, float]:
    """A chain, per hop."""
    for hops in (10, length):
        started = time.perf_counter()
        last = system.submit(identity, 0)
        for _ in range(hops):
            last = system.submit(increment, last)
        assert system.gather([last]) == [hops]
        seconds = time.perf_counter() - started
    return {"hop_ms": 1000 * seconds / length}


def w4(system: System, width: int) -> dict[str, float]:
    """One to many of a millisecond each to one."""
    for many in (50, width):
        started = time.perf_counter()
        first = system.submit(identity, 1)
        middle = [system.submit(spin, first) for _ in range(many)]
        assert system.gather([system.submit(total, middle)]) == [many]
        seconds = time.perf_counter() - started
    return {"efficiency": width * 0.001 / 2 / seconds}


def _w5(make: Callable[[int], Any], amount: int) -> Callable[[System, int], dict[str, float]]:
    def measure(system: System, consumers: int) -> dict[str, float]:
        times = []
        for _ in range(4):
            started = time.perf_counter()
            source = system.submit(make, amount)
            system.gather([system.submit(size_of, source) for _ in range(consumers)])
            times.append(1000 * (time.perf_counter() - started))
        return {"ms": statistics.median(times[1:]), "memcpy_ms": memcpy_ms(100 * MIB)}

    return measure


def w7(system: System, tasks: int) -> dict[str, Any]:
    """Bytes per queued task of one int input: growth of resident memory of all processes, the client among them."""
    system.gather([system.submit(identity, number) for number in range(100)])
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "open"
        blocking = [system.submit(wait_for, str(gate)) for _ in range(2)]
        before = memory_settled(_resident)
        waiting = [system.submit(identity, number) for number in range(tasks)]
        after = memory_settled(_resident)
        gate.touch()
        system.gather(blocking)
    grown = {name: round((after[name] - before[name]) / len(waiting)) for name in before}
    return {"bytes_per_task": grown["others"], "client_bytes": grown["client"]}


def _resident() -> dict[str, int]:
    me = psutil.Process()
    others = sum(_rss(child) for child in me.children(recursive=True))
    return {"client": me.memory_info().rss, "others": others}


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def w8(system: System, tasks: int) -> dict[str, Any]:
    """What happens when a worker is killed in the midst of tasks of ten milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stamps"
        began = time.perf_counter()
        results = [system.submit(stamped, number, str(path)) for number in range(tasks)]
        victim = running_one(path, tasks // 3)
        at = time.time()
        os.kill(victim, signal.SIGKILL)
        try:
            finished = len(system.gather(results))
        except LOST:
            finished = sum(stamp.what == "e" for stamp in read_stamps(path))
        told = after_kill(read_stamps(path), victim, at)
    return {"finished": finished, "seconds": time.perf_counter() - began, **told}


WORKLOADS: dict[str, tuple[Callable[[System, int], dict[str, float]], int]] = {
    "W1": (w1, 10_000),
    "W2": (w2, 500),
    "W3": (w3, 500),
    "W4": (w4, 1_000),
    "W5-array": (_w5(array_of, ROWS), 3),
    "W5-bytes": (_w5(bytes_of, 100 * MIB), 3),
    "W7": (w7, 100_000),
    "W8": (w8, 1_000),
}


def main() -> None:
    """Measure once."""
    system, workload, *size = sys.argv[1:]
    began = time.perf_counter()
    if workload == "W6":
        with PEERS[system]() as one:
            assert one.gather([one.submit(identity, 1)]) == [1]
            print(json.dumps({"first_result_s": time.perf_counter() - began}), flush=True)
        return
    measure, usual = WORKLOADS[workload]
    with PEERS[system]() as one:
        print(json.dumps(measure(one, int(size[0]) if size else usual)), flush=True)


if __name__ == "__main__":
    main()
