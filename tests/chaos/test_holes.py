"""Nodes that cannot work, or come and go: put aside, and nobody's task fails because of them."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from chaos.history import check_effects, check_log, check_results
from chaos.scale import full_only, sized
from chaos.stage import Job, NodeWatch, Stage, open_stage
from support.cluster import wait_until

SPOILED = {
    "workers die when they are made": "os.register_at_fork(after_in_child=lambda: os._exit(7))",
    "workers die under every task": "sys.addaudithook(lambda event, _: event == 'pickle.find_class' and os._exit(7))",
}
"""What the node's installation does to its spawner, and so to every worker."""


def add_spoiled_node(stage: Stage, code: str) -> None:
    """Start a node called `hole` whose Python is broken in this way."""
    folder = stage.cluster.folder / "spoiled"
    folder.mkdir()
    script = f"import os, sys\nif 'maze_node.spawner' in sys.orig_argv:\n    {code}\n"
    (folder / "sitecustomize.py").write_text(script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        stage.cluster.add_node("--name=hole", "--cpus=4")


def check_unharmed(stage: Stage, job: Job, run_id: str) -> list[dict[str, Any]]:
    """Check that every task finished all the same; return the attempts that were lost."""
    assert stage.wait_sealed(run_id)[run_id]["status"] == "finished"
    events = stage.log(run_id)
    assert check_log(events, job.names) == []
    assert check_results(events, job.expected) == []
    assert check_effects(stage.executions(), job.names.values()) == []
    assert not [event for event in events if event["type"] == "task_exception"]
    return [event["data"] for event in events if event["type"] == "attempt_lost"]


@pytest.mark.parametrize("how", sized(list(SPOILED)[1:], list(SPOILED)))
def test_a_node_that_is_a_black_hole_is_put_aside(figures: dict[str, Any], how: str) -> None:
    with open_stage(1, node_args=("--cpus=2",)) as stage, NodeWatch(stage) as watch:
        add_spoiled_node(stage, SPOILED[how])
        job = stage.prepare(sized(60, 300), 0.05)
        began = time.monotonic()
        run_id = stage.submit(job.workflow)
        lost = check_unharmed(stage, job, run_id)
        figures["put_aside_after"] = round(watch.wait("hole", "quarantined", timeout=30) - began, 2)
        figures["tasks"], figures["tasks_charged"] = len(job.names), len(lost)
        assert len(lost) <= 10


@full_only
def test_a_node_whose_link_flaps_is_put_aside(figures: dict[str, Any]) -> None:
    with open_stage(1, node_args=("--cpus=2",), proxied=["far"]) as stage, NodeWatch(stage) as watch:
        job = stage.prepare(sized(150, 600), 0.05)
        began = time.monotonic()
        run_id = stage.submit(job.workflow)
        resets = 0
        while watch.when("far", "quarantined") is None and resets < 20:
            wait_until(lambda: stage.node_states()["far"] != "suspect", "the node's return")
            stage.proxies["far"].reset()
            resets += 1
            time.sleep(0.5)  # the pace of the flapping
        figures["put_aside_after"] = round(watch.wait("far", "quarantined", timeout=30) - began, 2)
        figures["resets"] = resets
        check_unharmed(stage, job, run_id)
