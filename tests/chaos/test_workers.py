"""Workers that die: noticed at once, blamed exactly, replaced, and nobody else's work is touched."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import pytest

from chaos.history import check_effects, check_log, check_results
from chaos.scale import sized, within
from chaos.stage import Job, Stage, open_stage
from support.cluster import wait_until

TASKS = sized(300, 1_000)
KILLS = sized(2, 20)
AGAIN_SECONDS = 0.3


def catch_at_work(stage: Stage, spared: Sequence[str] = ()) -> tuple[psutil.Process, str]:
    """Stop a worker in the middle of a task that is not spared; return it and the task's name."""
    (node,) = stage.cluster.nodes

    def try_one() -> tuple[psutil.Process, str] | None:
        for worker in stage.workers(node):
            stage.signal([worker.pid], signal.SIGSTOP)
            # A stopped process writes no more: if its newest execution is open now, it stays open.
            if _stopped(worker) and (name := _open_execution(stage, worker.pid)) and name not in spared:
                return worker, name
            stage.signal([worker.pid], signal.SIGCONT)
        return None

    return wait_until(try_one, "a worker in the middle of a task")


def _stopped(worker: psutil.Process) -> bool:
    try:
        wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, "a stopped worker", 5)
    except psutil.NoSuchProcess:
        return False
    return True


def _open_execution(stage: Stage, pid: int) -> str | None:
    for name, runs in reversed(stage.executions().items()):
        if any(each.pid == pid and each.ended is None for each in runs):
            return name
    return None


def check_story(stage: Stage, job: Job, run_id: str, killed: list[str]) -> None:
    """The whole run is right: everything finished, only the killed tasks ran twice."""
    events = stage.log(run_id)
    done = stage.executions()
    assert check_log(events, job.names) == []
    assert check_results(events, job.expected) == []
    assert check_effects(done, job.names.values(), once=True, more=killed) == []
    assert {len(done[name]) for name in killed} == {2}
    lost = [job.names[e["data"]["task_id"]] for e in events if e["type"] == "attempt_lost"]
    assert sorted(lost) == sorted(killed), "exactly the killed tasks are blamed"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage(1, node_args=("--cpus=2",)) as running:
        yield running


def test_a_killed_workers_task_runs_again_at_once_and_nothing_else_does(stage: Stage, figures: dict[str, Any]) -> None:
    job = stage.prepare(TASKS, 0.01)
    run_id = stage.submit(job.workflow)
    again, ahead, killed = [], [], []
    for _ in range(KILLS):
        worker, name = catch_at_work(stage, killed)
        moment = time.monotonic()
        stage.signal([worker.pid], signal.SIGKILL)
        runs = wait_until(lambda name=name: (r := stage.executions()[name])[1:] and r, f"{name} to run again")
        again.append(runs[1].started - moment)
        ahead.append(_started_between(stage, moment, runs[1].started))
        killed.append(name)
        assert runs[1].pid != worker.pid
    stage.wait_sealed(run_id)
    (node,) = stage.cluster.nodes
    wait_until(lambda: len(stage.workers(node)) >= 2, "workers in place of the killed ones")
    check_story(stage, job, run_id, killed)
    wait_until(lambda: not stage.zombies(node), "an end of zombies", 5)
    figures["kills"], figures["tasks"], figures["started_before_it"] = KILLS, TASKS, max(ahead)
    assert max(ahead) < TASKS // 10, f"not at the front of the queue: {ahead} tasks were started before"
    figures["again_p50"] = round(sorted(again)[len(again) // 2], 3)
    within("again_max", max(again), AGAIN_SECONDS, figures)


def _started_between(stage: Stage, after: float, before: float) -> int:
    return sum(after < each.started < before for runs in stage.executions().values() for each in runs)


@pytest.mark.parametrize("number", sized([signal.SIGSEGV], [signal.SIGSEGV, signal.SIGABRT]))
def test_the_signal_that_ended_a_worker_is_told(stage: Stage, number: signal.Signals) -> None:
    job = stage.prepare(3, 0.3, prefix=number.name)
    run_id = stage.submit(job.workflow)
    worker, name = catch_at_work(stage)
    stage.signal([worker.pid], number)
    stage.signal([worker.pid], signal.SIGCONT)
    stage.wait_sealed(run_id)
    check_story(stage, job, run_id, [name])
    (lost,) = [event["data"] for event in stage.log(run_id) if event["type"] == "attempt_lost"]
    assert (lost["kind"], lost["signal"]) == ("crash", number.name)
