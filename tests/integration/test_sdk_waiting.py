"""What users are told of tasks that wait, by a real head and node: a warning, a line, `maze explain`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from maze import AsyncMaClient, InfeasibleWarning, MaClient, MaTask, MaWorkflow, task
from support.cluster import Cluster, clean_environment, wait_until


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@pytest.fixture
def workflow(cluster: Cluster) -> Iterator[MaWorkflow]:
    with MaClient(cluster.url) as client:
        yield client.create_workflow()


@pytest.fixture
def stuck(workflow: MaWorkflow) -> Iterator[tuple[MaWorkflow, str, MaTask]]:
    """A run with a task that no node can ever take, one that has its result, and one behind both."""
    fits = workflow.add_task(double, inputs={"x": 1}, task_name="fits")
    large = workflow.add_task(double, inputs={"x": 1}, resources={"cpu": 64}, task_name="large")
    last = workflow.add_task(double, inputs={"x": large.outputs["y"]}, task_name="last")
    workflow.add_edge(fits, last)
    with pytest.warns(InfeasibleWarning) as caught:
        run_id = workflow.run()
    (warning,) = [each for each in caught if issubclass(each.category, InfeasibleWarning)]
    assert warning.filename == __file__
    assert "'large'" in str(warning.message)
    assert "64" in str(warning.message)
    yield workflow, run_id, large
    workflow.cancel(run_id, wait=True)


def test_a_run_that_does_not_wait_fails_what_nobody_can_take_at_once(workflow: MaWorkflow) -> None:
    fits = workflow.add_task(double, inputs={"x": 1})
    large = workflow.add_task(double, inputs={"x": 1}, require={"disk": "ssd"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_id = workflow.run(wait_for_capacity=False)
    workflow.get_results(run_id, verbose=False)
    found = [workflow.get_task_result(run_id, each.task_id) for each in (fits, large)]
    assert [each and each["status"] for each in found] == ["success", "exception"]
    assert "disk" in str(found[1])


def test_show_results_tells_once_why_a_task_waits(stuck: tuple[MaWorkflow, str, MaTask], cluster: Cluster) -> None:
    workflow, run_id, large = stuck

    async def show() -> None:
        async with AsyncMaClient(cluster.url) as client:
            mine = await client.get_workflow(workflow.workflow_id)
            await mine.show_results(run_id)

    def lines() -> list[str]:
        return [line for line in printed.getvalue().splitlines() if line.startswith("⏳")]

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        readers = [threading.Thread(target=workflow.show_results, args=[run_id])]
        readers.append(threading.Thread(target=asyncio.run, args=[show()]))
        for reader in readers:
            reader.start()
        wait_until(lambda: len(lines()) >= 2, "both clients to tell why the task waits", 60)
        workflow.cancel(run_id)
        for reader in readers:
            reader.join(60)
    assert not any(reader.is_alive() for reader in readers)
    first, second = lines()
    assert first == second
    assert first.startswith(f"⏳ {large.task_id[:13]} waits: no node could ever take it")


def test_explain_says_why_tasks_of_a_run_wait(stuck: tuple[MaWorkflow, str, MaTask], cluster: Cluster) -> None:
    _, run_id, large = stuck
    wait_until(lambda: cluster.get(f"/api/v1/runs/{run_id}")["finished"] == 1, "the task that fits")

    def maze(*arguments: str) -> Any:
        command = [sys.executable, "-m", "maze", "explain", *arguments, "--json"]
        environment = clean_environment(MAZE_URL=cluster.url)
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
        return json.loads(done.stdout)

    found = maze(run_id)
    assert found["run_id"] == run_id
    assert {group["code"]: [each["name"] for each in group["tasks"]] for group in found["groups"]} == {
        "infeasible": ["large"],
        "waiting_inputs": ["last"],
    }
    told = maze(run_id, "large")
    assert (told["task_id"], told["code"], told["nearest"]["lacks"]["cpu"][0]) == (large.task_id, "infeasible", 64)
