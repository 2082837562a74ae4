"""W7 and W8 on Maze: memory of what is queued, the rate beside a backlog, the death of a worker."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from _cluster import Cluster, run, values_of
from _functions import memory_settled
from _maze_tasks import clocked, identity, stamped, wait_for
from _stamps import after_kill, read_stamps, running_one

__all__ = ["killed", "queued", "steady"]


def queued(on: Cluster, tasks: int) -> dict[str, Any]:
    """Bytes per queued task of one int input: growth of resident memory, the client's own share apart."""
    run(on.client, lambda workflow: [workflow.add_task(identity, inputs={"x": number}) for number in range(100)])
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "open"
        blocked = on.client.create_workflow()
        for _ in range(2):
            blocked.add_task(wait_for, inputs={"path": str(gate)})
        blocking = blocked.run()
        before = memory_settled(on.resident_bytes)
        workflow = on.client.create_workflow()
        for number in range(tasks):
            workflow.add_task(identity, inputs={"x": number})
        waiting = workflow.run()
        after = memory_settled(on.resident_bytes)
        on.client.cancel_run(waiting)
        gate.touch()
        blocked.get_results(blocking, verbose=False)
    grown = {name: round((after[name] - before[name]) / tasks) for name in before}
    client = grown.pop("client")
    return {"bytes_per_task": sum(grown.values()), "client_bytes": client, "head_bytes": grown["head"], "parts": grown}


def steady(on: Cluster, tasks: int) -> dict[str, Any]:
    """No-op tasks per second in the middle half of a run, by the clocks of the tasks themselves."""

    def add(workflow: Any) -> None:
        for number in range(tasks):
            workflow.add_task(clocked, inputs={"x": number})

    run(on.client, lambda workflow: [workflow.add_task(clocked, inputs={"x": number}) for number in range(1_000)])
    before = on.cpu_seconds()["head"]
    messages = run(on.client, add)
    used = on.cpu_seconds()["head"] - before
    assert len(values_of(messages)) == tasks
    times = sorted(each["data"]["result"]["at"] for each in messages if each["type"] == "finish_task")
    first, last = tasks // 4, 3 * tasks // 4
    return {"steady_per_second": (last - first) / (times[last] - times[first]), "head_cpu_us": 1e6 * used / tasks}


def killed(on: Cluster, tasks: int) -> dict[str, Any]:
    """What happens when a worker is killed in the midst of tasks of ten milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stamps"
        workflow = on.client.create_workflow()
        for number in range(tasks):
            workflow.add_task(stamped, inputs={"x": number, "path": str(path)})
        began = time.perf_counter()
        run_id = workflow.run()
        victim = running_one(path, tasks // 3)
        at = time.time()
        os.kill(victim, signal.SIGKILL)
        values = values_of(workflow.get_results(run_id, verbose=False))
        seconds = time.perf_counter() - began
        told = after_kill(read_stamps(path), victim, at)
    return {"finished": len(values), "seconds": seconds, **told}
