"""What the README promises about a head that dies or stops: submissions, results and the stream survive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.seed_client import CLOSE, frames
from conformance.workflows import finish, one, same, wait_for
from maze import MaClient
from support.cluster import Cluster, start_cluster, wait_until


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A cluster of the test's own, to be broken."""
    with start_cluster(nodes=1) as cluster:
        yield cluster


def test_a_killed_head_loses_nothing_that_it_acknowledged(own: Cluster, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    with MaClient(own.url) as client:
        ended = client.create_workflow()
        first = ended.add_task(same, inputs={"x": (1, {2})})
        old_run, old_messages = finish(ended)

        workflow = client.create_workflow()
        held = workflow.add_task(wait_for, inputs={"started": str(started), "gate": str(gate)})
        last = workflow.add_task(same, inputs={"x": held.outputs["y"]})
        run_id = workflow.run()
        stories: list[list[dict[str, Any]]] = []
        reader = threading.Thread(target=lambda: stories.append(finish(workflow, run_id)[1]))
        reader.start()
        wait_until(started.exists, "the task to run")

        address, epoch = own.url, own.get("/api/v1/info")["epoch"]
        own.restart_head()
        wait_until(lambda: own.ready_nodes() == 1, "the node to come back", 30)
        assert own.url == address
        assert own.get("/api/v1/info")["epoch"] > epoch

        gate.touch()
        reader.join(40)
        assert not reader.is_alive()
        assert workflow.get_task_result(run_id, last.task_id)["result"] == {"y": "through"}
        finished = [each["data"]["task_id"] for each in stories[0] if each["type"] == "finish_task"]
        assert finished == [held.task_id, last.task_id], "one accepted result per task"
        assert stories[0][-1]["type"] == "finish_workflow"

        ended.clear_cache()
        assert finish(ended, old_run)[1] == old_messages
        assert ended.get_task_result(old_run, first.task_id)["result"] == {"y": (1, {2})}
        assert [each["id"] for each in ended.get_tasks()] == [first.task_id]
        numbers = [event["seq"] for event in own.events(run_id)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_head_that_stops_tells_its_readers() -> None:
    """1001 is what makes our SDK reconnect, and the original's client say that something went wrong."""
    with start_cluster(nodes=0, head_args=["--open-seed-routes"]) as lonely, MaClient(lonely.url) as client:
        workflow = client.create_workflow()
        workflow.add_task(one)
        run_id = workflow.run()
        last: list[tuple[int, bytes]] = []
        path = f"/get_workflow_res/{workflow.workflow_id}/{run_id}"
        reader = threading.Thread(target=lambda: last.extend(frames(lonely.url, path)))
        reader.start()
        wait_until(lambda: lonely.get("/api/v1/metrics")["counters"]["http_streams_open"], "the reader")
        assert lonely.head.stop() == 0
        reader.join(10)
        opcode, payload = last[-1]
        assert (opcode, payload[:2]) == (CLOSE, (1001).to_bytes(2, "big"))
