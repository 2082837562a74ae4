"""Limits and caps with real processes: what tasks themselves record, and what the log of the run says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maze import MaClient, task
from support.cluster import Cluster, start_cluster

SMALL = {"cpu": 0.1}


@task(inputs=["seconds"], outputs=["begin", "end"], limits={"api": 1}, resources=SMALL)
def call(params: dict[str, Any]) -> dict[str, Any]:
    import time

    begin = time.monotonic()
    time.sleep(params["seconds"])
    return {"begin": begin, "end": time.monotonic()}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with start_cluster(node_args=("--cpus=4", "--workers=8")) as running:
        yield running


def put(cluster: Cluster, path: str, body: dict[str, Any]) -> None:
    status, answer = cluster.request("PUT", f"/api/v1/{path}", body)
    assert status == 200, answer


def ran(cluster: Cluster, count: int, **options: Any) -> tuple[str, list[tuple[float, float]]]:
    """Run so many calls and return when each began and ended, by its own clock."""
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        seconds = options.pop("seconds")
        tasks = [workflow.add_task(call, inputs={"seconds": seconds}, **options) for _ in range(count)]
        run_id = workflow.run()
        workflow.get_results(run_id, verbose=False)
        results = [workflow.get_task_result(run_id, each.task_id)["result"] for each in tasks]
    return run_id, [(result["begin"], result["end"]) for result in results]


def most_at_once(times: list[tuple[float, float]]) -> int:
    changes = sorted([(begin, 1) for begin, _ in times] + [(end, -1) for _, end in times])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def test_never_more_tasks_run_than_their_limit_allows(cluster: Cluster) -> None:
    put(cluster, "limits/api", {"concurrency": 3})
    _, times = ran(cluster, 12, seconds=0.3)
    assert most_at_once(times) == 3
    _, times = ran(cluster, 6, seconds=0.1, limits={"api": 2})
    assert most_at_once(times) == 1
    assert cluster.get("/api/v1/limits")["limits"][0]["held"] == 0
    assert cluster.request("DELETE", "/api/v1/limits/api")[0] == 200
    _, times = ran(cluster, 12, seconds=0.5)
    assert most_at_once(times) > 3


def test_no_more_tasks_begin_in_a_time_than_their_rate_allows(cluster: Cluster) -> None:
    put(cluster, "limits/api", {"rate": "6/s"})
    run_id, times = ran(cluster, 15, seconds=0.0)
    assert len(times) == 15
    leased = [event["time"] for event in cluster.events(run_id) if event["type"] == "task_leased"]
    assert len(leased) == 15
    for first, start in enumerate(leased):
        for last in range(first, 15):
            # A bucket of one second's units, and six more per second; the log has the wall clock.
            assert last - first + 1 <= 6 + 6 * (leased[last] - start) + 0.1
    assert cluster.request("DELETE", "/api/v1/limits/api")[0] == 200


def test_a_cap_of_the_default_project_holds(cluster: Cluster) -> None:
    put(cluster, "projects/default", {"cap": {"tasks": 2}})
    _, times = ran(cluster, 10, seconds=0.1, limits={})
    assert most_at_once(times) == 2
    assert cluster.request("DELETE", "/api/v1/projects/default")[0] == 200
