"""What a task says about its attempts: declared, sent, shown, and kept to."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.workflows import same
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
