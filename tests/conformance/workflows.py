"""Small tasks and short ways to run them, for the tests of semantics.

This module stands beside the tests, where no worker could import it: its functions travel by value.
"""

from __future__ import annotations

from typing import Any

from maze import MaTask, MaWorkflow, task


@task(inputs=["x"], outputs=["y"])
def same(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"]}


@task(inputs=[], outputs=["y"])
def one(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1}


@task(inputs=["a", "b"], outputs=["y"])
def both(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": [params["a"], params["b"]]}


@task(inputs=["x"], outputs=["y"])
def divide(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1 / params["x"]}


@task(inputs=["started", "gate"], outputs=["y"])
def wait_for(params: dict[str, Any]) -> dict[str, Any]:
    """Say that it runs, then run until the gate is there."""
    import pathlib
    import time

    pathlib.Path(params["started"]).touch()
    while not pathlib.Path(params["gate"]).exists():
        time.sleep(0.01)
    return {"y": "through"}


def finish(workflow: MaWorkflow, run_id: str | None = None) -> tuple[str, list[dict[str, Any]]]:
    """Run to the end; return the run and its messages."""
    run_id = run_id or workflow.run()
    return run_id, workflow.get_results(run_id, verbose=False)


def value_of(workflow: MaWorkflow, made: MaTask) -> Any:
    run_id, messages = finish(workflow)
    found = workflow.get_task_result(run_id, made.task_id)
    assert found, messages
    assert found["status"] == "success", found["error"]
    return found["result"]


def error_of(workflow: MaWorkflow, made: MaTask) -> str:
    run_id, messages = finish(workflow)
    found = workflow.get_task_result(run_id, made.task_id)
    assert found, messages
    assert found["status"] == "exception", found
    return str(found["error"])
