"""Large values whose node dies: what is still needed of them is made anew, and the log says what and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaos.stage import open_stage
from maze import task
from support.cluster import wait_until

SIZE = 8_000_000


@task(inputs=[], outputs=["data"])
def make(params: dict[str, Any]) -> dict[str, Any]:
    """Return many bytes."""
    return {"data": b"d" * 8_000_000}


@task(inputs=["gate"], outputs=["open"])
def hold(params: dict[str, Any]) -> dict[str, Any]:
    """Wait until there is a file."""
    import time

    while not Path(params["gate"]).exists():
        time.sleep(0.01)
    return {"open": True}


@task(inputs=["data", "open"], outputs=["seen"])
def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return what came, in few words."""
    return {"seen": [len(params["data"]), bytes(params["data"][:1]).decode()]}


def test_a_value_that_dies_with_its_node_is_made_anew_and_the_log_says_so(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with open_stage(2, node_args=("--cpus=2",)) as stage:
        workflow = stage.client.create_workflow("loss")
        made = workflow.add_task(make)
        held = workflow.add_task(hold, inputs={"gate": str(gate)})
        seen = workflow.add_task(look, inputs={"data": made.outputs["data"], "open": held.outputs["open"]})
        workflow.get_tasks()
        run_id = stage.submit(workflow)
        wait_until(lambda: (stage.read(run_id) or {}).get("object_bytes", 0) > SIZE, "the value")
        name = stage.cluster.tasks(run_id)[made.task_id]["node"]
        next(node for node in stage.cluster.nodes if node.ready["node_id"] == name).kill()
        wait_until(lambda: any(event["type"] == "object_rebuilt" for event in stage.log(run_id)), "it to be made anew")
        gate.touch()
        events = stage.cluster.events(run_id)
        (lost,) = [event["data"] for event in events if event["type"] == "object_lost"]
        assert (lost["task_id"], lost["node_id"], lost["needed_by"]) == (made.task_id, name, seen.task_id)
        kinds = [event["type"] for event in events if event["data"].get("task_id") == made.task_id]
        told = [kind for kind in kinds if kind != "task_leased"]
        assert told == ["start_task", "finish_task", "object_lost", "rebuild_started", "object_rebuilt"]
        results = {
            event["data"]["task_id"]: event["data"]["result"] for event in events if event["type"] == "finish_task"
        }
        assert results[seen.task_id]["seen"][0] == SIZE
        assert events[-1]["type"] == "finish_workflow"
