"""One measurement of Maze: `python bench/_maze_side.py WORKLOAD [SIZE] [--nodes N] [--durability LEVEL]`.

Prints one JSON document. Everything goes through the public SDK; head and nodes are real processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _functions as plain
import psutil

from maze import MaClient, task

MIB = 2**20


@task(inputs=["x"], outputs=["x"])
def identity(params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"x": params["x"]}


@task(inputs=["x"], outputs=["x"])
def increment(params: dict[str, Any]) -> dict[str, Any]:
    """Return the next number."""
    return {"x": params["x"] + 1}


@task(inputs=["x"], outputs=["x"])
def spin(params: dict[str, Any]) -> dict[str, Any]:
    """Keep a CPU busy for a millisecond."""
    return {"x": plain.spin(params["x"])}


@task(inputs=["values"], outputs=["x"])
def total(params: dict[str, Any]) -> dict[str, Any]:
    """Return the sum."""
    return {"x": sum(params["values"])}


@task(inputs=["rows"], outputs=["x"])
def array_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return a float64 array."""
    return {"x": plain.array_of(params["rows"])}


@task(inputs=["rows"], outputs=["x"])
def bytes_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return so many bytes."""
    return {"x": plain.bytes_of(params["rows"])}


@task(inputs=["x"], outputs=["x"])
def size_of(params: dict[str, Any]) -> dict[str, Any]:
    """Look at a payload."""
    return {"x": plain.size_of(params["x"])}


class Cluster:
    """A head and its nodes, and a client of them."""

    def __init__(self, client: MaClient, head: psutil.Process, nodes: list[psutil.Process]) -> None:
        self.client = client
        self.head = head
        self.nodes = nodes

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of each kind of process so far."""
        workers = [child for node in self.nodes for child in node.children(recursive=True)]
        parts = {"client": [psutil.Process()], "head": [self.head], "agents": self.nodes, "workers": workers}
        return {name: sum(_cpu(process) for process in processes) for name, processes in parts.items()}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("MAZE-READY "), f"{arguments[0]} said {line!r}"
    return process, json.loads(line.removeprefix("MAZE-READY "))


@contextmanager
def cluster(nodes: int, cpus: int, durability: str, *more: str) -> Iterator[Cluster]:
    """Run a head and so many nodes of so many CPUs each."""
    started: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        ports = ["--port", "0", "--node-port", "0", "--blob-port", "0", "--event-port", "0"]
        try:
            head, ready = _start(
                "maze_head", *ports, "--state-dir", str(state / "head"), "--connection-file", str(state / "c.json"),
                "--durability", durability, "--log-level", "warning",
            )  # fmt: skip
            started.append(head)
            for number in range(nodes):
                node, _ = _start(
                    "maze_node", "--connection-file", str(state / "c.json"), "--cpus", str(cpus),
                    "--name", f"n{number}", "--log-level", "warning", *more,
                )  # fmt: skip
                started.append(node)
            with MaClient(ready["url"]) as client:
                yield Cluster(client, psutil.Process(head.pid), [psutil.Process(node.pid) for node in started[1:]])
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(30)


def values_of(messages: list[dict[str, Any]]) -> list[Any]:
    """Return the outputs `x` of all finished tasks."""
    return [message["data"]["result"]["x"] for message in messages if message["type"] == "finish_task"]


def run(client: MaClient, add: Callable[[Any], object]) -> list[dict[str, Any]]:
    """Make a workflow, run it, and return its messages."""
    workflow = client.create_workflow()
    add(workflow)
    return workflow.get_results(workflow.run(), verbose=False)


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
    used = {name: round(1e6 * (spent - before[name]) / tasks, 1) for name, spent in on.cpu_seconds().items()}
    return {"tasks_per_second": tasks / seconds, "head_cpu_us": used["head"], "cpu_us": used}


def w2(on: Cluster, rounds: int) -> dict[str, Any]:
    """Latency of one task."""
    workflow = on.client.create_workflow()
    workflow.add_task(identity, inputs={"x": 1})
    times = []
    for _ in range(rounds + 50):
        started = time.perf_counter()
        workflow.get_results(workflow.run(), verbose=False)
        times.append(1000 * (time.perf_counter() - started))
    times = sorted(times[50:])
    return {"p50_ms": statistics.median(times), "p99_ms": times[-1 - rounds // 100]}


def _chain(hops: int) -> Callable[[Any], object]:
    def add(workflow: Any) -> None:
        last = workflow.add_task(identity, inputs={"x": 0})
        for _ in range(hops):
            last = workflow.add_task(increment, inputs={"x": last.outputs["x"]})

    return add


def w3(on: Cluster, length: int) -> dict[str, Any]:
    """A chain, per hop."""
    run(on.client, _chain(10))
    started = time.perf_counter()
    values = values_of(run(on.client, _chain(length)))
    seconds = time.perf_counter() - started
    assert max(values) == length
    return {"hop_ms": 1000 * seconds / length}


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
            run(on.client, add)
            times.append(1000 * (time.perf_counter() - started))
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
}


def cold() -> dict[str, Any]:
    """Time `maze run examples/quickstart.py` to its first result, from nothing."""
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
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--durability", default="process")
    given = parser.parse_args()
    if given.workload == "W6":
        print(json.dumps(cold()))
        return
    measure, usual = WORKLOADS[given.workload]
    with cluster(given.nodes, 2 if given.nodes == 1 else 1, given.durability) as on:
        print(json.dumps(measure(on, given.size or usual)), flush=True)


if __name__ == "__main__":
    main()
