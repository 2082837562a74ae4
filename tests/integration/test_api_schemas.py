"""Answers of a whole head fit the description that it serves, every route of the table among them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from maze_head.api.routes import ROUTES
from support.api_double import asynchronous
from support.api_schema import problems
from support.api_stack import Stack, stack

WORKFLOW = "workflow_" + "ab" * 16
RUN = "run_" + "cd" * 16
TASKS = ["task_" + f"{number:02x}" * 16 for number in range(3)]
SOURCE = b"def f(params):\n    return {'y': 1}\n"
HASH = hashlib.blake2b(SOURCE, digest_size=16).hexdigest()
CODE = {"hash": HASH, "kind": "source", "python": [0, 0], "body": base64.b64encode(SOURCE).decode()}


class Checker:
    """Asks by route of the table and holds the answer against the description."""

    def __init__(self, head: Stack, document: dict[str, Any]) -> None:
        self.head = head
        self.document = document
        self.seen: set[tuple[str, str]] = set()

    async def ask(self, method: str, path: str, body: Any = None, query: str = "", **places: str) -> Any:
        operation = self.document["paths"][path][method.lower()]
        self.seen.add((method, path))
        async with self.head.http.request(method, path.format(**places) + query, json=body) as response:
            described = operation["responses"].get(str(response.status))
            assert described is not None, (response.status, await response.text())
            if method == "HEAD":
                return dict(response.headers)
            content = described["content"]
            if response.content_type == "application/octet-stream":
                assert response.content_type in content
                return await response.read()
            if response.content_type == "text/plain":
                assert "text/plain" in content
                return await response.text()
            answer = await response.json()
        schema = content["application/json"]["schema"]
        assert problems(answer, schema, self.document["components"]["schemas"]) == []
        return answer


def task(number: int, **more: Any) -> dict[str, Any]:
    return {"task_id": TASKS[number], "name": f"t{number}", "code": HASH, "outputs": ["y"], **more}


@asynchronous
async def test_every_answer_fits_its_description(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        async with head.http.get("/openapi.json") as response:
            check = Checker(head, await response.json())
        head.puppet.behaviours = {"t0": lambda x: {"y": 1}, "t1": lambda x: {"y": 2}}
        head.puppet.join(gpus=2)
        await author(check)
        await upload(check)
        await run_and_read(check)
        await share(check)
        await keys(check)
        await original(check)
        await remove(check)
        untested = {(route.method, route.path) for route in ROUTES} - check.seen
        assert untested == {  # WebSockets and files: test_api_seed.py, test_event_socket.py, test_api_seed_files.py
            ("POST", "/upload_file/{workflow_id}"),
            ("GET", "/download_file/{workflow_id}"),
            ("POST", "/cleanup_workflow/{workflow_id}"),
            ("GET", "/get_workflow_res/{workflow_id}/{run_id}"),
            ("GET", "/api/v1/events"),
        }


async def author(check: Checker) -> None:
    workflow = "/api/v1/workflows/{workflow_id}"
    at = {"workflow_id": WORKFLOW}
    await check.ask("POST", "/api/v1/workflows", {"workflow_id": WORKFLOW, "name": "demo"})
    await check.ask("POST", f"{workflow}/tasks", {"task": task(0), "codes": [CODE]}, **at)
    op = {"op": "add_task", "task": task(1, inputs={"x": {"source": f"{TASKS[0]}.output.y"}})}
    await check.ask("POST", f"{workflow}/edits", {"ops": [op], "edit_id": "once"}, **at)
    await check.ask("POST", f"{workflow}/tasks", {"task": task(2, inputs={"x": {"value": {"k": [1, None]}}})}, **at)
    await check.ask("PUT", workflow + "/tasks/{task_id}", {"task": task(2)}, **at, task_id=TASKS[2])
    await check.ask("POST", f"{workflow}/edges", {"source": TASKS[1], "target": TASKS[2]}, **at)
    assert (await check.ask("GET", f"{workflow}/edges", **at))["manual_edges"] == [[TASKS[1], TASKS[2]]]
    await check.ask("DELETE", workflow + "/edges/{source}/{target}", **at, source=TASKS[1], target=TASKS[2])
    await check.ask("DELETE", workflow + "/tasks/{task_id}", **at, task_id=TASKS[2])
    for path in (workflow, f"{workflow}/tasks", workflow + "/tasks/{task_id}", "/api/v1/workflows"):
        await check.ask("GET", path, **at, task_id=TASKS[1])


async def upload(check: Checker) -> None:
    value = {"hash": hashlib.blake2b(b"\x07", digest_size=32).hexdigest()}
    async with check.head.http.put(f"/api/v1/values/{value['hash']}", data=b"\x07") as response:
        assert response.status == 201
    assert (await check.ask("PUT", "/api/v1/values/{hash}", **value))["complete"]
    assert (await check.ask("HEAD", "/api/v1/values/{hash}", **value))["Upload-Complete"] == "true"
    inputs = {"x": {"upload": {"codec": 0, **value, "size": 1}}}
    at = {"workflow_id": WORKFLOW, "task_id": TASKS[2]}
    await check.ask("POST", "/api/v1/workflows/{workflow_id}/tasks", {"task": task(2, inputs=inputs)}, **at)
    found = await check.ask("GET", "/api/v1/workflows/{workflow_id}/tasks/{task_id}", **at)
    assert found["inputs"]["x"]["upload"] == inputs["x"]["upload"]
    await check.ask("DELETE", "/api/v1/workflows/{workflow_id}/tasks/{task_id}", **at)


async def run_and_read(check: Checker) -> None:
    at = {"run_id": RUN, "task_id": TASKS[0]}
    run = "/api/v1/runs/{run_id}"
    await check.ask("POST", "/api/v1/runs", {"workflow_id": WORKFLOW, "run_id": RUN})
    after = 0
    while not (page := await check.ask("GET", f"{run}/events", query=f"?wait=10&after={after}", **at))["sealed"]:
        after = page["last_seq"]
    for path in (
        "/api/v1/runs",
        run,
        f"{run}/explain",
        f"{run}/tasks",
        run + "/tasks/{task_id}",
        run + "/tasks/{task_id}/explain",
        run + "/tasks/{task_id}/logs",
    ):
        await check.ask("GET", path, **at)
    output = run + "/tasks/{task_id}/outputs/{key}"
    assert await check.ask("GET", output, **at, key="y") == b"\x01"
    assert (await check.ask("HEAD", output, **at, key="y"))["Content-Length"] == "1"
    await check.ask("DELETE", run, **at)
    again = await check.ask("POST", f"{run}/retry", {"from_failed": False}, **at)
    assert again["retry_of"] == RUN
    for path in ("info", "livez", "readyz", "metrics", "nodes", "nodes/{node_id}", "cluster/demand"):
        await check.ask("GET", f"/api/v1/{path}", node_id="puppet")


async def share(check: Checker) -> None:
    limit, project = "/api/v1/limits/{name}", "/api/v1/projects/{name}"
    name = {"name": "open%2Fai"}
    await check.ask("PUT", limit, {"concurrency": 20, "rate": "500/min"}, **name)
    await check.ask("PUT", project, {"weight": 2, "cap": {"cpu": 16, "tasks": 100}}, **name)
    both = await check.ask("GET", "/api/v1/limits")
    assert [each["name"] for each in both["limits"] + both["projects"]] == ["open/ai"] * 2
    assert (await check.ask("GET", "/api/v1/projects"))["projects"] == both["projects"]
    assert (await check.ask("DELETE", limit, **name))["rate"] == "500/min"
    assert (await check.ask("DELETE", project, **name))["cap"] == {"cpu": 16.0, "tasks": 100}


async def keys(check: Checker) -> None:
    """Of a head with CURVE, as far as the API sees that."""
    services, local, key = check.head.services, "0" * 40, "1" * 40
    info = msgspec.structs.replace(services.info(), endpoints={"node": "tcp://h:1", "events": "tcp://h:3"})
    object.__setattr__(services, "info", lambda: info)
    object.__setattr__(services, "let_read", lambda key, still_good: 60.0)
    check.head.core.state.keys.local = local
    assert (await check.ask("POST", "/api/v1/node-keys", {"node_id": "n/1", "key": key}))["endpoint"] == "tcp://h:1"
    assert [each["key"] for each in (await check.ask("GET", "/api/v1/node-keys"))["nodes"]] == [key]
    assert (await check.ask("DELETE", "/api/v1/node-keys/{node_id}", node_id="n%2F1"))["key"] == key
    assert (await check.ask("POST", "/api/v1/event-keys", {"key": key}))["expires_in"] == 60.0


async def remove(check: Checker) -> None:
    assert (await check.ask("DELETE", "/api/v1/runs/{run_id}/record", run_id=RUN))["run_id"] == RUN
    workflow = "workflow_" + "e" * 32
    await check.ask("POST", "/api/v1/workflows", {"workflow_id": workflow})
    await check.ask("DELETE", "/api/v1/workflows/{workflow_id}", workflow_id=workflow)


async def original(check: Checker) -> None:
    workflow = (await check.ask("POST", "/create_workflow"))["workflow_id"]
    form: dict[str, Any] = {"workflow_id": workflow, "task_type": "code", "task_name": "t0"}
    ids = [(await check.ask("POST", "/add_task", form))["task_id"] for _ in range(2)]
    form |= {"code_str": SOURCE.decode(), "source_task_id": ids[0], "target_task_id": ids[1]}
    await check.ask("POST", "/save_task", {**form, "task_id": ids[0]})
    await check.ask("POST", "/save_task_and_add_edge", {**form, "task_id": ids[1]})
    for path in ("/add_edge", "/del_edge", "/run_workflow"):
        await check.ask("POST", path, form)
    await check.ask("POST", "/del_task", {**form, "task_id": ids[1]})
    await check.ask("GET", "/get_workflow_tasks/{workflow_id}", workflow_id=workflow)
    for route in ROUTES:
        if route.status == 501:
            await check.ask("POST", route.path, {})
