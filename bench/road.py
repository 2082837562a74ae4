"""The whole road: tasks per second through MaClient, a real head, a real node and real workers.

    python bench/road.py [--tasks 10000] [--runs 200] [--threads 8] [--cpus 2] [--latency 200]

Prints one JSON document. `add_task`, submission and decoding of the results count (W1); durability is on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from _machine import describe

from maze import MaClient, task


@task(inputs=["x"], outputs=["x"])
def no_op(params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"x": params["x"]}


@task(inputs=["a", "b"], outputs=["x"])
def add(params: dict[str, Any]) -> dict[str, Any]:
    """Return the sum of two inputs."""
    return {"x": params["a"] + params["b"]}


@task(inputs=["x"], outputs=["x"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    """Return twice the input."""
    return {"x": 2 * params["x"]}


def fan(client: Any, tasks: int) -> dict[str, Any]:
    """Run that many independent no-op tasks in one workflow."""
    started = time.perf_counter()
    workflow = client.create_workflow()
    for number in range(tasks):
        workflow.add_task(no_op, inputs={"x": number})
    drafted = time.perf_counter()
    run_id = workflow.run()
    submitted = time.perf_counter()
    messages = workflow.get_results(run_id, verbose=False)
    ended = time.perf_counter()
    values = sorted(m["data"]["result"]["x"] for m in messages if m["type"] == "finish_task")
    assert values == list(range(tasks)), "a result is missing or wrong"
    return {
        "tasks": tasks,
        "seconds": round(ended - started, 3),
        "tasks_per_second": round(tasks / (ended - started)),
        "draft_s": round(drafted - started, 3),
        "submit_s": round(submitted - drafted, 3),
        "run_s": round(ended - submitted, 3),
    }


def floor(tasks: int, workers: int) -> dict[str, Any]:
    """Run as many no-op calls through ProcessPoolExecutor: one machine, nothing durable, no graph."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_nothing, range(100)))
        started = time.perf_counter()
        futures = [pool.submit(_nothing, number) for number in range(tasks)]
        assert [future.result() for future in futures] == list(range(tasks)), "the floor gave a wrong answer"
        seconds = time.perf_counter() - started
    return {"tasks": tasks, "tasks_per_second": round(tasks / seconds)}


def _nothing(number: int) -> int:
    return number


def diamond(client: Any, seed: int) -> bool:
    """Run source -> (double, double) -> sum -> double and check the answer."""
    workflow = client.create_workflow()
    source = workflow.add_task(no_op, inputs={"x": seed})
    left = workflow.add_task(double, inputs={"x": source.outputs["x"]})
    right = workflow.add_task(double, inputs={"x": source.outputs["x"]})
    both = workflow.add_task(add, inputs={"a": left.outputs["x"], "b": right.outputs["x"]})
    last = workflow.add_task(double, inputs={"x": both.outputs["x"]})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    return bool(workflow.get_task_result(run_id, last.task_id)["result"]["x"] == 8 * seed)


def diamonds(client: Any, runs: int, threads: int) -> dict[str, Any]:
    """Submit that many diamonds from that many threads."""
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        right = list(pool.map(lambda seed: diamond(client, seed), range(runs)))
    seconds = time.perf_counter() - started
    assert all(right), "a diamond gave a wrong answer"
    return {
        "runs": runs,
        "threads": threads,
        "seconds": round(seconds, 3),
        "runs_per_second": round(runs / seconds, 1),
        "tasks_per_second": round(5 * runs / seconds),
    }


def latency(client: Any, rounds: int) -> dict[str, Any]:
    """Time one-task runs, `run` to the last message (W2)."""
    workflow = client.create_workflow()
    workflow.add_task(no_op, inputs={"x": 1})
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        workflow.get_results(workflow.run(), verbose=False)
        times.append(1000 * (time.perf_counter() - started))
    times.sort()
    return {
        "rounds": rounds,
        "p50_ms": round(statistics.median(times), 2),
        "p99_ms": round(times[-1 - rounds // 100], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tasks", 10_000), ("runs", 200), ("threads", 8), ("cpus", 2), ("latency", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    lowest = floor(arguments.tasks, arguments.cpus)
    with MaClient.local(cpus=arguments.cpus) as client:
        latency(client, 5)
        record = {
            "bench": "road",
            **describe(),
            "process_pool": lowest,
            "fan": fan(client, arguments.tasks),
            "diamonds": diamonds(client, arguments.runs, arguments.threads),
            "latency": latency(client, arguments.latency),
        }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
