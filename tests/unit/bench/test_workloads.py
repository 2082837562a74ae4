"""Generated work: the same for the same seed, of the promised kinds and sizes, and as much as was asked for."""

from __future__ import annotations

import statistics

import pytest
from _workloads import PROJECTS, SHAPES, WORKLOADS, backlog, demand, mixed_nodes, offered, pools, workload

from maze_protocol.resources import Request


@pytest.mark.parametrize("count", [1, 2, 4, 20, 999, 1000])
def test_a_cluster_has_as_many_nodes_as_asked_for_and_always_large_devices(count):
    nodes = mixed_nodes(count, seed=3)
    assert len(nodes) == count
    assert any(len(node.devices) == 8 for node in nodes)
    assert nodes == mixed_nodes(count, seed=3)


def test_a_thousand_nodes_are_of_all_kinds():
    nodes = mixed_nodes(1000)
    kinds = {(node.cpu_milli // 1000, len(node.devices)) for node in nodes}
    assert kinds == {(96, 8), (32, 4), (16, 0), (32, 0), (64, 0)}


def test_there_are_twenty_shapes():
    assert len({tuple(shape.items()) for shape in SHAPES}) == 20


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_same_seed_gives_the_same_work_and_another_seed_other_work(name):
    nodes = mixed_nodes(20)

    def told(seed):
        return [
            (job.arrives, job.app.name, job.seconds, job.project) for job in workload(name, 500, nodes, 0.8, seed).jobs
        ]

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_agents_are_graphs_of_3_to_12_tasks_with_one_first_and_one_last():
    for app in workload("agents", 10, mixed_nodes(20), 0.8, 1).apps:
        assert 3 <= len(app.steps) <= 12
        assert [place for place, step in enumerate(app.steps) if not step.sources] == [0]
        assert [place for place, after in enumerate(app.after) if not after] == [len(app.steps) - 1]
        assert all(source < place for place, step in enumerate(app.steps) for source in step.sources)


def test_agents_have_tasks_of_all_three_classes():
    work = workload("agents", 5000, mixed_nodes(20), 0.8, 1)
    kinds = [step.function.kind for job in work.jobs for step in job.app.steps]
    assert all(kinds.count(kind) > len(kinds) / 6 for kind in ("gpu", "cpu", "io"))


def test_durations_have_a_heavy_tail():
    work = workload("agents", 20_000, mixed_nodes(20), 0.8, 1)
    lasts = [seconds for job in work.jobs for seconds in job.seconds]
    assert statistics.fmean(lasts) > 2 * statistics.median(lasts)


@pytest.mark.parametrize("load", [0.4, 0.8])
def test_the_work_keeps_the_scarcer_resource_as_busy_as_asked_for(load):
    nodes = mixed_nodes(50)
    work = workload("agents", 20_000, nodes, load, 1)
    assert offered(work.jobs, nodes) / work.jobs[-1].arrives == pytest.approx(load, rel=0.1)


def test_demand_is_what_a_task_takes_at_least_of_each_pool():
    cpu, mem, gpu, vram, large, large_vram = pools(mixed_nodes(20))
    whole = Request(1000, 10, 2000, 40_000)
    assert [demand(whole, pool) for pool in (cpu, mem, gpu, vram)] == [1000, 10, 2000, 2 * 24 * 1024]
    assert [demand(whole, pool) for pool in (large, large_vram)] == [2000, 2 * 80 * 1024]
    share = Request(1000, 0, 0, 20_000, gpu_share=True)
    assert [demand(share, pool) for pool in (gpu, vram, large, large_vram)] == [0, 20_000, 0, 0]


def test_a_backlog_is_the_same_for_every_project():
    jobs = backlog(400, 1).jobs
    mine = [[(job.app.name, job.seconds) for job in jobs if job.project == f"p{n}"] for n in range(PROJECTS)]
    assert mine[0]
    assert all(other == mine[0] for other in mine)
