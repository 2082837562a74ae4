"""The head never unpickles: a real one is watched by an audit hook while pickled work goes through it, and recovers."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from maze import MaClient, task
from support import watched_head
from support.cluster import start_cluster


class Box:
    """A class that no other process can import: cloudpickle takes it along."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and other.content == self.content

    __hash__ = None  # type: ignore[assignment]


def test_a_head_unpickles_nothing_of_what_goes_through_it(tmp_path: Path) -> None:
    factor, notes = Fraction(3, 2), tmp_path / "notes"

    @task(inputs=["number", "rows", "box"], outputs=["number", "rows", "box"])
    def scale(params: dict[str, Any]) -> dict[str, Any]:
        box = params["box"]
        box.content = (box.content, {1, 2})
        return {"number": params["number"] * factor, "rows": params["rows"] * 2, "box": box}

    @task(inputs=["box"], outputs=["y"], retries=1, retry_backoff=0)
    def refuse(params: dict[str, Any]) -> dict[str, Any]:
        raise LookupError(params["box"])

    rows = np.arange(100_000.0)
    with start_cluster(head_before=(sys.executable, "-P", watched_head.__file__, str(notes))) as cluster:
        with MaClient(cluster.url) as client:
            workflow = client.create_workflow()
            first = workflow.add_task(scale, inputs={"number": Fraction(1, 3), "rows": rows, "box": Box(complex(1, 2))})
            last = workflow.add_task(scale, inputs={key: first.outputs[key] for key in ("number", "rows", "box")})
            wrong = workflow.add_task(refuse, inputs={"box": last.outputs["box"]})
            run_id = workflow.run()
            assert workflow.get_results(run_id, verbose=False)
        cluster.restart_head(gently=True)
        # Readers that know no Python get everything, too, as far as the head knows it.
        assert len(cluster.events(run_id)) > 6
        assert all(task["status"] in ("finished", "failed") for task in cluster.tasks(run_id).values())
        with MaClient(cluster.url) as client:
            assert cluster.events(client.retry_run(run_id, from_failed=True))
        found = workflow.get_task_result(run_id, last.task_id)["result"]
        assert found["number"] == Fraction(1, 3) * factor * factor
        assert (found["rows"] == rows * 4).all()
        assert found["box"] == Box(((complex(1, 2), {1, 2}), {1, 2}))
        assert workflow.get_task_result(run_id, wrong.task_id)["error"].startswith("Traceback")
    lines = notes.read_text().splitlines()
    proof = ["unpickled fractions Fraction"]
    assert lines == [*proof, "begin", "end", *proof] * 2, "the hook fires, and nothing was unpickled in between"
