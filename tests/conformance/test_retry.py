"""Runs that are stopped and waited for, and graphs that are run again, also from where they failed."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import maze
from conformance.workflows import finish, same, wait_for
from maze import AsyncMaClient, MaClient, MaWorkflow, task
from support.cluster import Cluster, start_cluster, wait_until


@task(inputs=["x", "counter"], outputs=["y"])
def counted(params: dict[str, Any]) -> dict[str, Any]:
    """Leave a mark at each execution."""
    with open(params["counter"], "a") as counter:
        counter.write("x")
    return {"y": (params["x"], "as a tuple")}


@task(inputs=["x", "fixed"], outputs=["y"])
def until_fixed(params: dict[str, Any]) -> dict[str, Any]:
    import pathlib

    if not pathlib.Path(params["fixed"]).exists():
        raise ValueError("not fixed yet")
    return {"y": params["x"]}


class Broken:
    """A workflow of which the middle task fails until a file is there: two tasks before it, one after."""

    def __init__(self, workflow: MaWorkflow, folder: Path) -> None:
        self.workflow, self.counter, self.fixed = workflow, folder / "counter", folder / "fixed"
        self.first = workflow.add_task(counted, inputs={"x": 1, "counter": str(self.counter)})
        self.alone = workflow.add_task(counted, inputs={"x": 2, "counter": str(self.counter)})
        self.middle = workflow.add_task(until_fixed, inputs={"x": self.first.outputs["y"], "fixed": str(self.fixed)})
        self.last = workflow.add_task(same, inputs={"x": [self.middle.outputs["y"], self.alone.outputs["y"]]})
        self.run_id, _ = finish(workflow)

    def executions(self) -> int:
        return len(self.counter.read_text())


@pytest.fixture
def broken(workflow: MaWorkflow, tmp_path: Path) -> Broken:
    return Broken(workflow, tmp_path)


def test_a_retry_from_the_failure_runs_only_what_has_no_result(broken: Broken) -> None:
    workflow = broken.workflow
    broken.fixed.touch()
    again, messages = finish(workflow, workflow.retry(broken.run_id, from_failed=True))
    assert again != broken.run_id
    assert broken.executions() == 2
    story = [(message["type"], message["data"].get("task_id")) for message in messages]
    assert sorted(story[:4]) == sorted(
        (kind, made.task_id) for made in (broken.first, broken.alone) for kind in ("start_task", "finish_task")
    )
    assert story[4:] == [
        ("start_task", broken.middle.task_id), ("finish_task", broken.middle.task_id),
        ("start_task", broken.last.task_id), ("finish_task", broken.last.task_id), ("finish_workflow", None),
    ]  # fmt: skip
    assert workflow.get_task_result(again, broken.first.task_id)["result"] == {"y": (1, "as a tuple")}
    assert workflow.get_task_result(again, broken.last.task_id)["result"] == {
        "y": [(1, "as a tuple"), (2, "as a tuple")]
    }


def test_reused_messages_have_the_documented_keys_and_order(broken: Broken) -> None:
    _, messages = finish(broken.workflow, broken.workflow.retry(broken.run_id, from_failed=True))
    started, ended = messages[:2]
    assert list(started["data"]) == ["workflow_id", "task_id", "node_ip"]
    assert list(ended["data"]) == ["workflow_id", "task_id", "result"]
    assert started["data"]["task_id"] == ended["data"]["task_id"]
    assert messages[-1] == {"type": "finish_workflow", "data": {}}


def test_what_is_reused_is_shown_as_such(broken: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    broken.fixed.touch()
    again = broken.workflow.retry(broken.run_id, from_failed=True)
    summary = broken.workflow.show_results(again)
    shown = capsys.readouterr().out
    assert f"♻ Result reused: {broken.first.task_id[:13]}\n  y: (1, 'as a tuple')\n" in shown
    assert f"✓ Task completed: {broken.middle.task_id[:13]}\n" in shown
    assert len(summary["task_results"]) == 4
    assert (summary["workflow_completed"], summary["has_exception"]) == (True, False)


def test_a_retry_without_more_runs_everything_again(broken: Broken, client: MaClient) -> None:
    again = client.retry_run(broken.run_id)
    assert client.get_run(again)["retry_of"] == broken.run_id
    _, messages = finish(broken.workflow, again)
    assert broken.executions() == 4
    assert [message["type"] for message in messages].count("task_exception") == 1


def test_a_retry_runs_the_graph_of_then(broken: Broken) -> None:
    workflow = broken.workflow
    broken.last.delete()
    workflow.add_task(same, inputs={"x": "new"})
    workflow.get_tasks()
    broken.fixed.touch()
    again, _ = finish(workflow, workflow.retry(broken.run_id, from_failed=True))
    assert workflow.get_task_result(again, broken.last.task_id)["status"] == "success"
    run_id, messages = finish(workflow)
    assert workflow.get_task_result(run_id, broken.last.task_id) is None
    assert len(messages) == 9


def test_a_retry_can_be_retried(broken: Broken) -> None:
    workflow = broken.workflow
    second, _ = finish(workflow, workflow.retry(broken.run_id, from_failed=True))
    broken.fixed.touch()
    third, _ = finish(workflow, workflow.retry(second, from_failed=True))
    assert broken.executions() == 2
    assert workflow.get_task_result(third, broken.alone.task_id)["result"] == {"y": (2, "as a tuple")}
    with pytest.raises(maze.RequestError, match=r"every task of .* has its result") as caught:
        workflow.retry(third, from_failed=True)
    assert (caught.value.code, caught.value.status) == ("nothing_to_retry", 409)


def test_reused_results_outlive_the_run_that_made_them(broken: Broken, client: MaClient, cluster: Cluster) -> None:
    workflow = broken.workflow
    again, messages = finish(workflow, workflow.retry(broken.run_id, from_failed=True))
    assert cluster.request("DELETE", f"/api/v1/runs/{broken.run_id}/record")[0] == 200
    workflow.clear_cache()
    assert finish(workflow, again)[1] == messages
    broken.fixed.touch()
    third, _ = finish(workflow, workflow.retry(again, from_failed=True))
    assert workflow.get_task_result(third, broken.first.task_id)["result"] == {"y": (1, "as a tuple")}
    with pytest.raises(ValueError, match=broken.run_id):
        client.retry_run(broken.run_id)


def test_the_same_request_again_is_the_same_run(broken: Broken, cluster: Cluster) -> None:
    path, body = f"/api/v1/runs/{broken.run_id}/retry", {"run_id": "run_" + "ab" * 16, "from_failed": True}
    first, second = (cluster.request("POST", path, body) for _ in range(2))
    assert first[0] == second[0] == 201
    assert first[1]["run_id"] == second[1]["run_id"] == body["run_id"]
    assert [event["type"] for event in cluster.events(body["run_id"])].count("run_submitted") == 1


def test_runs_that_cannot_be_retried_are_told(workflow: MaWorkflow, client: MaClient, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    workflow.add_task(wait_for, inputs={"started": str(started), "gate": str(gate)})
    run_id = workflow.run()
    with pytest.raises(maze.RequestError, match="is not over") as caught:
        workflow.retry(run_id)
    assert "wait for its end, or cancel it" in str(caught.value)
    for unknown in ("run_" + "0" * 32, "nonsense"):
        with pytest.raises(ValueError, match=unknown):
            client.retry_run(unknown)
        with pytest.raises(ValueError, match=unknown):
            workflow.retry(unknown)
    gate.touch()
    finish(workflow, run_id)


def test_reused_results_survive_the_head(tmp_path: Path) -> None:
    with start_cluster() as own, MaClient(own.url) as client:
        broken = Broken(client.create_workflow(), tmp_path)
        broken.workflow.add_task(same, inputs={"x": 1})
        broken.workflow.get_tasks()
        again, messages = finish(broken.workflow, broken.workflow.retry(broken.run_id, from_failed=True))
        own.restart_head()
        wait_until(lambda: own.ready_nodes() == 1, "the node is back")
        broken.workflow.clear_cache()
        assert finish(broken.workflow, again)[1] == messages
        broken.fixed.touch()
        third, _ = finish(broken.workflow, broken.workflow.retry(again, from_failed=True))
        assert broken.workflow.get_task_result(third, broken.last.task_id)["status"] == "success"
        assert broken.executions() == 2


def test_the_async_client_retries_and_cancels(url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncMaClient(url) as client:
            workflow = await client.create_workflow()
            started, gate = tmp_path / "started", tmp_path / "gate"
            workflow.add_task(wait_for, inputs={"started": str(started), "gate": str(gate)})
            run_id = await workflow.run()
            await asyncio.to_thread(wait_until, started.exists, "the task runs")
            assert (await workflow.cancel(run_id, wait=True))["status"] == "cancelled"
            gate.touch()
            for again in (await workflow.retry(run_id), await client.retry_run(run_id, from_failed=True)):
                messages = await workflow.get_results(again, verbose=False)
                assert messages[-1]["type"] == "finish_workflow"
            assert (await client.cancel_run(run_id, wait=True))["status"] == "cancelled"

    asyncio.run(work())


# Cancel


@task(inputs=["started", "gate"], outputs=["y"])
def stubborn(params: dict[str, Any]) -> dict[str, Any]:
    """Do not end when told to until there is a file."""
    import pathlib
    import signal
    import time

    def leave(number: int, frame: object) -> None:
        while not pathlib.Path(params["gate"]).exists():
            time.sleep(0.01)
        raise SystemExit

    signal.signal(signal.SIGTERM, leave)
    pathlib.Path(params["started"]).touch()
    while True:
        time.sleep(0.01)


def test_cancel_waits_until_nothing_runs(workflow: MaWorkflow, client: MaClient, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    workflow.add_task(stubborn, inputs={"started": str(started), "gate": str(gate)})
    run_id = workflow.run()
    wait_until(started.exists, "the task runs")
    told = workflow.cancel(run_id)
    assert (told["status"], told["sealed"]) == ("cancelling", False)
    opening = threading.Timer(0.2, gate.touch)
    opening.start()
    ended = client.cancel_run(run_id, wait=True)
    opening.join()
    assert (ended["status"], ended["sealed"], ended["running"]) == ("cancelled", True, 0)
    (message,) = [each for each in finish(workflow, run_id)[1] if each["type"] == "task_exception"]
    assert message["data"]["result"].startswith("Cancelled: ")


def test_a_wait_for_the_end_survives_the_head(tmp_path: Path) -> None:
    """The head is away while its node stops the task; the wait ends when the new head knows."""
    with start_cluster() as own, MaClient(own.url) as client:
        workflow = client.create_workflow()
        started, gate = tmp_path / "started", tmp_path / "gate"
        workflow.add_task(stubborn, inputs={"started": str(started), "gate": str(gate)})
        run_id = workflow.run()
        wait_until(started.exists, "the task runs")
        ended: list[dict[str, Any]] = []
        waiting = threading.Thread(target=lambda: ended.append(workflow.cancel(run_id, wait=True)))
        waiting.start()
        wait_until(lambda: client.get_run(run_id)["status"] == "cancelling", "the cancel is known")
        own.head.kill()
        gate.touch()
        own.start_head()
        waiting.join(60)
        assert [body["status"] for body in ended] == ["cancelled"]


def test_a_cancel_of_a_run_that_is_over_changes_nothing(workflow: MaWorkflow) -> None:
    workflow.add_task(same, inputs={"x": 1})
    run_id, _ = finish(workflow)
    assert workflow.cancel(run_id, wait=True)["status"] == "finished"
