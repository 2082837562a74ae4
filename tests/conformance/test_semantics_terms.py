"""Where tasks run and what they share: docs/semantics.md, 'What a task says of its place'."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.workflows import finish, one, same, value_of
from maze import MaTask, MaWorkflow, task
from support.cluster import Cluster


@task(inputs=[], outputs=["gang"])
def gang(params: dict[str, Any]) -> dict[str, Any]:
    import os

    return {"gang": {name: value for name, value in os.environ.items() if name.startswith("MAZE_GANG_")}}


@task(inputs=["place", "me", "other"], outputs=["y"])
def meet(params: dict[str, Any]) -> dict[str, Any]:
    """Come, and go on when the other one has come."""
    import time
    from pathlib import Path

    (Path(params["place"]) / params["me"]).touch()
    while not (Path(params["place"]) / params["other"]).exists():
        time.sleep(0.01)
    return {"y": 1}


def nodes_of(cluster: Cluster, workflow: MaWorkflow, *made: MaTask) -> list[str]:
    """Run a workflow; return where its tasks ran."""
    run_id, _ = finish(workflow)
    tasks = cluster.tasks(run_id)
    return [tasks[each.task_id]["node"] for each in made]


@pytest.mark.parametrize("wanted", [{"zone": "b"}, "zone=b", ["zone=b", "zone"]])
def test_a_task_runs_where_the_labels_are_that_it_requires(cluster: Cluster, workflow: MaWorkflow, wanted: Any) -> None:
    made = [workflow.add_task(one, require=wanted) for _ in range(3)]
    assert nodes_of(cluster, workflow, *made) == ["gpu"] * 3


def test_a_preference_that_nobody_fulfils_is_no_obstacle(workflow: MaWorkflow) -> None:
    assert value_of(workflow, workflow.add_task(one, prefer={"zone": "c"})) == {"y": 1}


def test_a_task_runs_where_another_one_ran(cluster: Cluster, workflow: MaWorkflow) -> None:
    first = workflow.add_task(one, require={"zone": "b"})
    second = workflow.add_task(same, inputs={"x": 1}, same_node_as=first)
    third = workflow.add_task(same, inputs={"x": 1}, same_node_as=second)
    assert nodes_of(cluster, workflow, first, second, third) == ["gpu"] * 3
    assert [first.task_id, second.task_id] in workflow.get_graph_info()["edges"]


def test_tasks_that_keep_apart_run_on_different_nodes(cluster: Cluster, workflow: MaWorkflow, tmp_path: Any) -> None:
    inputs = [{"place": str(tmp_path), "me": me, "other": other} for me, other in (("a", "b"), ("b", "a"))]
    made = [workflow.add_task(meet, inputs=each, apart="replica") for each in inputs]
    assert sorted(nodes_of(cluster, workflow, *made)) == ["gpu", "plain"]


def test_a_task_of_several_nodes_finds_them_in_its_environment(workflow: MaWorkflow) -> None:
    both, alone = workflow.add_task(gang, nodes=2), workflow.add_task(gang)
    run_id, _ = finish(workflow)
    found = {each: workflow.get_task_result(run_id, each.task_id)["result"]["gang"] for each in (both, alone)}
    assert found[alone] == {}
    assert found[both] == {
        "MAZE_GANG_SIZE": "2", "MAZE_GANG_NODES": "127.0.0.1,127.0.0.1", "MAZE_GANG_RANK": "0",
    }  # fmt: skip


def test_limits_that_nobody_has_set_hold_nobody_back(workflow: MaWorkflow) -> None:
    made = [workflow.add_task(same, inputs={"x": n}, limits={f"limit-{n}": 1000, "shared": 2}) for n in range(3)]
    run_id, _ = finish(workflow, workflow.run(priority=-100, project="vision"))
    assert [workflow.get_task_result(run_id, each.task_id)["status"] for each in made] == ["success"] * 3
