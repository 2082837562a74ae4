"""Claims are kept: of memory, with one more attempt and the whole story; of CPUs, by the threads of libraries."""

from __future__ import annotations

import re
from typing import Any

import pytest

from maze import MaClient, task
from support.cluster import Cluster


@task(inputs=["first", "then"], outputs=["attempt"], resources={"cpu_mem": 100})
def hoard(params: dict[str, Any]) -> dict[str, Any]:
    """Take so many MiB in the first attempt and so many in the next, and keep them if that is too much."""
    import os
    import time

    attempt = int(os.environ["MAZE_ATTEMPT"])
    mib = params["first"] if attempt == 1 else params["then"]
    data = b"x" * (mib << 20)
    # What is too much is ended long before.
    time.sleep(30 if attempt == 1 or params["then"] > 500 else 0)
    return {"attempt": attempt + 0 * len(data)}


def test_the_second_attempt_claims_more_and_a_second_lack_tells_the_story_of_both(cluster: Cluster) -> None:
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        modest = workflow.add_task(hoard, inputs={"first": 200, "then": 240})
        greedy = workflow.add_task(hoard, inputs={"first": 200, "then": 900})
        run_id = workflow.run()
        messages = workflow.get_results(run_id, verbose=False)
        found = workflow.get_task_result(run_id, modest.task_id)
        failed = workflow.get_task_result(run_id, greedy.task_id)
        assert messages[-1]["type"] == "finish_workflow"
    assert found == {"task_id": modest.task_id, "result": {"attempt": 2}, "status": "success"}
    tasks = cluster.tasks(run_id)
    (lost,) = tasks[modest.task_id]["lost"]
    assert lost["kind"] == "memory"
    assert lost["error"].startswith("MemoryExceeded: took ")
    assert tasks[modest.task_id]["claim"]["cpu_mem"] >= 245, "half as much again as it had"

    claim = tasks[greedy.task_id]["claim"]["cpu_mem"]
    last = failed["error"].splitlines()[-1]
    assert last.startswith("MemoryExceeded: took "), last
    assert re.search(r"tried twice: it had \d+ MiB of 100 MiB claimed, then, alone on its node, [\d,]+ MiB of", last)
    assert last.endswith(f"MiB of {claim:,} MiB claimed")
    assert tasks[greedy.task_id]["attempt"] == 2
    assert tasks[greedy.task_id]["peak_rss_kib"] > claim * 1024


@task(inputs=[], outputs=["threads"], resources={"cpu": 2})
def look(params: dict[str, Any]) -> dict[str, Any]:
    import os

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {"threads": [os.environ[name] for name in names]}


@pytest.mark.parametrize(("cpu", "threads"), [(2, "2"), (0.5, "1"), (2.5, "2")])
def test_libraries_start_as_many_threads_as_the_task_claims_cpus(client: MaClient, cpu: float, threads: str) -> None:
    workflow = client.create_workflow()
    made = workflow.add_task(look, inputs={}, resources={"cpu": cpu})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    assert workflow.get_task_result(run_id, made.task_id)["result"] == {"threads": [threads] * 4}
