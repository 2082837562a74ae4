"""What the token and CURVE cost small tasks: the same work on heads that differ in nothing else.

    python bench/security.py [--tasks 4000] [--runs 200] [--requests 2000] [--rounds 5]

Prints one JSON document. Three clusters of one node stand side by side, `off` (no token, no CURVE), `token` and `curve`
(both), and take turns, so that the machine is the same for all. W1: tasks of one workflow, CPU µs per task of all
processes together. W2: runs of one task, one after the other, CPU µs per run, and the median of their latencies. HTTP:
requests over one connection, CPU µs of the head per request, and the median of their latencies. Latencies are the only
figures that other load on the machine changes. Each ratio is to the round of `off` beside it; given are
median and range. What CURVE costs objects, `transfer.py --curve` tells.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, Final

from _cluster import Cluster, cluster, run, values_of
from _machine import describe
from _maze_side import independent
from _maze_tasks import identity
from _ratios import ratio_of, summary

from maze._daemon.access import bearer, find_access

KINDS: Final = {"off": ("--no-token",), "token": (), "curve": ("--curve",)}


def used(on: Cluster, work: Callable[[], None]) -> float:
    """Return the CPU seconds that all processes spent on some work."""
    before = sum(on.cpu_seconds().values())
    work()
    return sum(on.cpu_seconds().values()) - before


def many(on: Cluster, tasks: int) -> dict[str, float]:
    """Run one workflow of so many tasks."""

    def work() -> None:
        assert sorted(values_of(run(on.client, independent(tasks)))) == list(range(tasks)), "a result is wrong"

    return {"w1_cpu_us": 1e6 * used(on, work) / tasks}


def one_by_one(on: Cluster, runs: int) -> dict[str, float]:
    """Run a workflow of one task so many times."""
    workflow = on.client.create_workflow()
    workflow.add_task(identity, inputs={"x": 1})
    times: list[float] = []

    def work() -> None:
        for _ in range(runs):
            began = time.perf_counter()
            workflow.get_results(workflow.run(), verbose=False)
            times.append(1000 * (time.perf_counter() - began))

    spent = used(on, work)
    return {"w2_cpu_us": 1e6 * spent / runs, "w2_p50_ms": statistics.median(times)}


def requests(on: Cluster, count: int) -> dict[str, float]:
    """Ask the head so many times, as a program that is not ours."""
    access = find_access(on.client.server_url)
    headers = bearer(access.token)
    times: list[float] = []
    with closing(http.client.HTTPConnection(access.url.removeprefix("http://"))) as connection:
        before = on.cpu_seconds()["head"]
        for _ in range(count):
            began = time.perf_counter()
            connection.request("GET", "/api/v1/limits", headers=headers)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            times.append(1000 * (time.perf_counter() - began))
        spent = on.cpu_seconds()["head"] - before
    return {"http_cpu_us": 1e6 * spent / count, "http_p50_ms": statistics.median(times)}


def measure(on: Cluster, given: argparse.Namespace) -> dict[str, float]:
    """Measure one round on one cluster."""
    return many(on, given.tasks) | one_by_one(on, given.runs) | requests(on, given.requests)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=4_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        on = {kind: stack.enter_context(cluster(1, 2, "process", head_flags=flags)) for kind, flags in KINDS.items()}
        for each in on.values():
            run(each.client, independent(500))
        for number in range(given.rounds):
            # Back and forth, so that nobody is always the first after a pause.
            for kind, each in list(on.items())[:: 1 - 2 * (number % 2)]:
                measured[kind].append(measure(each, given))
    record: dict[str, Any] = {"bench": "security", "given": vars(given), **describe()}
    for figure in measured["off"][0]:
        values = {kind: [each[figure] for each in rounds] for kind, rounds in measured.items()}
        ratios = {kind: ratio_of(values[kind], values["off"]) for kind in KINDS if kind != "off"}
        record[figure] = {**{kind: summary(each) for kind, each in values.items()}, "ratio_to_off": ratios}
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
