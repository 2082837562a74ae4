"""Large values between real nodes and to the head: directly, through the head, and onto its disk, full or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient, task
from support.cluster import Cluster, start_cluster, wait_until
from support.small_disk import small_disk

SIZE = 24_000_000


@task(inputs=["seed"], outputs=["data"])
def make(params: dict[str, Any]) -> dict[str, Any]:
    """Return many bytes."""
    return {"data": bytes([params["seed"]]) * 24_000_000}


@task(inputs=["data"], outputs=["seen"])
def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return what came, in few words."""
    data = bytes(params["data"])
    return {"seen": [len(data), data[0], data[-1], data.count(data[0])]}


@task(inputs=["seed", "diary"], outputs=["data"])
def make_and_tell(params: dict[str, Any]) -> dict[str, Any]:
    """Return many bytes, and write down that it was done once more."""
    with Path(params["diary"]).open("a") as diary:
        diary.write("made\n")
    return {"data": bytes([params["seed"]]) * 24_000_000}


@task(inputs=["data", "permit"], outputs=["seen"])
def look_if_allowed(params: dict[str, Any]) -> dict[str, Any]:
    """Fail until there is a permit, then tell the size."""
    assert Path(params["permit"]).exists()
    return {"seen": len(params["data"])}


@pytest.fixture(scope="module")
def pair() -> Iterator[Cluster]:
    """A node at `a` that serves peers, one at `c` that does not, and one at `b` that asks them."""
    with start_cluster(0) as running:
        running.add_node("--cpus=2", "--label=where=a")
        running.add_node("--cpus=2", "--label=where=b")
        running.add_node("--cpus=2", "--label=where=c", "--no-peer-port")
        yield running


def _run(cluster: Cluster, seed: int, where: str) -> None:
    """Make a value at one node and look at it at `b`."""
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        made = workflow.add_task(make, inputs={"seed": seed}, require={"where": where})
        seen = workflow.add_task(look, inputs={"data": made.outputs["data"]}, require={"where": "b"})
        run_id = str(workflow.run())
        (end,) = [
            event["data"]
            for event in cluster.events(run_id)
            if event["type"] == "finish_task" and event["data"]["task_id"] == seen.task_id
        ]
        assert end["result"]["seen"] == [SIZE, seed, seed, SIZE]


def _kept(cluster: Cluster) -> list[Path]:
    return sorted((cluster.folder / "state" / "blobs").glob("*/*-*"))


def test_a_value_goes_from_node_to_node_and_not_through_the_head(pair: Cluster) -> None:
    before = _kept(pair)
    _run(pair, 1, "a")
    assert _kept(pair) == before


def test_what_a_node_without_a_port_has_comes_through_the_head(pair: Cluster) -> None:
    before = _kept(pair)
    _run(pair, 2, "c")
    (relayed,) = set(_kept(pair)) - set(before)
    assert bytes([2]) * SIZE in relayed.read_bytes()


def test_what_a_run_leaves_behind_is_on_the_head_s_disk_before_it_is_over_and_goes_with_it(pair: Cluster) -> None:
    before = _kept(pair)
    with MaClient(pair.url) as client:
        workflow = client.create_workflow()
        workflow.add_task(make, inputs={"seed": 3}, require={"where": "a"})
        run_id = str(workflow.run())
        kinds = [event["type"] for event in pair.events(run_id)]
        assert kinds[-2:] == ["output_kept", "finish_workflow"]
        (kept,) = set(_kept(pair)) - set(before)
        assert bytes([3]) * SIZE in kept.read_bytes()
    assert pair.request("DELETE", f"/api/v1/runs/{run_id}/record")[0] == 200
    wait_until(lambda: not kept.parent.exists(), "the end of what was kept")


def test_a_retry_goes_on_with_the_large_values_that_are_there(pair: Cluster, tmp_path: Path) -> None:
    """One is on a node, the other one on the head's disk only: neither is made anew."""
    before = _kept(pair)
    diary, permit = tmp_path / "diary", tmp_path / "permit"
    with MaClient(pair.url) as client:
        workflow = client.create_workflow()
        for keep in (False, True):
            told = {"seed": 5, "diary": str(diary)}
            made = workflow.add_task(make_and_tell, inputs=told, require={"where": "a"}, keep=keep)
            allowed = {"data": made.outputs["data"], "permit": str(permit)}
            workflow.add_task(look_if_allowed, inputs=allowed, require={"where": "b"})
        run_id = str(workflow.run())
        assert pair.events(run_id)[-1]["type"] == "finish_workflow"
    permit.touch()
    status, again = pair.request("POST", f"/api/v1/runs/{run_id}/retry", {"from_failed": True})
    assert status == 201
    events = pair.events(again["run_id"])
    assert not [event for event in events if event["type"] == "object_lost"]
    assert sorted(event["data"]["result"]["seen"] for event in events if event["type"] == "finish_task") == [SIZE, SIZE]
    assert diary.read_text() == "made\n" * 2
    assert pair.request("DELETE", f"/api/v1/runs/{run_id}/record")[0] == 200
    wait_until(lambda: len(set(_kept(pair)) - set(before)) == 1, "the end of what was kept for the earlier run")
    (linked,) = set(_kept(pair)) - set(before)
    assert bytes([5]) * SIZE in linked.read_bytes()


def test_a_head_whose_disk_is_full_lets_runs_wait_and_goes_on(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 60) as disk,
        start_cluster(1, head_args=(f"--state-dir={disk.path / 'state'}", "--ballast=4")) as cluster,
        MaClient(cluster.url) as client,
    ):
        (disk.path / "of others").write_bytes(bytes(32 << 20))
        workflow = client.create_workflow()
        workflow.add_task(make, inputs={"seed": 4})
        run_id = str(workflow.run())
        wait_until(lambda: "runs wait until their outputs can be kept" in cluster.head.tail(), "the head's words")
        assert not cluster.get(f"/api/v1/runs/{run_id}/events")["sealed"]
        (disk.path / "of others").unlink()
        assert cluster.events(run_id)[-1]["type"] == "finish_workflow"
