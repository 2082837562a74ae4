"""Requests to a whole head of support.api_stack: workflows of tasks that a puppet runs."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from maze_protocol.ids import TASK, format_id
from support.api_stack import Stack

WORKFLOW = "workflow_" + "ab" * 16
SOURCE = b"def f(params):\n    return {'y': 1}\n"
HASH = hashlib.blake2b(SOURCE, digest_size=16).hexdigest()
CODE = {"hash": HASH, "kind": "source", "python": [0, 0], "body": base64.b64encode(SOURCE).decode()}


def task_id(name: str) -> str:
    return format_id(hashlib.blake2b(name.encode(), digest_size=16).digest(), TASK)


async def call(head: Stack, method: str, path: str, body: Any = None) -> Any:
    async with head.http.request(method, f"/api/v1{path}", json=body) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def submit(head: Stack, **sources: str) -> str:
    """Run a workflow whose tasks are the keywords; a value names the producer of its input, or is empty."""
    ops = [
        {"op": "add_task", "task": {
            "task_id": task_id(name), "name": name, "code": HASH, "outputs": ["y"],
            "inputs": {"x": {"source": f"{task_id(source)}.output.y"} if source else {"value": 1}},
        }}
        for name, source in sources.items()
    ]  # fmt: skip
    await call(head, "POST", "/workflows", {"workflow_id": WORKFLOW})
    await call(head, "POST", f"/workflows/{WORKFLOW}/edits", {"ops": ops, "codes": [CODE]})
    run = await call(head, "POST", "/runs", {"workflow_id": WORKFLOW})
    return str(run["run_id"])
