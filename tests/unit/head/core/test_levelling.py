"""Projects whose tasks are large catch up with those whose small tasks were there first."""

from __future__ import annotations

import pytest

from maze_head.core import events as ev
from maze_protocol.cluster import CapBody, ProjectRequest
from maze_protocol.resources import Capacity
from support.fair_cluster import Demand, FairCluster, jain

NODE = Capacity(4000, 8192, (), 32)
SMALL = Demand("small", 400, 3, {"cpu": 1})


def late(large: Demand, nodes: int = 4) -> FairCluster:
    """Return a cluster that one project has filled when another one comes."""
    cluster = FairCluster([NODE] * nodes, [SMALL])
    cluster.run(9)
    cluster.submit(large)
    return cluster


def kept(cluster: FairCluster) -> int:
    return sum(len(each.nodes) for each in cluster.head.core.state.reservations if each.many)


@pytest.mark.parametrize("cpu", [2, 4])
def test_a_late_project_with_large_tasks_gets_its_share(cpu: int) -> None:
    cluster = late(Demand("large", 60, 4, {"cpu": cpu}))
    most = 0
    for _ in range(40):
        cluster.run(0.5)
        most = max(most, kept(cluster))
    assert most == 1  # a quarter of four nodes
    cluster.reset()
    cluster.run(25)
    assert cluster.contested > 20
    assert jain(list(cluster.mean_shares.values())) > 0.95
    assert sum(cluster.mean_shares.values()) > 0.9


def test_without_it_the_large_tasks_would_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maze_head.core.placement.level", lambda state, roomless: None)
    cluster = late(Demand("large", 60, 4, {"cpu": 4}))
    cluster.run(25)
    assert cluster.head.core.state.shares.share("large") == 0.0


def test_nothing_is_kept_for_a_project_that_is_level_or_alone_or_gone() -> None:
    alone = FairCluster([NODE] * 4, [Demand("large", 20, 4, {"cpu": 3})])
    alone.run(5)
    assert kept(alone) == 0
    cluster = late(Demand("large", 60, 4, {"cpu": 4}))
    cluster.run(2)
    assert kept(cluster) == 1
    cluster.head.ask(ev.CancelRun, cluster.run_of("large"))
    cluster.run(1)  # what was cancelled is dropped from its queue when a node next gains room
    assert kept(cluster) == 0
    assert cluster.head.core.state.reservations == []


def test_nothing_is_kept_for_a_project_at_its_cap() -> None:
    cluster = late(Demand("large", 60, 4, {"cpu": 4}, cap=CapBody(tasks=0)))
    cluster.run(3)
    assert kept(cluster) == 0
    cluster.head.ask(ev.SetProject, "large", ProjectRequest())
    cluster.run(1)
    assert kept(cluster) == 1
    cluster.head.ask(ev.SetProject, "large", ProjectRequest(cap=CapBody(tasks=0)))
    assert kept(cluster) == 0


def test_a_node_that_goes_away_is_replaced_by_another() -> None:
    cluster = late(Demand("large", 60, 40, {"cpu": 4}), nodes=5)
    cluster.run(2)
    (reservation,) = cluster.head.core.state.reservations
    (node,) = reservation.nodes
    cluster.head.do(ev.LinkLost(node.link or b"", "silent"))
    (after,) = cluster.head.core.state.reservations
    assert after.nodes != (node,)
