"""A head whose disk is full: it says so, loses nothing, and goes on by itself when there is room again."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient, task
from support.cluster import Cluster, start_cluster, wait_until
from support.small_disk import SmallDisk, small_disk

DISK_MIB = 12
RESUME_SECONDS = 5.0
NOISE = 2.0
"""For a machine that is busy with other tests."""


@task(inputs=["gate"], outputs=["y"])
def wait_for_gate(params):
    """Run until a file appears."""
    import os
    import time

    while not os.path.exists(params["gate"]):
        time.sleep(0.01)
    return {"y": 7}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", DISK_MIB) as mounted:
        yield mounted


@pytest.fixture
def cluster(disk: SmallDisk) -> Iterator[Cluster]:
    with start_cluster(head_args=(f"--state-dir={disk.path / 'state'}", "--ballast=1")) as running:
        yield running


def fill_until_refused(cluster: Cluster, disk: SmallDisk) -> tuple[list[str], Any]:
    """Fill the disk, then make workflows until one is refused; return those that were acknowledged, and the refusal."""
    disk.fill()
    acknowledged: list[str] = []
    for number in itertools.count():
        workflow_id = f"workflow_{number:032x}"
        status, body = cluster.request("POST", "/api/v1/workflows", {"workflow_id": workflow_id, "name": "x" * 200})
        if status == 507:
            return acknowledged, body["error"]
        assert status == 201, body
        acknowledged.append(workflow_id)
        disk.fill()
    raise AssertionError


def counters(cluster: Cluster) -> dict[str, float]:
    found: dict[str, float] = cluster.get("/api/v1/metrics")["counters"]
    return found


def test_a_full_disk_is_told_and_survived(cluster: Cluster, disk: SmallDisk, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        first = workflow.add_task(wait_for_gate, inputs={"gate": str(gate)})
        run_id = workflow.run()
        wait_until(lambda: counters(cluster)["leases_current"] == 1, "the task to be leased")
        task_id = first.task_id
        wait_until(lambda: cluster.tasks(run_id)[task_id]["status"] == "running", "the task to run")

        acknowledged, refusal = fill_until_refused(cluster, disk)

        assert refusal["code"] == "disk_full"
        assert "free space" in refusal["hint"]
        assert cluster.request("GET", "/api/v1/readyz")[0] == 503
        assert cluster.get("/api/v1/info")["read_only"] is True
        facts = counters(cluster)
        assert (facts["disk_read_only"], facts["disk_full_total"], facts["journal_failing"]) == (1, 1, 0)

        gate.touch()
        heard = facts["driver_events_total"]
        wait_until(lambda: counters(cluster)["driver_events_total"] > heard + 20, "heartbeats and a result")
        assert cluster.get(f"/api/v1/runs/{run_id}")["status"] == "running"
        assert cluster.request("POST", "/api/v1/runs", {"workflow_id": workflow.workflow_id})[0] == 507
        assert cluster.request("DELETE", f"/api/v1/runs/{run_id}")[0] == 507
        assert cluster.get("/api/v1/nodes")["nodes"][0]["state"] == "ready"

        disk.empty()
        began = time.monotonic()
        wait_until(lambda: cluster.request("GET", "/api/v1/readyz")[0] == 200, "the head to go on")
        assert time.monotonic() - began < RESUME_SECONDS * NOISE
        assert workflow.get_results(run_id, verbose=False) is not None
        found = workflow.get_task_result(run_id, task_id)
        assert found is not None
        assert found["result"] == {"y": 7}
    assert cluster.request("POST", "/api/v1/workflows", {"name": "again"})[0] == 201
    listed = {one["workflow_id"] for one in cluster.get("/api/v1/workflows")["workflows"]}
    assert listed >= set(acknowledged), json.dumps(refusal)
    assert counters(cluster)["results_stale"] == 0
    assert cluster.head.stop() == 0
    with sqlite3.connect(disk.path / "state" / "journal.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_disk_without_any_room_refuses_the_start_and_loses_nothing(cluster: Cluster, disk: SmallDisk) -> None:
    acknowledged, _ = fill_until_refused(cluster, disk)
    disk.fill()
    with pytest.raises(AssertionError, match=r"exit code 75[^$]*disk of .*journal.db is full; free space"):
        cluster.restart_head()
    disk.empty()
    cluster.restart_head()
    listed = {one["workflow_id"] for one in cluster.get("/api/v1/workflows")["workflows"]}
    assert listed >= set(acknowledged)
