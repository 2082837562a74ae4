"""One measurement of Maze: `python bench/_maze_side.py WORKLOAD [SIZE] [--nodes N] [--durability LEVEL] [--backlog N]`.

Prints one JSON document. Everything goes through the public SDK; head and nodes are real processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _functions as plain
from _cluster import Cluster, cluster, run, values_of
from _machine import compile_as_installed
from _maze_load import killed, queued, steady
from _maze_tasks import array_of, bytes_of, identity, increment, never, size_of, spin, total
from _maze_transfer import beside, between, relayed

MIB = 2**20


def independent(tasks: int) -> Callable[[Any], object]:
    return lambda workflow: [workflow.add_task(identity, inputs={"x": number}) for number in range(tasks)]


def w1(on: Cluster, tasks: int) -> dict[str, Any]:
    """Throughput of no-op tasks; add_task, submission and decoding of the results count."""
    run(on.client, independent(1_000))
    before = on.cpu_seconds()
    started = time.perf_counter()
    values = values_of(run(on.client, independent(tasks)))
    seconds = time.perf_counter() - started
    assert sorted(values) == list(range(tasks)), "a result is missing or wrong"
    used = _used(on, before, tasks)
    return {"tasks_per_second": tasks / seconds, "head_cpu_us": used["head"], "cpu_us": used}


def _used(on: Cluster, before: dict[str, float], count: int) -> dict[str, float]:
    """Return the CPU time of each kind of process since then, in µs for each of so many."""
    return {name: round(1e6 * (spent - before[name]) / count, 1) for name, spent in on.cpu_seconds().items()}


def w2(on: Cluster, rounds: int) -> dict[str, Any]:
    """Latency of one task."""
    workflow = on.client.create_workflow()
    workflow.add_task(identity, inputs={"x": 1})
    before = on.cpu_seconds()
    times = []
    for _ in range(rounds + 50):
        started = time.perf_counter()
        workflow.get_results(workflow.run(), verbose=False)
        times.append(1000 * (time.perf_counter() - started))
    used = _used(on, before, rounds + 50)
    times = sorted(times[50:])
    return {"p50_ms": statistics.median(times), "p99_ms": times[-1 - rounds // 100], "cpu_us": used}


def _chain(hops: int) -> Callable[[Any], object]:
    def add(workflow: Any) -> None:
        last = workflow.add_task(identity, inputs={"x": 0})
        for _ in range(hops):
            last = workflow.add_task(increment, inputs={"x": last.outputs["x"]})

    return add


def w3(on: Cluster, length: int) -> dict[str, Any]:
    """A chain, per hop."""
    run(on.client, _chain(10))
    before = on.cpu_seconds()
    started = time.perf_counter()
    values = values_of(run(on.client, _chain(length)))
    seconds = time.perf_counter() - started
    assert max(values) == length
    return {"hop_ms": 1000 * seconds / length, "cpu_us": _used(on, before, length)}


def _fan(many: int) -> Callable[[Any], object]:
    def add(workflow: Any) -> None:
        first = workflow.add_task(identity, inputs={"x": 1})
        middle = [workflow.add_task(spin, inputs={"x": first.outputs["x"]}) for _ in range(many)]
        workflow.add_task(total, inputs={"values": [each.outputs["x"] for each in middle]})

    return add


def w4(on: Cluster, width: int) -> dict[str, Any]:
    """One to many of a millisecond each to one."""
    run(on.client, _fan(50))
    started = time.perf_counter()
    values = values_of(run(on.client, _fan(width)))
    seconds = time.perf_counter() - started
    assert max(values) == width
    return {"efficiency": width * 0.001 / 2 / seconds}


def _w5(make: Any, amount: int) -> Callable[[Cluster, int], dict[str, Any]]:
    def measure(on: Cluster, consumers: int) -> dict[str, Any]:
        def add(workflow: Any) -> None:
            source = workflow.add_task(make, inputs={"rows": amount})
            for _ in range(consumers):
                workflow.add_task(size_of, inputs={"x": source.outputs["x"]})

        times = []
        for _ in range(4):
            started = time.perf_counter()
            messages = run(on.client, add)
            times.append(1000 * (time.perf_counter() - started))
            assert sum(each["type"] == "finish_task" for each in messages) == 1 + consumers, "a task failed"
        memcpy = plain.memcpy_ms(100 * MIB)
        took = statistics.median(times[1:])
        return {"ms": took, "memcpy_ms": memcpy, "memcpys": took / memcpy}

    return measure


WORKLOADS: dict[str, tuple[Callable[[Cluster, int], dict[str, Any]], int]] = {
    "W1": (w1, 10_000),
    "W2": (w2, 500),
    "W3": (w3, 500),
    "W4": (w4, 1_000),
    "W5-array": (_w5(array_of, plain.ROWS), 3),
    "W5-bytes": (_w5(bytes_of, 100 * MIB), 3),
    "W5-nodes": (between, 100),
    "W5-beside": (beside, 1_024),
    "W5-head": (relayed, 4_096),
    "W7": (queued, 100_000),
    "W7-rate": (steady, 10_000),
    "W8": (killed, 1_000),
}
"""With their usual sizes."""
NODES = {"W5-nodes": 2, "W5-beside": 2, "W5-head": 2}
"""How many, of two CPUs each; else as many CPUs as --nodes leaves to each."""


def cold() -> dict[str, Any]:
    """Time `maze run examples/quickstart.py` to its first result, from nothing."""
    compile_as_installed()
    script = Path(__file__).resolve().parents[1] / "examples/quickstart.py"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAZE_")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "maze", "run", str(script)],
        stdout=subprocess.PIPE, env={**clean, "PYTHONUNBUFFERED": "1"}, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = next(time.perf_counter() - started for line in process.stdout if "Task completed" in line)
    process.stdout.read()
    assert process.wait() == 0, "the quickstart failed"
    return {"first_result_s": seen}


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=[*WORKLOADS, "W6"])
    parser.add_argument("size", nargs="?", type=int)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--durability", default="process")
    parser.add_argument("--backlog", type=int, default=0, help="tasks that wait for what no node has")
    given = parser.parse_args()
    if given.workload == "W6":
        print(json.dumps(cold()))
        return
    measure, usual = WORKLOADS[given.workload]
    nodes = given.nodes or NODES.get(given.workload, 1)
    cpus = 1 if given.nodes and given.nodes > 1 else 2
    with cluster(nodes, cpus, given.durability) as on:
        if given.backlog:
            _block(on, given.backlog)
        print(json.dumps(measure(on, given.size or usual)), flush=True)


def _block(on: Cluster, tasks: int) -> None:
    workflow = on.client.create_workflow()
    for number in range(tasks):
        workflow.add_task(never, inputs={"x": number})
    workflow.run()


if __name__ == "__main__":
    main()
