"""Tasks that misbehave: they hurt themselves, within their budget, and nobody else."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaos.history import check_effects, check_log, check_results
from chaos.scale import full_only, sized, within
from chaos.stage import Job, Stage, open_stage
from chaos.work import ignore_sigterm, kill_own_agent, kill_own_worker, vanish
from support.cluster import wait_until

KILL_SECONDS = 6.0
"""SIGTERM, five seconds, SIGKILL."""


def run_alone(stage: Stage, function: Callable[..., Any], name: str, **options: Any) -> tuple[str, str]:
    """Run one misbehaving task; return the run and the task."""
    workflow = stage.client.create_workflow(name)
    inputs = {"folder": str(stage.traces), "name": name} if function is not vanish else {}
    task = workflow.add_task(function, inputs=inputs, resources={"cpu": 1}, **options)
    workflow.get_tasks()
    return stage.submit(workflow), task.task_id


def check_others(stage: Stage, job: Job, run_id: str) -> None:
    """Check that the others' run went as if nothing had been."""
    assert stage.wait_sealed(run_id)[run_id]["status"] == "finished"
    events = stage.log(run_id)
    assert check_log(events, job.names) == []
    assert check_results(events, job.expected) == []
    assert check_effects(stage.executions(), job.names.values(), once=True) == []


def faults(stage: Stage, run_id: str) -> list[tuple[str, str]]:
    """Return (kind, signal) of each lost attempt."""
    events = [event for event in stage.log(run_id) if event["type"] == "attempt_lost"]
    return [(event["data"]["kind"], event["data"].get("signal", "")) for event in events]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage(2, node_args=("--cpus=2",)) as running:
        yield running


def test_a_poison_task_ends_after_three_workers_while_all_else_goes_on(stage: Stage, figures: dict[str, Any]) -> None:
    job = stage.prepare(sized(60, 500), 0.02)
    run_id = stage.submit(job.workflow)
    began = time.monotonic()
    poison, task_id = run_alone(stage, kill_own_worker, "poison")
    assert stage.wait_sealed(poison)[poison]["status"] in ("finished", "failed")
    figures["poison_over"] = round(time.monotonic() - began, 3)
    check_others(stage, job, run_id)
    (last,) = [e for e in stage.log(poison) if e["type"] == "task_exception"]
    assert last["data"]["task_id"] == task_id
    assert "3x: SIGKILL" in last["data"]["error_message"].replace("the worker died ", "")
    assert faults(stage, poison) == [("crash", "SIGKILL")] * 2
    figures["workers_killed"] = len(stage.executions()["poison"])
    assert figures["workers_killed"] == 3


def test_leaving_with_status_0_is_not_success(stage: Stage) -> None:
    run_id, task_id = run_alone(stage, vanish, "vanish")
    stage.wait_sealed(run_id)
    task = stage.cluster.tasks(run_id)[task_id]
    assert (task["status"], task["attempt"]) == ("failed", 3)
    assert "exit code 0" in task["error"]


@full_only
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_task_that_ignores_sigterm_is_killed_in_time(stage: Stage, figures: dict[str, Any], how: str) -> None:
    options = {"timeout": 0.5} if how == "timeout" else {}
    run_id, task_id = run_alone(stage, ignore_sigterm, how, **options)
    wait_until(lambda: stage.started(how), "the task to run")
    (execution,) = stage.executions()[how]
    moment = time.monotonic()
    if how == "cancel":
        assert stage.cluster.request("DELETE", f"/api/v1/runs/{run_id}")[0] == 202
    stage.wait_sealed(run_id)
    within("over", time.monotonic() - moment, KILL_SECONDS + 0.5, figures)
    assert execution.pid not in stage.alive(), "the log was sealed before the process was gone"
    status = stage.cluster.tasks(run_id)[task_id]["status"]
    assert status == {"cancel": "cancelled", "timeout": "failed"}[how]
    # Its slot is free again.
    job = stage.prepare(3, 0.0, f"after-{how}")
    check_others(stage, job, stage.submit(job.workflow))


def test_a_task_that_kills_its_agent_takes_nobody_along(figures: dict[str, Any]) -> None:
    with open_stage(2, node_args=("--cpus=2",)) as stage:
        job = stage.prepare(4, 1.0)
        run_id = stage.submit(job.workflow)
        killer, _ = run_alone(stage, kill_own_agent, "killer")
        assert stage.wait_sealed(killer)[killer]["status"] == "finished"
        stage.wait_sealed(run_id)
        assert check_log(stage.log(run_id), job.names) == []
        assert check_effects(stage.executions(), job.names.values()) == []
        assert {kind for kind, _ in [*faults(stage, run_id), *faults(stage, killer)]} <= {"node_lost"}
        (dead,) = [node for node in stage.cluster.nodes if node.process.poll() is not None]
        assert dead.process.returncode == -signal.SIGKILL
        figures["executions_of_the_others"] = sum(len(stage.executions()[name]) for name in job.names.values())
