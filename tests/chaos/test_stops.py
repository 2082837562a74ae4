"""Orderly ends: what is asked to stop finishes its work, hands back the rest, and nothing runs twice."""

from __future__ import annotations

import signal
from typing import Any

from chaos.history import check_effects, check_log, check_results
from chaos.scale import full_only, sized
from chaos.stage import Job, Stage, open_stage
from support.cluster import wait_until

TASKS = sized(150, 1_000)


def check_once(stage: Stage, job: Job, run_id: str) -> None:
    """Check that every task finished, rightly, after one execution."""
    assert stage.wait_sealed(run_id)[run_id]["status"] == "finished"
    events = stage.log(run_id)
    assert check_log(events, job.names) == []
    assert check_results(events, job.expected) == []
    assert check_effects(stage.executions(), job.names.values(), once=True) == []
    assert not [event for event in events if event["type"] in ("attempt_lost", "attempt_interrupted")]


def wait_finished(stage: Stage, run_id: str, count: int) -> None:
    wait_until(lambda: (stage.read(run_id) or {}).get("finished", 0) >= count, f"{count} results")


def test_nodes_that_drain_under_load_leave_nothing_undone_and_nothing_done_twice(figures: dict[str, Any]) -> None:
    with open_stage(3, node_args=("--cpus=2",)) as stage:
        job = stage.prepare(TASKS, 0.01)
        run_id = stage.submit(job.workflow)
        for number, node in enumerate(stage.cluster.nodes[:2], 1):
            wait_finished(stage, run_id, number * TASKS // 4)
            assert node.stop() == 0, node.tail()
            assert stage.node_states()[node.ready["node_id"]] == "left"
        check_once(stage, job, run_id)
        figures["tasks"] = TASKS
        figures["released"] = sum(event["type"] == "task_released" for event in stage.log(run_id))
        assert stage.counters()["nodes_lost"] == 0


def test_a_head_that_is_asked_to_stop_leaves_running_tasks_alone(figures: dict[str, Any]) -> None:
    with open_stage(2, node_args=("--cpus=4",)) as stage:
        job = stage.prepare(TASKS, 0.05)
        run_id = stage.submit(job.workflow)
        restarts = sized(1, 3)
        for number in range(1, restarts + 1):
            wait_finished(stage, run_id, number * TASKS // 5)
            stage.cluster.restart_head(gently=True)
        check_once(stage, job, run_id)
        figures["tasks"], figures["restarts"] = TASKS, restarts


@full_only
def test_a_node_whose_agent_stands_still_for_two_seconds_is_kept() -> None:
    with open_stage(1, node_args=("--cpus=2",)) as stage:
        job = stage.prepare(40, 0.1)
        run_id = stage.submit(job.workflow)
        wait_finished(stage, run_id, 5)
        (node,) = stage.cluster.nodes
        stage.signal([node.pid], signal.SIGSTOP)
        before = stage.counters()["tasks_finished"]
        wait_until(lambda: _silence(stage) >= 2.0, "two seconds of silence")
        stage.signal([node.pid], signal.SIGCONT)
        check_once(stage, job, run_id)
        assert stage.counters()["nodes_lost"] == 0
        assert before < 40


def _silence(stage: Stage) -> float:
    return float(stage.cluster.get("/api/v1/nodes")["nodes"][0]["last_seen_s"])


def test_a_second_process_of_a_node_takes_the_place_of_the_first() -> None:
    with open_stage() as stage:
        first = stage.cluster.add_node("--name=twin", "--cpus=1")
        stage.cluster.past.append(stage.cluster.nodes.pop())
        second = stage.cluster.add_node("--name=twin", "--cpus=1")
        assert first.process.wait(10) == 78
        assert "took its place" in first.tail()
        assert stage.node_states() == {"twin": "ready"}
        job = stage.prepare(3, 0.0)
        check_once(stage, job, stage.submit(job.workflow))
        assert second.process.poll() is None
