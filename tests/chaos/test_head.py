"""A head that is killed over and over: what it acknowledged is kept, all read the same, and it is soon back."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from chaos.history import (
    check_acknowledged,
    check_effects,
    check_log,
    check_own_writes,
    check_results,
    check_subscribers,
)
from chaos.scale import liveness_flags, sized, within
from chaos.stage import Job, Stage, open_stage
from chaos.subscribers import Subscriber, subscribe
from support.cluster import wait_until

TASKS = sized(200, 5_000)
KILLS = sized(2, 20)
RUNS = sized(4, 50)
SECONDS = 0.02
LIVE_TASKS = sized(2_000, 10_000)
READY_SECONDS = 2.0
AWAY_SECONDS = sized(1.0, 60.0)


def submit_all(stage: Stage, jobs: list[Job], runs: dict[str, Job], pause: float) -> None:
    """Submit one run after the other, whatever becomes of the head meanwhile, and look for each at once."""
    for job in jobs:
        runs[stage.submit(job.workflow)] = job
        stage.read(next(reversed(runs)))
        time.sleep(pause)


def test_a_head_that_is_killed_again_and_again_loses_and_repeats_nothing(figures: dict[str, Any]) -> None:
    choices = random.Random(20_261_126)
    with open_stage(2, node_args=("--cpus=2",)) as stage:
        jobs = [stage.prepare(TASKS // RUNS, SECONDS, f"w{number:02}") for number in range(RUNS)]
        runs: dict[str, Job] = {}
        submitting = threading.Thread(target=submit_all, args=(stage, jobs, runs, sized(0.1, 0.5)))
        submitting.start()
        readers: list[Subscriber] = []
        back = []
        for _ in range(KILLS):
            readers += watch_new(stage, runs, readers)
            time.sleep(choices.uniform(0.3, 1.2))  # the instant is meant to be any
            began = time.monotonic()
            stage.cluster.restart_head()
            back.append(time.monotonic() - began)
        submitting.join(120)
        readers += watch_new(stage, runs, readers)
        summaries = stage.wait_sealed(*runs)
        for reader in readers:
            reader.finish()
        check_everything(stage, runs, summaries, readers)
        figures |= {"kills": KILLS, "tasks": TASKS, "runs": len(runs), "subscribers": len(readers)}
        figures["connections_of_subscribers"] = sum(reader.connections for reader in readers)
        # Beside nodes at work and all these readers; what is promised is measured below.
        figures["restart_p50"], figures["restart_max"] = (round(sorted(back)[i], 3) for i in (len(back) // 2, -1))


def watch_new(stage: Stage, runs: dict[str, Job], readers: list[Subscriber]) -> list[Subscriber]:
    """Subscribe to the newest run, by every road."""
    known = {reader.run_id for reader in readers}
    newest = [run_id for run_id in list(runs)[-1:] if run_id not in known]
    return [reader for run_id in newest for reader in subscribe(stage.cluster.url, run_id, stage.history)]


def check_everything(stage: Stage, runs: dict[str, Job], summaries: dict[str, Any], readers: list[Subscriber]) -> None:
    """Compare what clients, subscribers and the tasks themselves say."""
    done = stage.executions()
    assert len(runs) == RUNS
    assert check_acknowledged(stage.history, summaries) == []
    assert check_own_writes(stage.history) == []
    assert all(reader.sealed for reader in readers)
    for run_id, job in runs.items():
        events = stage.log(run_id)
        assert check_log(events, job.names) == []
        assert check_results(events, job.expected) == []
        assert check_effects(done, job.names.values(), once=True) == []
        assert check_subscribers(stage.history.logs.get(run_id, {}) | {"afterwards": events}) == []


def test_what_is_finished_while_the_head_is_away_is_delivered_and_not_repeated(figures: dict[str, Any]) -> None:
    with open_stage(2, node_args=("--cpus=4",)) as stage:
        job = stage.prepare(8, sized(1.0, 5.0))
        run_id = stage.submit(job.workflow)
        wait_until(lambda: stage.started(*job.names.values()), "all tasks to run")
        wait_until(lambda: (stage.read(run_id) or {})["running"] == 8, "the head to know it")
        began = time.monotonic()
        stage.cluster.head.kill()
        wait_until(lambda: all(runs[0].ended for runs in stage.executions().values()), "the end of all tasks", 30)
        wait_until(lambda: time.monotonic() - began > AWAY_SECONDS, "a long absence", AWAY_SECONDS + 5)
        stage.cluster.start_head()
        figures["away"], figures["tasks"] = round(time.monotonic() - began, 1), 8
        stage.wait_sealed(run_id)
        events = stage.log(run_id)
        assert check_log(events, job.names) == []
        assert check_results(events, job.expected) == []
        assert check_effects(stage.executions(), job.names.values(), once=True) == []


def test_a_cluster_that_lost_its_power_goes_on_where_it_was(figures: dict[str, Any]) -> None:
    with open_stage(2, liveness_flags(), ("--cpus=2",)) as stage:
        job = stage.prepare(sized(40, 400), 0.05)
        run_id = stage.submit(job.workflow)
        wait_until(lambda: (stage.read(run_id) or {}).get("finished", 0) > 10, "some results")
        finished = {event["data"]["task_id"] for event in stage.log(run_id) if event["type"] == "finish_task"}
        for daemon in stage.cluster.processes:
            daemon.kill()
        began = time.monotonic()
        stage.cluster.start_head()
        stage.cluster.past += stage.cluster.nodes
        stage.cluster.nodes.clear()
        for number in range(2):
            stage.cluster.add_node(f"--name=node-{number + 1}", "--cpus=2")
        stage.wait_sealed(run_id)
        figures["over_after"] = round(time.monotonic() - began, 1)
        events = stage.log(run_id)
        assert check_log(events, job.names) == []
        assert check_results(events, job.expected) == []
        spared = [job.names[task_id] for task_id in finished]
        assert check_effects(stage.executions(), job.names.values()) == []
        assert check_effects(stage.executions(), spared, once=True) == []
        figures["acknowledged_before"] = len(spared)


def test_a_head_with_many_live_tasks_is_soon_ready_again(figures: dict[str, Any]) -> None:
    with open_stage() as stage:
        jobs = [stage.prepare(LIVE_TASKS // 4, 0.0, f"many{number}") for number in range(4)]
        run_ids = [stage.submit(job.workflow) for job in jobs]
        times = []
        for _ in range(sized(1, 3)):
            began = time.monotonic()
            stage.cluster.restart_head()
            wait_until(lambda: stage.cluster.request("GET", "/api/v1/readyz")[0] == 200, "readiness")
            times.append(time.monotonic() - began)
        bodies = [stage.read(run_id) for run_id in run_ids]
        assert [body and body["tasks"] for body in bodies] == [LIVE_TASKS // 4] * 4
        figures |= {"live_tasks": LIVE_TASKS, "ready_p50": round(sorted(times)[len(times) // 2], 3)}
        within("ready_max", max(times), READY_SECONDS, figures)
