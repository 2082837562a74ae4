"""Large values and a head of its own process: brought and fetched past its memory, over its restarts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maze import MaClient, RemoteValue, task
from maze._values import decode_input
from maze_protocol.limits import MIB
from support.cluster import Cluster, start_cluster

SIZE = 48 * MIB
GROWTH = 32 * MIB
"""The head may grow by its own bookkeeping and by what is under way."""


@task(inputs=["rows", "number"], outputs=["y"])
def pick(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["rows"][params["number"]]}


@task(inputs=["count"], outputs=["rows", "text", "middle", "small"])
def make(params: dict[str, Any]) -> dict[str, Any]:
    import numpy

    count = params["count"]
    rows = numpy.arange(float(count))
    return {"rows": rows, "text": "ü" * count, "middle": rows[:20_000].copy(), "small": count}


@task(inputs=["rows"], outputs=["total"])
def total(params: dict[str, Any]) -> dict[str, Any]:
    return {"total": float(params["rows"].sum())}


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


@pytest.fixture(scope="module")
def values_cluster() -> Iterator[Cluster]:
    with start_cluster() as running:
        yield running


def test_large_results_are_references_and_are_fetched_past_the_memory_of_the_head(
    values_cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = SIZE // 8
    expected = np.arange(float(count))
    with MaClient(values_cluster.url) as client:
        workflow = client.create_workflow()
        made = workflow.add_task(make, inputs={"count": count})
        used = workflow.add_task(total, inputs={"rows": made.outputs["rows"]})
        before = peak(values_cluster.head.pid)
        results = workflow.show_results(workflow.run())["task_results"]
        assert "rows: <48 MiB numpy.ndarray, fetched by .get()>" in capsys.readouterr().out
        assert results[used.task_id] == {"total": expected.sum()}
        result = results[made.task_id]
        assert isinstance(result["rows"], RemoteValue)
        assert (result["middle"] == expected[:20_000]).all()
        assert result["small"] == count
        assert (result["rows"].get() == expected).all()
        assert result["text"].save(tmp_path / "text").read_text("utf-8") == "ü" * count
        assert peak(values_cluster.head.pid) - before < GROWTH
        other = client.create_workflow()
        again = other.add_task(total, inputs={"rows": result["rows"]})
        assert other.show_results(other.run())["task_results"][again.task_id] == {"total": expected.sum()}


def test_a_download_survives_a_restart_of_the_head(values_cluster: Cluster, tmp_path: Path) -> None:
    with MaClient(values_cluster.url) as client:
        workflow = client.create_workflow()
        made = workflow.add_task(make, inputs={"count": 3 * SIZE // 8})
        value = workflow.show_results(workflow.run())["task_results"][made.task_id]["text"]
        restarted: list[int] = []

        def restart(done: int, size: int) -> None:
            if done > size // 4 and not restarted:
                restarted.append(done)
                values_cluster.restart_head()

        assert value.save(tmp_path / "text", progress=restart).read_text("utf-8") == "ü" * (3 * SIZE // 8)
        assert restarted
