"""What the README promises about a head that dies: submissions, results and the stream survive; nothing runs on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.daemons import EPHEMERAL, Cluster, running_cluster, start_daemon, wait_until
from conformance.workflows import finish, same, wait_for
from maze import MaClient


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of the test's own, to be broken."""
    with running_cluster(tmp_path) as cluster:
        cluster.add_node("only", "--cpus", "2")
        yield cluster


def restart(cluster: Cluster) -> None:
    """Start the head again on its state directory; it takes its old ports."""
    options = ("--state-dir", str(cluster.folder / "state"), "--connection-file", str(cluster.connection_file))
    cluster.head = start_daemon("maze_head", *EPHEMERAL, *options, folder=cluster.folder, name="head")
    wait_until(lambda: cluster.get("/api/v1/info")["nodes_ready"] == 1, "the node to come back", 30)


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
        own.head.kill()
        restart(own)
        assert own.url == address, "a head on the same state directory serves where it served"
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
