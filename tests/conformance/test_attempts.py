"""What a task says about its attempts: declared, sent, shown, and kept to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conformance.workflows import finish, same
from maze import MaClient, MaWorkflow, task
from support.cluster import Cluster

NONE = {
    "retries": 0, "retry_backoff": 0.5, "retry_on": [], "timeout": 0.0, "idle_timeout": 0.0, "at_most_once": False,
}  # fmt: skip
POLICY = NONE | {
    "retries": 3, "retry_backoff": 0.25, "retry_on": ["builtins.OSError", "Timeout"], "timeout": 60.0,
    "idle_timeout": 5.0,
}  # fmt: skip


@task(
    inputs=["x"],
    outputs=["y"],
    retries=3,
    retry_backoff=0.25,
    retry_on=[OSError, "Timeout"],
    timeout=60,
    idle_timeout=5,
)
def sturdy(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"]}


def shown(cluster: Cluster, workflow: MaWorkflow, task_id: str) -> dict[str, Any]:
    status, body = cluster.request("GET", f"/api/v1/workflows/{workflow.workflow_id}/tasks/{task_id}")
    assert status == 200
    return NONE | {field: value for field, value in body.items() if field in NONE}


def test_the_head_shows_what_was_declared(workflow: MaWorkflow, cluster: Cluster) -> None:
    declared = workflow.add_task(sturdy, inputs={"x": 1})
    replaced = workflow.add_task(sturdy, inputs={"x": 1}, retries=0, retry_on=None, timeout=None, at_most_once=True)
    plain = workflow.add_task(same, inputs={"x": 1})
    workflow.get_tasks()
    assert shown(cluster, workflow, declared.task_id) == POLICY
    changed = {"retries": 0, "retry_on": [], "timeout": 0.0, "at_most_once": True}
    assert shown(cluster, workflow, replaced.task_id) == POLICY | changed
    assert shown(cluster, workflow, plain.task_id) == NONE


def test_somebody_elses_edit_loses_nothing(client: MaClient, workflow: MaWorkflow, cluster: Cluster) -> None:
    """An edit that is applied on top of what another process did is sent again as it was."""
    first = workflow.add_task(sturdy, inputs={"x": 1})
    workflow.get_tasks()
    path = f"/api/v1/workflows/{workflow.workflow_id}/tasks/{first.task_id}"
    assert cluster.request("DELETE", path)[0] == 200
    second = workflow.add_task(sturdy, inputs={"x": 2}, timeout=9)
    assert [listed["id"] for listed in workflow.get_tasks()] == [second.task_id]
    assert shown(cluster, workflow, second.task_id) == POLICY | {"timeout": 9.0}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"retries": -1}, "retries"),
        ({"retries": True}, "retries"),
        ({"retry_backoff": -1}, "retry_backoff"),
        ({"retry_on": ["no name"]}, "retry_on"),
        ({"retry_on": "OSError"}, "retry_on"),
        ({"timeout": -1}, "timeout"),
        ({"idle_timeout": None}, "idle_timeout"),
        ({"at_most_once": True, "retries": 1}, "at_most_once"),
    ],
)
def test_the_head_refuses_what_the_decorator_would(
    workflow: MaWorkflow, cluster: Cluster, given: dict[str, Any], field: str
) -> None:
    new = {"task": {"task_id": "task_" + "0" * 32, "name": "t", **given}}
    status, body = cluster.request("POST", f"/api/v1/workflows/{workflow.workflow_id}/tasks", new)
    assert (status, body["error"]["field"]) == (422, f"$.task.{field}")


# Kept to


class Unsteady(OSError):
    """An error of this script's own."""


@task(inputs=["log", "failures", "how"], outputs=["y"])
def flaky(params: dict[str, Any]) -> dict[str, Any]:
    """Fail so many times, and count the executions in a file."""
    import os
    import signal
    import time

    with open(params["log"], "a") as log:
        log.write("x")
    if os.path.getsize(params["log"]) > params["failures"]:
        return {"y": "at last"}
    how = params["how"]
    if how == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "chatter":
        print("still here", flush=True)
        time.sleep(0.05)
    if how == "hang":
        time.sleep(600)
    raise Unsteady("not yet")


class Attempts:
    """A run of one flaky task."""

    def __init__(self, workflow: MaWorkflow, log: Path, failures: int, how: str = "raise", **options: Any) -> None:
        self.workflow, self.log = workflow, log
        inputs = {"log": str(log), "failures": failures, "how": how}
        self.task_id = workflow.add_task(flaky, inputs=inputs, **{"retry_backoff": 0, **options}).task_id
        self.run_id, self.messages = finish(workflow)

    @property
    def executions(self) -> int:
        return len(self.log.read_text())

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]

    @property
    def error(self) -> str:
        found = self.workflow.get_task_result(self.run_id, self.task_id)
        assert found is not None
        return str(found["error"]).rstrip().splitlines()[-1]


ENDED_WELL = ["start_task", "finish_task", "finish_workflow"]
ENDED_BADLY = ["start_task", "task_exception", "finish_workflow"]


