"""Where the hot path spends its CPU time: W1 on a real head and node, by process, thread and function.

    python bench/hot_path.py [--tasks 10000] [--rounds 3] [--nodes 1] [--durability process]
                             [--profile head|agent|client|worker] [--how samples|threads|calls] [--json]

Prints tasks per second and CPU µs per task of the client, the head (the loop, and its other threads: the journal), each
agent, its spawner and each worker, of each round; a last round, which is not counted, is profiled. _sampling.py says
what the ways of profiling see; the main thread of the client is the caller of the SDK, so `threads` is its usual way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from _cluster import Cluster, cluster, run, values_of
from _machine import describe
from _maze_side import independent
from _sampling import KINDS

HERE = Path(__file__).resolve().parent


def processes(on: Cluster) -> dict[str, psutil.Process]:
    """Return all processes that take part, by what they are."""
    found = {"client": psutil.Process(), "head": on.head}
    for number, node in enumerate(on.nodes):
        found[f"agent {number}"] = node
        for spawner in node.children():
            found[f"spawner {number}"] = spawner
            for order, worker in enumerate(spawner.children()):
                found[f"worker {number}.{order}"] = worker
    return found


def cpu_seconds(taking_part: dict[str, psutil.Process]) -> dict[str, float]:
    """Return the CPU time of each process so far; of client and head the main thread and the others apart."""
    found = {}
    for name, process in taking_part.items():
        if name in ("client", "head"):
            spent = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
            found[f"{name}: main thread"] = spent.pop(process.pid)
            found[f"{name}: other threads"] = sum(spent.values())
        else:
            times = process.cpu_times()
            found[name] = times.user + times.system
    return found


def one_round(on: Cluster, tasks: int) -> dict[str, Any]:
    """Run W1 once."""
    taking_part = processes(on)
    before, began = cpu_seconds(taking_part), time.perf_counter()
    values = values_of(run(on.client, independent(tasks)))
    seconds = time.perf_counter() - began
    assert sorted(values) == list(range(tasks)), "a result is missing or wrong"
    used = {name: spent - before[name] for name, spent in cpu_seconds(taking_part).items()}
    each = {name: round(1e6 * spent / tasks, 1) for name, spent in used.items()}
    return {"tasks_per_second": round(tasks / seconds), "cpu_us_per_task": each, "sum_us": round(sum(each.values()), 1)}


@contextmanager
def hooked(folder: str, how: str) -> Iterator[None]:
    """Let all processes that start now be ready to be profiled."""
    paths = [str(HERE / "_hooks"), *filter(None, [os.environ.get("PYTHONPATH")])]
    changed = {
        "PYTHONPATH": os.pathsep.join(paths), "BENCH_TOOLS": str(HERE), "BENCH_PROFILE": how, "BENCH_FOLDER": folder,
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def profiled(on: Cluster, tasks: int, part: str, how: str, folder: str) -> dict[str, Any]:
    """Run W1 once more and look into one process (the busiest of several)."""
    if part == "client":
        looking = KINDS[how]()
        looking.start()
        run(on.client, independent(tasks))
        return looking.stop()
    looked_at = [process for name, process in processes(on).items() if name.startswith(part)]
    for process in looked_at:
        process.send_signal(signal.SIGUSR2)
    run(on.client, independent(tasks))
    for process in looked_at:
        process.send_signal(signal.SIGUSR2)
    found = [_written(Path(folder) / f"{process.pid}.json") for process in looked_at]
    # One of two workers may have done it all.
    return max(found, key=lambda each: each["cpu_ms"])


def _written(profile: Path) -> dict[str, Any]:
    until = time.monotonic() + 60
    while not profile.exists():
        assert time.monotonic() < until, "no profile was written"
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(profile.read_text())
    # The next profile of that process goes there, too.
    profile.unlink()
    return found


def show(record: dict[str, Any], tasks: int) -> None:
    """Print a record for people: milliseconds as µs per task."""
    for one in record["rounds"]:
        parts = ", ".join(f"{name} {spent}" for name, spent in one["cpu_us_per_task"].items())
        print(f"{one['tasks_per_second']} tasks/s; CPU µs per task: {parts}; together {one['sum_us']}")
    for table, rows in record.get("profile", {}).items():
        if isinstance(rows, list) and table != "stacks":
            print(f"\n{table}, µs per task" + (" (with callees, calls per task)" if "calls" in rows[0] else ""))
            for row in rows:
                more = (
                    f" {1e3 * row['with_callees_ms'] / tasks:8.2f} {row['calls'] / tasks:7.2f}"
                    if "calls" in row
                    else ""
                )
                print(f"{1e3 * row['ms'] / tasks:8.2f}{more}  {row['where']}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--durability", default="process")
    parser.add_argument("--profile", choices=["head", "agent", "client", "worker", "spawner"])
    parser.add_argument("--how", choices=KINDS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    how = given.how or ("threads" if given.profile == "client" else "samples")
    cpus = 2 if given.nodes == 1 else 1
    with (
        tempfile.TemporaryDirectory() as folder,
        hooked(folder, how),
        cluster(given.nodes, cpus, given.durability) as on,
    ):
        run(on.client, independent(1_000))
        record: dict[str, Any] = {"bench": "hot_path", "tasks": given.tasks, **describe()}
        record["rounds"] = [one_round(on, given.tasks) for _ in range(given.rounds)]
        if given.profile:
            record["profile"] = profiled(on, given.tasks, given.profile, how, folder)
    print(json.dumps(record, indent=2)) if given.json else show(record, given.tasks)


if __name__ == "__main__":
    main()
