"""Real nodes outlive their head: what runs goes on, what finished meanwhile is delivered, nothing runs twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from maze import MaClient, task
from support.cluster import Cluster, start_cluster, wait_until


@task(inputs=["file", "gate"], outputs=["pid"])
def wait_at(params: dict[str, Any]) -> dict[str, Any]:
    import os
    import time

    with open(params["file"], "a") as file:
        file.write(f"{os.getpid()}\n")
    while params["gate"] and not os.path.exists(params["gate"]):
        time.sleep(0.01)
    return {"pid": os.getpid()}


def begun(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def submit(cluster: Cluster, folder: Path) -> tuple[Any, str, dict[str, str]]:
    """Run a task that waits for a gate, one behind it, and one that ends by itself while the head is away."""
    workflow = MaClient(cluster.url).create_workflow()
    gate = str(folder / "go")
    tasks = {
        "held": workflow.add_task(wait_at, inputs={"file": str(folder / "held"), "gate": gate}),
        "done": workflow.add_task(wait_at, inputs={"file": str(folder / "done"), "gate": str(folder / "away")}),
    }
    after = {"file": str(folder / "after"), "gate": ""}
    tasks["after"] = workflow.add_task(wait_at, inputs=after)
    workflow.add_edge(tasks["held"], tasks["after"])
    return workflow, workflow.run(), {name: each.task_id for name, each in tasks.items()}


def test_running_tasks_outlive_a_killed_head(tmp_path: Path) -> None:
    with start_cluster(nodes=1) as cluster:
        workflow, run_id, ids = submit(cluster, tmp_path)
        both = (ids["held"], ids["done"])
        wait_until(lambda: all(cluster.tasks(run_id)[each]["status"] == "running" for each in both), "both to run")
        cluster.head.process.send_signal(signal.SIGKILL)
        cluster.head.process.wait()
        (tmp_path / "away").touch()  # one ends while nobody is there to be told
        cluster.restart_head()
        wait_until(lambda: cluster.tasks(run_id)[ids["done"]]["status"] == "finished", "the result to be delivered")
        assert cluster.tasks(run_id)[ids["held"]]["status"] == "running"
        (tmp_path / "go").touch()
        messages = workflow.get_results(run_id, verbose=False)
        assert [message["type"] for message in messages].count("finish_task") == 3
        assert [len(begun(tmp_path / name)) for name in ids] == [1, 1, 1]
        assert {event["data"].get("attempt", 1) for event in cluster.events(run_id)} == {1}
