"""Large values and a head of its own process: brought once, by their content, past its memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from maze import MaClient, task
from maze._values import decode_input
from maze_protocol.limits import MIB
from support.cluster import start_cluster

SIZE = 32 * MIB
GROWTH = 16 * MIB
"""The head may grow by its own bookkeeping and by what is under way."""


@task(inputs=["rows", "number"], outputs=["y"])
def pick(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["rows"][params["number"]]}


def peak(pid: int) -> int:
    """Return the most memory that a process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_a_large_input_of_many_tasks_is_brought_once_and_past_the_memory_of_the_head() -> None:
    rows = np.arange(SIZE / 8)
    with start_cluster(nodes=0) as cluster, MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        made = workflow.add_task(pick, inputs={"rows": rows, "number": 0})
        for number in range(1, 20):
            workflow.add_task(
                pick, inputs={"rows": [made.outputs["y"], rows] if number == 7 else rows, "number": number}
            )
        before = peak(cluster.head.pid)
        assert len(workflow.get_tasks()) == 20
        assert peak(cluster.head.pid) - before < GROWTH
        values = list((cluster.folder / "state" / "blobs" / "values").iterdir())
        assert len(values) == 2
        for path in values:
            assert hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest() == path.name
        tasks = cluster.get(f"/api/v1/workflows/{workflow.workflow_id}")["tasks"]
        uploads = [each["inputs"]["rows"]["upload"]["hash"] for each in tasks]
        assert sorted(map(uploads.count, set(uploads))) == [1, 19]
        template = next(path for path in values if path.name == uploads[7])
        filled = decode_input(tasks[7]["inputs"]["rows"]["upload"]["codec"], template.read_bytes(), ["hole"])
        assert filled[0] == "hole"
        assert (filled[1] == rows).all()
