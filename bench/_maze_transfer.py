"""W5 between two nodes of this machine: throughput, a small task beside a transfer, memory of the head."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

from _cluster import Cluster, run
from _functions import memcpy_ms
from _maze_tasks import array_here, identity, size_there

__all__ = ["beside", "between", "relayed"]

MIB = 2**20
SPAWN = multiprocessing.get_context("spawn")


def transfer_s(on: Cluster, mib: int) -> float:
    """Carry an array from the first node to the second; return the seconds from its being made to its being there."""

    def add(workflow: Any) -> None:
        source = workflow.add_task(array_here, inputs={"rows": mib * MIB // 8})
        workflow.add_task(size_there, inputs={"x": source.outputs["x"]})

    ended = [each["data"]["result"] for each in run(on.client, add) if each["type"] == "finish_task"]
    made, there = sorted(each["at"] for each in ended)
    assert ended[-1]["x"] == mib * MIB // 8, "the payload is not what was sent"
    return float(there - made)


def between(on: Cluster, mib: int) -> dict[str, Any]:
    """Carry so many MiB some times."""
    times = [transfer_s(on, mib) for _ in range(6)][1:]
    took = [1000 * each for each in times]
    rate = mib * MIB / statistics.median(times) / 1e6
    return {"mb_per_second": rate, "ms": took, "memcpy_ms": memcpy_ms(mib * MIB)}


def beside(on: Cluster, mib: int) -> dict[str, Any]:
    """Latency of one-task runs beside transfers of so many MiB, and beside a process that copies as much memory."""
    _latencies(on, 20, threading.Event())
    with _transferring(on, mib) as ended:
        moving = _latencies(on, 500, ended)
    with _copying(mib):
        copying = _latencies(on, len(moving), threading.Event())
    ours, theirs = statistics.median(moving), statistics.median(copying)
    return {"ratio": ours / theirs, "transfer_p50_ms": ours, "memcpy_p50_ms": theirs, "rounds": len(moving)}


def _latencies(on: Cluster, rounds: int, ended: threading.Event) -> list[float]:
    """Return milliseconds of one-task runs, until the load has ended."""
    workflow = on.client.create_workflow()
    workflow.add_task(identity, inputs={"x": 1})
    times = []
    while len(times) < rounds and not ended.is_set():
        began = time.perf_counter()
        workflow.get_results(workflow.run(), verbose=False)
        times.append(1000 * (time.perf_counter() - began))
    return times


@contextmanager
def _transferring(on: Cluster, mib: int) -> Iterator[threading.Event]:
    ended = threading.Event()
    problems: list[BaseException] = []

    def carry() -> None:
        try:
            transfer_s(on, mib)
        except BaseException as problem:  # noqa: BLE001 -- raised again by the thread that measures
            problems.append(problem)
        finally:
            ended.set()

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield ended
    finally:
        thread.join()
    if problems:
        raise problems[0]


@contextmanager
def _copying(mib: int) -> Iterator[None]:
    ready, over = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=_copy, args=(mib, ready, over))
    process.start()
    ready.wait()
    try:
        yield
    finally:
        over.set()
        process.join()


def _copy(mib: int, ready: Event, over: Event) -> None:
    source, target = bytearray(mib * MIB), bytearray(mib * MIB)
    ready.set()
    while not over.is_set():
        memoryview(target)[:] = source


def relayed(on: Cluster, mib: int) -> dict[str, Any]:
    """Growth of the head's memory while so many MiB pass between nodes, in pieces of at most a GiB."""
    run(on.client, lambda workflow: workflow.add_task(identity, inputs={"x": 1}))
    before = on.head.memory_info().rss
    most, left = before, mib
    while left > 0:
        piece = min(left, 1_024)
        transfer_s(on, piece)
        most, left = max(most, on.head.memory_info().rss), left - piece
    return {"head_grew_mb": (most - before) / 1e6, "mib": mib}
