"""What a node offers follows what its machine gives it, while it runs."""

from __future__ import annotations

import os
from typing import Any

import pytest

from maze_node.capacity import measure
from maze_node.config import Settings
from support.cluster import Cluster, start_cluster, wait_until


def the_node(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("/api/v1/nodes")["nodes"][0]
    return found


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
@pytest.mark.skipif(measure(Settings()).cpu_milli < 2000, reason="fewer than two CPUs: none can be taken away")
def test_cpus_that_are_taken_away_are_not_offered_until_they_are_back() -> None:
    with start_cluster(node_args=("--gpus=0",)) as cluster:
        before = the_node(cluster)
        pid = cluster.nodes[0].pid
        mask = os.sched_getaffinity(pid)
        os.sched_setaffinity(pid, {min(mask)})
        less = wait_until(lambda: (now := the_node(cluster))["cpu"] == 1 and now, "one CPU")
        assert less["origins"]["cpu"] == "affinity mask"
        os.sched_setaffinity(pid, mask)
        wait_until(lambda: the_node(cluster)["cpu"] == before["cpu"], "all CPUs again")
        log = cluster.nodes[0].tail()
        assert f"capacity changed: 1 CPUs instead of {before['cpu']:g} (affinity mask)" in log