def test_a_task_is_tried_again_and_its_messages_come_once(
    workflow: MaWorkflow, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = Attempts(workflow, tmp_path / "log", 2, retries=3, retry_backoff=0.2)
    assert (tried.executions, tried.kinds) == (3, ENDED_WELL)
    events = cluster.events(tried.run_id)
    lost = [event for event in events if event["type"] == "attempt_lost"]
    assert [(event["data"]["attempt"], event["data"]["error_type"], event["data"]["retries"]) for event in lost] == [
        (1, "Unsteady", 3), (2, "Unsteady", 3),
    ]  # fmt: skip
    starts = [event["time"] for event in events if event["type"] == "start_task"]
    for event, limit, start in zip(lost, (0.2, 0.4), starts[1:], strict=True):
        pause = event["data"]["not_before"] - event["time"]
        assert 0 <= pause <= limit or event["data"]["not_before"] == 0
        assert start >= event["data"]["not_before"]
    workflow.show_results(tried.run_id)
    shown = [line for line in capsys.readouterr().out.splitlines() if "retrying" in line]
    assert len(shown) == 2
    assert shown[0].startswith(f"🔁 Task retrying: {tried.task_id[:13]} ")
    assert shown[0].endswith("after Unsteady: not yet (attempt 2 of 4)")
    assert shown[1].endswith("after Unsteady: not yet (attempt 3 of 4)")


def test_lost_attempts_can_be_looked_at(workflow: MaWorkflow, cluster: Cluster, tmp_path: Path) -> None:
    tried = Attempts(workflow, tmp_path / "log", 1, retries=1)
    told = cluster.tasks(tried.run_id)[tried.task_id]
    assert (told["status"], told["attempt"], told["retry_at"]) == ("finished", 2, None)
    (lost,) = told["lost"]
    assert (lost["attempt"], lost["kind"], lost["error"]) == (1, "user", "Unsteady: not yet")
    assert lost["node"] in {node["node_id"] for node in cluster.get("/api/v1/nodes")["nodes"]}


def test_when_all_tries_are_spent_the_task_has_failed(workflow: MaWorkflow, tmp_path: Path) -> None:
    tried = Attempts(workflow, tmp_path / "log", 99, retries=2)
    assert (tried.executions, tried.kinds) == (3, ENDED_BADLY)
    assert tried.error.endswith("Unsteady: not yet")


def test_without_retries_an_error_is_final(workflow: MaWorkflow, tmp_path: Path) -> None:
    tried = Attempts(workflow, tmp_path / "log", 1)
    assert (tried.executions, tried.kinds) == (1, ENDED_BADLY)


@pytest.mark.parametrize(
    ("retry_on", "executions"),
    [
        (Unsteady, 2),
        (OSError, 2),
        ([KeyError, "Unsteady"], 2),
        ("conformance.test_attempts.Unsteady", 2),
        ("OSError", 2),
        (Exception, 2),
        (KeyError, 1),
        ("steady", 1),
    ],
)
def test_only_the_named_errors_are_tried_again(
    workflow: MaWorkflow, tmp_path: Path, retry_on: Any, executions: int
) -> None:
    tried = Attempts(workflow, tmp_path / "log", 1, retries=1, retry_on=retry_on)
    assert tried.executions == executions
    assert tried.kinds == (ENDED_WELL if executions == 2 else ENDED_BADLY)


@pytest.mark.parametrize("options", [{"timeout": 0.5}, {"idle_timeout": 0.5}])
def test_an_attempt_that_takes_too_long_is_ended(
    workflow: MaWorkflow, tmp_path: Path, options: dict[str, float]
) -> None:
    tried = Attempts(workflow, tmp_path / "log", 1, "hang", **options)
    assert (tried.executions, tried.kinds) == (1, ENDED_BADLY)
    assert tried.error.startswith("TaskTimeout: ")


def test_attempts_that_take_too_long_may_be_tried_again(client: MaClient, tmp_path: Path) -> None:
    """All of them at the same time: they wait."""

    def attempts(number: int, retry_on: Any) -> Attempts:
        workflow, log = client.create_workflow(), tmp_path / f"log{number}"
        return Attempts(workflow, log, 1, "hang", timeout=2, retries=1, retry_on=retry_on)

    with ThreadPoolExecutor() as pool:
        tries = list(pool.map(attempts, range(3), [TimeoutError, "TaskTimeout", None]))
    assert [(tried.executions, tried.kinds) for tried in tries] == [(2, ENDED_WELL)] * 3


def test_who_prints_is_not_idle(workflow: MaWorkflow, tmp_path: Path) -> None:
    tried = Attempts(workflow, tmp_path / "log", 1, "chatter", idle_timeout=20, timeout=2)
    assert tried.error.startswith("TaskTimeout: ")
    assert "2" in tried.error


def test_a_crash_is_tried_again_without_retries_but_not_at_most_once(workflow: MaWorkflow, tmp_path: Path) -> None:
    assert Attempts(workflow, tmp_path / "log", 1, "crash").executions == 2


def test_at_most_once_is_never_tried_again(workflow: MaWorkflow, tmp_path: Path) -> None:
    tried = Attempts(workflow, tmp_path / "log", 1, "crash", at_most_once=True)
    assert (tried.executions, tried.kinds) == (1, ENDED_BADLY)
    assert tried.error.startswith("WorkerCrashed: SIGKILL")
