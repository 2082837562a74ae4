"""Why tasks wait, over HTTP and a whole head: what could never run is told within a second, or fails at once."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from maze_protocol.ids import TASK, format_id
from support.api_double import asynchronous
from support.api_stack import Stack, stack

WORKFLOW = "workflow_" + "ab" * 16
SOURCE = b"def f(params):\n    return {'y': 1}\n"
HASH = hashlib.blake2b(SOURCE, digest_size=16).hexdigest()
CODE = {"hash": HASH, "kind": "source", "python": [0, 0], "body": base64.b64encode(SOURCE).decode()}
NEVER = (
    "no node could ever take it; nearest fit: puppet has 64 CPUs, it asks for 100; "
    "ask for less, or start a node that has it"
)


def task_id(name: str) -> str:
    return format_id(hashlib.blake2b(name.encode(), digest_size=16).digest(), TASK)


async def call(head: Stack, method: str, path: str, body: Any = None) -> Any:
    async with head.http.request(method, f"/api/v1{path}", json=body) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def author(head: Stack, **cpus: float) -> None:
    """Make a workflow of independent tasks that ask for so many CPUs, and one that follows `large`."""
    tasks = [{"name": name, "resources": {"cpu": cpu}} for name, cpu in cpus.items()]
    tasks.append({"name": "after", "inputs": {"x": {"source": f"{task_id('large')}.output.y"}}})
    ops = [
        {"op": "add_task", "task": {"task_id": task_id(task["name"]), "code": HASH, "outputs": ["y"], **task}}
        for task in tasks
    ]
    await call(head, "POST", "/workflows", {"workflow_id": WORKFLOW})
    await call(head, "POST", f"/workflows/{WORKFLOW}/edits", {"ops": ops, "codes": [CODE]})


async def events(head: Stack, run_id: str) -> list[dict[str, Any]]:
    return list((await call(head, "GET", f"/runs/{run_id}/events?limit=1000"))["events"])


@asynchronous
async def test_what_no_node_could_take_is_told_at_submission_and_the_run_waits(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.join()
        await author(head, small=64, next=10, last=10, large=100)
        run = await call(head, "POST", "/runs", {"workflow_id": WORKFLOW})
        assert run["infeasible"] == [{"task_id": task_id("large"), "name": "large", "reason": NEVER}]
        path = f"/runs/{run['run_id']}"
        assert (await call(head, "GET", path))["infeasible"] == run["infeasible"]
        warned = [event["data"] for event in await events(head, run["run_id"]) if event["type"] == "task_warning"]
        assert [(data["task_name"], data["text"]) for data in warned] == [("large", NEVER)]
        one = await call(head, "GET", f"{path}/tasks/{task_id('large')}/explain")
        assert (one["code"], one["text"]) == ("infeasible", NEVER)
        assert one["nearest"] == {"node": "puppet", "lacks": {"cpu": [100.0, 64.0]}}
        await head.puppet.wait_held("small")
        whole = await call(head, "GET", f"{path}/explain")
        assert [(group["code"], group["count"]) for group in whole["groups"]] == [
            ("no_capacity_now", 2), ("infeasible", 1), ("waiting_inputs", 1),
        ]  # fmt: skip
        assert [task["name"] for task in whole["groups"][0]["tasks"]] == ["next", "last"]
        demand = await call(head, "GET", "/cluster/demand")
        assert [(each["shape"]["cpu"], each["count"], each["code"]) for each in demand["waiting"]] == [
            (10.0, 2, "no_capacity_now"), (100.0, 1, "infeasible"),
        ]  # fmt: skip


@asynchronous
async def test_a_run_that_does_not_wait_for_capacity_fails_at_once(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        await author(head, large=100)
        body = {"workflow_id": WORKFLOW, "wait_for_capacity": False}
        first = await call(head, "POST", "/runs", body)
        assert (first["status"], first["failed"], first["skipped"]) == ("failed", 1, 1)
        assert first["infeasible"][0]["reason"].startswith("no node can take work: none has joined; ")
        head.puppet.join()
        second = await call(head, "POST", "/runs", body)
        log = await events(head, second["run_id"])
        assert [event["type"] for event in log] == [
            "run_submitted", "task_exception", "task_skipped", "finish_workflow",
        ]  # fmt: skip
        assert log[1]["data"] | {"kind": "infeasible", "result": f"Infeasible: {NEVER}"} == log[1]["data"]
        again = await call(head, "POST", f"/runs/{second['run_id']}/retry", {})
        assert (again["status"], again["retry_of"]) == ("failed", second["run_id"])
        assert (await call(head, "GET", "/cluster/demand")) == {"waiting": [], "more": 0}
