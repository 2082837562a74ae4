"""Who gets how much when several projects want more than there is: the core and a cluster that only keeps time.

Jain's index is that of the projects' mean shares (dominant share / weight) while all of them have work waiting.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from maze_head.core import events as ev
from maze_protocol.cluster import CapBody, LimitRequest
from maze_protocol.resources import Capacity, Device
from support.fair_cluster import Demand, FairCluster, jain

CPU_NODE = Capacity(8000, 16_384, (), 64)
GPU_NODE = Capacity(8000, 32_768, tuple(Device(index, 24_000) for index in range(4)), 64)

TWO = {
    "alike": [Demand("a", 100, 10, {"cpu": 1}), Demand("b", 100, 10, {"cpu": 1})],
    "short and long": [Demand("a", 150, 3, {"cpu": 1}), Demand("b", 100, 11, {"cpu": 1})],
    "small and large": [Demand("a", 150, 4, {"cpu": 1}), Demand("b", 50, 10, {"cpu": 4})],
    "whole nodes": [Demand("a", 150, 4, {"cpu": 1}), Demand("b", 20, 10, {"cpu": 8})],
    "CPUs and memory": [
        Demand("a", 100, 10, {"cpu": 1, "cpu_mem": 4096}),
        Demand("b", 100, 7, {"cpu": 2, "cpu_mem": 512}),
    ],
    "many and few": [Demand("a", 300, 5, {"cpu": 1}), Demand("b", 60, 5, {"cpu": 1})],
}
FIVE = [
    Demand("a", 100, 10, {"cpu": 1}),
    Demand("b", 60, 10, {"cpu": 2}),
    Demand("c", 100, 5, {"cpu": 1, "cpu_mem": 2048}),
    Demand("d", 60, 12, {"cpu": 1, "gpu": 0.5}),
    Demand("e", 60, 8, {"cpu": 1, "gpu_mem": 8000}),
]


@pytest.mark.parametrize("demands", TWO.values(), ids=TWO)
def test_two_equal_projects_get_equal_shares(demands: list[Demand]) -> None:
    cluster = FairCluster([CPU_NODE] * 4, demands)
    cluster.run()
    assert cluster.contested > 10
    assert jain(list(cluster.mean_shares.values())) > 0.99


def test_five_equal_projects_of_different_shapes_get_equal_shares() -> None:
    cluster = FairCluster([CPU_NODE, CPU_NODE, GPU_NODE, GPU_NODE], FIVE)
    cluster.run()
    assert cluster.contested > 20
    assert jain(list(cluster.mean_shares.values())) > 0.95


def test_a_project_of_weight_two_gets_twice_as_much() -> None:
    demands = [Demand("a", 100, 5, {"cpu": 1}), Demand("b", 200, 7, {"cpu": 1}, weight=2)]
    cluster = FairCluster([CPU_NODE] * 3, demands)
    cluster.run()
    assert cluster.contested > 20
    shares = cluster.mean_shares
    assert jain(list(shares.values())) > 0.99
    assert 2 * shares["b"] / shares["a"] == pytest.approx(2, rel=0.1)


def test_a_project_that_comes_late_gets_its_share_as_soon_as_tasks_end() -> None:
    first, late = Demand("a", 300, 5, {"cpu": 1}), Demand("b", 100, 5, {"cpu": 1})
    cluster = FairCluster([CPU_NODE] * 3, [first])
    cluster.run(20)
    cluster.submit(late)
    cluster.run(10)
    shares = cluster.head.core.state.shares
    assert shares.share("b") == pytest.approx(0.5, abs=0.05)


def test_who_wants_less_leaves_the_rest_to_the_others() -> None:
    cluster = FairCluster([CPU_NODE] * 3, [Demand("a", 100, 10, {"cpu": 1}), Demand("b", 4, 10, {"cpu": 1})])
    shares = cluster.head.core.state.shares
    assert (shares.share("b") * 24, shares.share("a") * 24) == (4, 20)


def test_a_cap_holds_even_if_nobody_else_wants_the_rest() -> None:
    cap = CapBody(cpu=5)
    cluster = FairCluster([CPU_NODE] * 3, [Demand("a", 40, 4, {"cpu": 2}, cap=cap), Demand("b", 10, 4, {"cpu": 1})])
    state, held = cluster.head.core.state, [0]
    while state.runs:
        held.append(state.shares.held["a"].cpu_milli if "a" in state.shares.held else 0)
        cluster.run(1)
    assert max(held) == 4000
    assert len(cluster.started) == 50


def test_a_limit_bounds_what_runs_and_its_end_frees_the_rest() -> None:
    limited = Demand("a", 30, 4, {"cpu": 1}, more={"limits": {"api": 2}})
    cluster = FairCluster([CPU_NODE] * 3, [limited, Demand("b", 30, 4, {"cpu": 1})])
    cluster.head.ask(ev.SetLimit, "api", LimitRequest(concurrency=6))
    cluster.run(20)
    held = cluster.head.core.state.allowances.held
    assert held == {"api": 6}
    cluster.head.ask(ev.SetLimit, "api", LimitRequest(concurrency=8))
    cluster.run(0.25)
    assert held == {"api": 8}
    cluster.head.ask(ev.RemoveLimit, "api")
    cluster.run()
    assert len(cluster.started) == 60
    assert held == {}


def test_a_rate_lets_tasks_begin_evenly_without_any_other_event() -> None:
    cluster = FairCluster([], [Demand("a", 30, 0.1, {"cpu": 1}, more={"limits": {"api": 1}})])
    cluster.head.ask(ev.SetLimit, "api", LimitRequest(rate="60/min"))
    begin = cluster.head.mono
    cluster.join(CPU_NODE)
    cluster.run()
    times = [at - begin for at, _ in cluster.started]
    assert times[:2] == [0.0, pytest.approx(0.5, abs=0.26)]
    assert all(0.5 <= second - first <= 1.5 for first, second in pairwise(times))
    assert times[-1] == pytest.approx(28.5, abs=0.26)


def test_an_attempt_that_outlives_the_head_holds_its_units() -> None:
    limited = Demand("a", 4, 50, {"cpu": 1}, more={"limits": {"api": 1}})
    cluster = FairCluster([], [limited])
    cluster.head.ask(ev.SetLimit, "api", LimitRequest(concurrency=2))
    cluster.join(CPU_NODE)
    assert len(cluster.started) == 2
    other = cluster.head.recover()
    assert other.core.state.allowances.held == {"api": 2}
    assert other.core.state.shares.held["a"].attempts == 2
