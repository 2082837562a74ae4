"""What waits holds nobody up and is not forgotten: impossible tasks, large tasks, tasks of high priority."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from maze import InfeasibleWarning, MaClient, MaWorkflow
from scheduling.scale import promised, sized
from scheduling.work import sleep
from support.cluster import Cluster, start_cluster, wait_until

SMALL = sized(40, 1000)
SMALL_SECONDS = 0.02
PAIRS = sized(1, 7)
CPUS = 4
RESERVE_AFTER = sized(1.0, 30.0)
LOOK_SECONDS = 1.0
"""Beside the promise: the head looks for who has waited long every quarter of a second, and when something happens."""
LONG = 300.0


def many(client: MaClient, count: int, seconds: float, cpu: float = 1) -> MaWorkflow:
    """Return a workflow of so many alike tasks, ready to run."""
    workflow = client.create_workflow()
    for _ in range(count):
        workflow.add_task(sleep, {"seconds": seconds}, resources={"cpu": cpu})
    workflow.get_tasks()
    return workflow


def body(cluster: Cluster, run_id: str) -> dict[str, Any]:
    return dict(cluster.get(f"/api/v1/runs/{run_id}"))


def wait_sealed(cluster: Cluster, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = wait_until(
        lambda: (run := body(cluster, run_id))["sealed"] and run, f"the end of {run_id}", LONG
    )
    return found


def cancel(cluster: Cluster, run_id: str) -> None:
    cluster.request("DELETE", f"/api/v1/runs/{run_id}")
    wait_sealed(cluster, run_id)


def started(cluster: Cluster, run_id: str) -> list[float]:
    """Return when the tasks of a run started that have, in order."""
    return sorted(task["started_at"] for task in cluster.tasks(run_id).values() if task["started_at"])


def duration(cluster: Cluster, workflow: MaWorkflow) -> float:
    """Run a workflow to its end; return how long it took, by the head's clock."""
    run = wait_sealed(cluster, workflow.run())
    assert run["status"] == "finished"
    return float(run["ended_at"] - run["submitted_at"])


def compare(cluster: Cluster, small: MaWorkflow, large: MaWorkflow, figures: dict[str, Any]) -> None:
    """Run small tasks alone, and while a large one waits, in turns; promise that they hardly take longer beside it."""
    alone, beside = [], []
    duration(cluster, small)  # the first time, workers and imports are new
    for _ in range(PAIRS):
        alone.append(round(duration(cluster, small), 3))
        waiting = large.run()
        beside.append(round(duration(cluster, small), 3))
        assert [task["status"] for task in cluster.tasks(waiting).values()] == ["ready"], "it was to wait all the time"
        cancel(cluster, waiting)
    figures |= {"tasks": SMALL, "alone_s": alone, "beside_s": beside}
    promised("beside_to_alone", statistics.median(beside) / statistics.median(alone), 1.05, figures)


@pytest.mark.timeout(600)
def test_an_impossible_task_holds_no_small_ones_up(figures: dict[str, Any]) -> None:
    with start_cluster(node_args=(f"--cpus={CPUS}",)) as cluster, MaClient(cluster.url) as client:
        small, impossible = many(client, SMALL, SMALL_SECONDS), many(client, 1, 0.0, cpu=1000)
        with pytest.warns(InfeasibleWarning):
            compare(cluster, small, impossible, figures)


@pytest.mark.timeout(600)
def test_a_task_for_a_whole_node_holds_no_small_ones_up_before_it_has_waited_long(figures: dict[str, Any]) -> None:
    with (
        start_cluster(head_args=("--reserve-after=30",), node_args=(f"--cpus={CPUS + 1}",)) as cluster,
        MaClient(cluster.url) as client,
    ):
        # Somebody is there all the time, so that the node is never idle when the large task comes.
        resident = many(client, 1, LONG * 2).run()
        wait_until(lambda: started(cluster, resident), "the resident")
        small, whole = many(client, SMALL, SMALL_SECONDS), many(client, 1, 0.0, cpu=CPUS + 1)
        compare(cluster, small, whole, figures)
        cancel(cluster, resident)


@pytest.mark.timeout(300)
def test_a_task_for_a_whole_node_starts_beside_an_endless_stream_of_small_ones(figures: dict[str, Any]) -> None:
    seconds, longest = sized(0.1, 0.5), sized(0.4, 3.0)
    with (
        start_cluster(head_args=(f"--reserve-after={RESERVE_AFTER}",), node_args=(f"--cpus={CPUS}",)) as cluster,
        MaClient(cluster.url) as client,
    ):
        stream = client.create_workflow("stream")
        for number in range(sized(400, 400)):
            # One function, so that what it takes on the average says little of what it may take.
            stream.add_task(sleep, {"seconds": seconds if number % 10 else longest}, resources={"cpu": 1})
        endless, whole = stream.run(), many(client, 1, 0.0, cpu=CPUS)
        wait_until(lambda: len(started(cluster, endless)) >= CPUS, "a busy node")
        run = wait_sealed(cluster, whole.run())
        left = body(cluster, endless)
        assert not left["sealed"], "the stream was to outlast it"
        (start,) = started(cluster, run["run_id"])
        assert len([each for each in started(cluster, endless) if each < start]) > CPUS, "it did not wait"
        cancel(cluster, endless)
    figures |= {"reserve_after_s": RESERVE_AFTER, "longest_task_s": longest}
    promised("waited_s", start - run["submitted_at"], RESERVE_AFTER + longest + LOOK_SECONDS, figures)


def test_a_later_run_of_higher_priority_overtakes_a_backlog() -> None:
    with start_cluster(nodes=0) as cluster, MaClient(cluster.url) as client:
        backlog = many(client, 12, 0.01).run()
        urgent = many(client, 4, 0.01).run(priority=1)
        later = many(client, 4, 0.01).run(priority=-1)
        cluster.add_node("--cpus=1")
        for run_id in (backlog, urgent, later):
            wait_sealed(cluster, run_id)
        assert started(cluster, urgent)[-1] <= started(cluster, backlog)[0]
        assert started(cluster, backlog)[-1] <= started(cluster, later)[0]
