"""Nodes that die, stop or are cut off: noticed in time, their work goes elsewhere, and no result counts twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaos.history import check_effects, check_log, check_results
from chaos.proxy import DOWN, UP, Direction
from chaos.scale import LOST, SUSPECT, full_only, liveness_flags, sized, within
from chaos.stage import Job, NodeWatch, Stage, open_stage
from chaos.work import leave_strays
from support.cluster import wait_until

STOPPED_SECONDS = sized(4.0, 15.0)
NOTICED_SECONDS = 1.0
ELSEWHERE_SECONDS = 2.0
REJOIN_SECONDS = 2.0
STRAYS_SECONDS = 5.0


def on_node(stage: Stage, name: str, job: Job, run_id: str) -> list[str]:
    """Return the names of the tasks that a node runs."""
    tasks = stage.cluster.tasks(run_id).values()
    return [job.names[task["task_id"]] for task in tasks if (task["status"], task["node"]) == ("running", name)]


def wait_running(stage: Stage, job: Job, run_id: str) -> dict[str, list[str]]:
    """Wait until all tasks run; return their names by node."""
    wait_until(lambda: stage.started(*job.names.values()), "all tasks to run")
    wait_until(lambda: stage.read(run_id)["running"] == len(job.names), "the head to know it")
    return {name: on_node(stage, name, job, run_id) for name in stage.node_states()}


def check_outcome(stage: Stage, job: Job, run_id: str) -> list[dict[str, Any]]:
    """Everything is finished, rightly, and each result was accepted once; return the log."""
    stage.wait_sealed(run_id)
    events = stage.log(run_id)
    assert check_log(events, job.names) == []
    assert check_results(events, job.expected) == []
    assert check_effects(stage.executions(), job.names.values()) == []
    assert sum(event["type"] == "finish_task" for event in events) == len(job.names)
    return events


def test_the_work_of_a_killed_agent_is_soon_elsewhere_and_nothing_of_it_is_left(figures: dict[str, Any]) -> None:
    with open_stage(2, node_args=("--cpus=8",)) as stage, NodeWatch(stage) as watch:
        job = stage.prepare(6, sized(2.0, 6.0))
        workflow = stage.client.create_workflow("strays")
        for number in range(4):
            inputs = {"folder": str(stage.traces), "name": f"stray-{number}", "seconds": 1000.0}
            workflow.add_task(leave_strays, inputs=inputs, resources={"cpu": 0.1})
        workflow.get_tasks()
        strays = stage.submit(workflow)
        run_id = stage.submit(job.workflow)
        placed = wait_running(stage, job, run_id)
        wait_until(lambda: stage.started(*(f"stray-{number}" for number in range(4))), "the strays")
        victim = next(node for node in stage.cluster.nodes if placed[node.ready["node_id"]])
        name, family = victim.ready["node_id"], set(stage.family(victim))
        stray_pids = {each.pid for number in range(4) for each in stage.executions()[f"stray-{number}"]}
        moment = time.monotonic()
        victim.kill()
        within("noticed", watch.wait(name, "suspect", "lost", since=moment) - moment, NOTICED_SECONDS, figures)
        wait_until(lambda: all(len(stage.executions()[each]) > 1 for each in placed[name]), "them to run elsewhere")
        elsewhere = max(stage.executions()[each][1].started for each in placed[name]) - moment
        within("elsewhere", elsewhere, ELSEWHERE_SECONDS, figures)
        left = wait_until(lambda: [time.monotonic()] if not family & set(stage.alive()) else None, "the family's end")
        within("family_gone", left[0] - moment, STRAYS_SECONDS, figures)
        figures["tasks_moved"], figures["strays"] = len(placed[name]), len(stray_pids)
        check_outcome(stage, job, run_id)
        assert stage.cluster.request("DELETE", f"/api/v1/runs/{strays}")[0] == 202


@pytest.mark.parametrize("what", sized(["whole node"], ["whole node", "agent"]))
def test_a_node_that_stands_still_is_given_up_and_comes_back(figures: dict[str, Any], what: str) -> None:
    with open_stage(2, liveness_flags(), ("--cpus=4",)) as stage, NodeWatch(stage) as watch:
        job = stage.prepare(6, STOPPED_SECONDS / 2)
        run_id = stage.submit(job.workflow)
        placed = wait_running(stage, job, run_id)
        victim = next(node for node in stage.cluster.nodes if placed[node.ready["node_id"]])
        name, frozen = victim.ready["node_id"], stage.family(victim) if what == "whole node" else [victim.pid]
        moment = time.monotonic()
        stage.signal(frozen, signal.SIGSTOP)
        within("suspected", watch.wait(name, "suspect", since=moment) - moment, SUSPECT, figures)
        within("lost", watch.wait(name, "lost", since=moment) - moment, LOST, figures)
        wait_until(lambda: time.monotonic() - moment >= STOPPED_SECONDS, "the end of the stop", STOPPED_SECONDS + 5)
        resumed = time.monotonic()
        stage.signal(frozen, signal.SIGCONT)
        within("rejoined", watch.wait(name, "ready", since=resumed) - resumed, REJOIN_SECONDS, figures)
        check_outcome(stage, job, run_id)
        figures["results_stale"] = stage.counters().get("results_stale", 0)


CUTS: dict[str, tuple[Direction, ...]] = {"both ways": (), "to the head": (UP,), "to the node": (DOWN,)}


@full_only
@pytest.mark.parametrize("cut", CUTS)
def test_a_node_that_is_cut_off_is_given_up_and_comes_back(figures: dict[str, Any], cut: str) -> None:
    with open_stage(1, liveness_flags(), proxied=["far"]) as stage, NodeWatch(stage) as watch:
        job = stage.prepare(6, STOPPED_SECONDS / 2)
        run_id = stage.submit(job.workflow)
        assert wait_running(stage, job, run_id)["far"]
        moment = time.monotonic()
        stage.proxies["far"].blackhole(*CUTS[cut])
        # The clock starts with the last word that came through, up to a heartbeat ago.
        within("suspected", watch.wait("far", "suspect", "lost", since=moment) - moment, SUSPECT + 2, figures)
        wait_until(lambda: time.monotonic() - moment >= STOPPED_SECONDS, "the end of the cut", STOPPED_SECONDS + 5)
        healed = time.monotonic()
        stage.proxies["far"].heal()
        within("rejoined", stage.wait_state("far", "ready") - healed, REJOIN_SECONDS, figures)
        events = check_outcome(stage, job, run_id)
        figures["attempts_lost"] = sum(event["type"] == "attempt_lost" for event in events)


@pytest.fixture(scope="module")
def far() -> Iterator[Stage]:
    """A head and one node behind a proxy, for faults that a node survives."""
    with open_stage(proxied=["far"]) as running:
        yield running


def test_a_short_cut_is_not_noticed(far: Stage, figures: dict[str, Any]) -> None:
    stage, before = far, far.counters()["attempts_lost"]
    with NodeWatch(stage) as watch:
        job = stage.prepare(sized(60, 300), 0.05, "short-cut")
        run_id = stage.submit(job.workflow)
        wait_until(lambda: (stage.read(run_id) or {}).get("finished", 0) > 10, "some results")
        began = time.monotonic()
        stage.proxies["far"].blackhole()
        time.sleep(1.0)  # the length of the fault
        stage.proxies["far"].heal()
        check_outcome(stage, job, run_id)
        assert check_effects(stage.executions(), job.names.values(), once=True) == []
        assert watch.when("far", "lost", since=began) is None
        figures["attempts_lost"] = stage.counters()["attempts_lost"] - before
        assert figures["attempts_lost"] == 0


def test_a_storm_of_resets_is_only_slow(far: Stage, figures: dict[str, Any]) -> None:
    stage, proxy = far, far.proxies["far"]
    job = stage.prepare(sized(40, 500), 0.02, "storm")
    run_id = stage.submit(job.workflow)
    for number in range(sized(4, 40)):
        wait_until(lambda: proxy.live, "a connection")
        proxy.cut_after(number * 97, UP, DOWN) if number % 2 else proxy.reset()
        time.sleep(0.1)  # the pace of the storm
    check_outcome(stage, job, run_id)
    # A node that gets no word through for a second is lost by definition, and its tasks run again.
    figures["repeated"] = sum(len(stage.executions()[name]) - 1 for name in job.names.values())
    # Now not even a session comes about: the node must not knock faster and faster.
    proxy.refusing, before, seconds = True, proxy.accepted, sized(1.0, 10.0)
    proxy.reset()
    time.sleep(seconds)
    figures["connects_per_s"] = round((proxy.accepted - before) / seconds, 1)
    assert figures["connects_per_s"] <= 10
    proxy.refusing = False
    stage.wait_state("far", "ready")


def test_a_slow_and_distant_node_works(far: Stage, figures: dict[str, Any]) -> None:
    stage, before = far, far.counters()["attempts_lost"]
    with NodeWatch(stage) as watch:
        stage.proxies["far"].shape(delay=0.1, jitter=0.05, rate=125_000)
        job = stage.prepare(sized(20, 100), 0.01, "slow")
        run_id = stage.submit(job.workflow)
        check_outcome(stage, job, run_id)
        assert check_effects(stage.executions(), job.names.values(), once=True) == []
        stage.proxies["far"].heal()
        assert watch.when("far", "suspect", "lost") is None
        figures["attempts_lost"] = stage.counters()["attempts_lost"] - before


@pytest.fixture(scope="module")
def single() -> Iterator[Stage]:
    """A head and one node."""
    with open_stage(1, node_args=("--cpus=2",)) as running:
        yield running


def test_a_spawner_that_dies_is_replaced_and_its_tasks_are_not_blamed(single: Stage) -> None:
    stage = single
    job = stage.prepare(sized(10, 100), 0.1, "dies")
    run_id = stage.submit(job.workflow)
    (node,) = stage.cluster.nodes
    for _ in range(sized(1, 5)):
        spawner = wait_until(lambda: stage.spawner(node), "a spawner")
        wait_until(lambda: stage.workers(node), "workers")
        stage.signal([spawner.pid], signal.SIGKILL)
        wait_until(lambda pid=spawner.pid: (s := stage.spawner(node)) and s.pid != pid, "another spawner")
    events = check_outcome(stage, job, run_id)
    assert {event["data"]["kind"] for event in events if event["type"] == "attempt_lost"} <= {"node_lost"}


def test_a_spawner_that_stands_still_delays_and_harms_nothing(single: Stage) -> None:
    stage = single
    job = stage.prepare(20, 0.05, "still")
    (node,) = stage.cluster.nodes
    spawner = wait_until(lambda: stage.spawner(node), "a spawner")
    stage.signal([spawner.pid], signal.SIGSTOP)
    run_id = stage.submit(job.workflow)
    time.sleep(sized(1.0, 5.0))  # the length of the fault
    stage.signal([spawner.pid], signal.SIGCONT)
    check_outcome(stage, job, run_id)
    assert check_effects(stage.executions(), job.names.values(), once=True) == []
