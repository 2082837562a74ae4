"""Many nodes at once, and many results from one of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chaos.crowd import Crowd
from chaos.scale import sized, within
from chaos.stage import NodeWatch, Stage, open_stage
from chaos.work import no_op
from support.cluster import wait_until

NODES = sized(30, 500)
BACK_SECONDS = 10.0
FLOOD = sized(800, 20_000)


def ready(stage: Stage) -> int:
    return list(stage.node_states().values()).count("ready")


@pytest.mark.timeout(300)
def test_a_crowd_of_nodes_is_soon_back_after_a_restart(figures: dict[str, Any]) -> None:
    with open_stage() as stage, Crowd(stage.cluster.head.ready["node"], NODES) as crowd:
        wait_until(lambda: crowd.complete and ready(stage) == NODES, "all nodes", 120)
        for _ in range(sized(1, 3)):
            before = stage.cluster.get("/api/v1/info")["epoch"]
            stage.cluster.head.kill()
            stage.cluster.start_head()
            serving = time.monotonic()
            assert stage.cluster.get("/api/v1/info")["epoch"] > before
            wait_until(lambda: ready(stage) == NODES, f"all nodes again; {len(crowd.live)} have a session", 60)
            within("all_back", time.monotonic() - serving, BACK_SECONDS, figures)
        figures["nodes"] = NODES
        assert crowd.refusals == []


def test_a_flood_from_one_node_drowns_no_other(figures: dict[str, Any]) -> None:
    with open_stage(1, node_args=("--cpus=2",)) as stage, NodeWatch(stage) as watch:
        stage.cluster.add_node("--name=quiet", "--cpus=0.01")
        workflow = stage.client.create_workflow("flood")
        for number in range(FLOOD):
            workflow.add_task(no_op, inputs={"x": number}, resources={"cpu": 1})
        workflow.get_tasks()
        began, silence = time.monotonic(), 0.0
        run_id = stage.submit(workflow)
        while not (stage.read(run_id) or {}).get("sealed"):
            nodes = {node["node_id"]: node for node in stage.cluster.get("/api/v1/nodes")["nodes"]}
            silence = max(silence, nodes["quiet"]["last_seen_s"])
            time.sleep(0.02)  # the pace of looking
        figures["tasks_per_s"] = round(FLOOD / (time.monotonic() - began))
        # A heartbeat comes each second; what is beyond that is delay.
        within("delay_of_heartbeats", max(0.0, silence - 1.0), 1.0, figures)
        assert watch.when("quiet", "suspect", "lost") is None
