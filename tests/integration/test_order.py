"""The order in which a real head starts tasks: by name, or by a class of the operator's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maze import MaClient, task
from support.cluster import start_cluster
from support.head_process import FREE_PORTS, run_to_its_end

MODULE = """
from maze_head.core.discipline import Fcfs

class ByName(Fcfs):
    name = "by name"

    def lane(self, run, task):
        return run.graph.task_name(task)

    def rank(self, run, task, since):
        return float(ord(run.graph.task_name(task)))
"""


@task(inputs=["x"], outputs=["x"])
def passed(params: dict[str, object]) -> dict[str, object]:
    return {"x": params["x"]}


def starts(order: str, names: str, chain: str) -> list[str]:
    """Return the names of tasks in the order in which the only CPU got them.

    Args:
        order: what `--order` is given.
        names: of tasks on their own, which are added first.
        chain: of tasks that need each other, in this order.
    """
    with start_cluster(nodes=0, head_args=(f"--order={order}",)) as cluster, MaClient(cluster.url) as client:
        assert cluster.get("/api/v1/info")["order"] == order
        workflow = client.create_workflow()
        for name in names:
            workflow.add_task(passed, inputs={"x": 1}, task_name=name)
        last: object = 1
        for name in chain:
            last = workflow.add_task(passed, inputs={"x": last}, task_name=name).outputs["x"]
        run_id = workflow.run()
        cluster.add_node("--cpus=1")
        events = cluster.events(run_id)
        called = {task_id: found["name"] for task_id, found in cluster.tasks(run_id).items()}
        return [called[event["data"]["task_id"]] for event in events if event["type"] == "start_task"]


def test_a_chain_starts_before_what_nothing_depends_on() -> None:
    assert starts("critical", names="ab", chain="xyz")[0] == "x"


def test_a_class_of_ones_own_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_orders.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert starts("my_orders:ByName", names="dacb", chain="") == ["a", "b", "c", "d"]


def test_an_unknown_order_is_refused_with_what_there_is(tmp_path: Path) -> None:
    code, out, err = run_to_its_end(tmp_path / "state", *FREE_PORTS, "--order=lifo")
    assert (code, out) == (2, "")
    assert "Error: --order lifo is none of fcfs, hacs, critical" in err
    assert "Traceback" not in err
