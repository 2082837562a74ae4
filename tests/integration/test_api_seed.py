"""The original's client, replayed: its requests as it sends them, and its reading of the stream down to raw frames.

The class below does what maze/client/maze/workflow.py of the seed era does with `requests` and `websocket-client`: no
Content-Type that matters, `status` must be `success`, text frames until a close whose whole payload, read as one
big-endian number, equals 1000.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from maze_protocol.values import PICKLE, Value
from support.api_double import asynchronous
from support.api_stack import Stack, stack, value
from support.tokens import LINE

SOURCE = "def work(params):\n    return {'y': params['x']}\n"


class OriginalClient:
    """The original's protocol use."""

    def __init__(self, head: Stack) -> None:
        self.head = head

    async def post(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        async with self.head.http.post(path, data=None if body is None else json.dumps(body)) as response:
            return response.status, await response.json()

    async def success(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        status, data = await self.post(path, body)
        assert (status, data.get("status")) == (200, "success"), data
        return data

    async def workflow(self) -> str:
        return str((await self.success("/create_workflow"))["workflow_id"])

    async def add_task(self, workflow_id: str, name: str | None, inputs: dict[str, Any], **more: Any) -> str:
        added = {"workflow_id": workflow_id, "task_type": "code", "task_name": name}
        task_id = str((await self.success("/add_task", added))["task_id"])
        await self.success("/save_task_and_add_edge", self.definition(workflow_id, task_id, inputs, **more))
        return task_id

    def definition(self, workflow_id: str, task_id: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        params = {
            str(number): {
                "key": key,
                "input_schema": "from_task" if isinstance(given, str) and ".output." in given else "from_user",
                "data_type": "str",
                "value": given,
            }
            for number, (key, given) in enumerate(inputs.items(), 1)
        }
        return {
            "workflow_id": workflow_id,
            "task_id": task_id,
            "code_str": SOURCE,
            "code_ser": None,
            "task_input": {"input_params": params},
            "task_output": {"output_params": {"1": {"key": "y", "data_type": "str"}}},
            "resources": {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0},
            **more,
        }

    async def run(self, workflow_id: str) -> str:
        return str((await self.success("/run_workflow", {"workflow_id": workflow_id}))["run_id"])

    async def results(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        """Read the stream as websocket-client does and judge its end as the original's `on_error` does."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.head.port)
        try:
            path = f"/get_workflow_res/{workflow_id}/{run_id}"
            writer.write(
                f"GET {path} HTTP/1.1\r\nUpgrade: websocket\r\nHost: localhost:{self.head.port}\r\n"
                f"Origin: http://localhost:{self.head.port}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                f"{LINE}Sec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            assert b"permessage-deflate" not in head
            return await self._frames(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def _frames(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        while True:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            assert not second & 0x80, "servers do not mask"
            if size == 126:
                (size,) = struct.unpack(">H", await reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await reader.readexactly(8))
            payload = await reader.readexactly(size)
            if first == 0x88:
                assert int.from_bytes(payload, "big") == 1000, payload
                writer.write(b"\x88\x82" + (mask := os.urandom(4)) + bytes(b ^ mask[i] for i, b in enumerate(payload)))
                assert await reader.read() == b"", "the server hangs up after the close"
                return messages
            assert first == 0x81, "whole text frames only"
            messages.append(json.loads(payload))


def original(test: Callable[[OriginalClient], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Run a test against a whole head with a node."""

    @asynchronous
    async def run(tmp_path: Path) -> None:
        async with stack(tmp_path) as head:
            head.puppet.behaviours = {"one": lambda x: {"y": x["x"]}, "two": lambda x: {"y": [x["x"]]}}
            head.puppet.join(gpus=1, python=sys.version_info[:3])
            await test(OriginalClient(head))

    return run


@original
async def test_a_workflow_of_the_original_runs(client: OriginalClient) -> None:
    workflow = await client.workflow()
    one = await client.add_task(workflow, "one", {"x": {"deep": [1, None, True, 2.5]}})
    two = await client.add_task(workflow, "two", {"x": f"{one}.output.y"})
    async with client.head.http.get(f"/get_workflow_tasks/{workflow}") as response:
        listed = await response.json()
    assert listed == {"status": "success", "tasks": [{"id": one, "name": "one"}, {"id": two, "name": "two"}]}
    run = await client.run(workflow)
    messages = await client.results(workflow, run)
    place = {"node_ip": "10.0.0.7", "node_id": "puppet", "gpu_id": None}
    ids = {"workflow_id": workflow, "run_id": run}
    value = {"deep": [1, None, True, 2.5]}
    assert messages == [
        {"type": "start_task", "data": {**ids, "task_id": one, **place}},
        {"type": "finish_task", "data": {**ids, "task_id": one, "result": {"y": value}}},
        {"type": "start_task", "data": {**ids, "task_id": two, **place}},
        {"type": "finish_task", "data": {**ids, "task_id": two, "result": {"y": [value]}}},
        {"type": "finish_workflow", "data": {"run_id": run}},
    ]
    assert await client.results("any", run) == messages  # a second reader, where the original fell silent


@original
async def test_a_pickled_function_reaches_the_node_untouched(client: OriginalClient) -> None:
    body = b"\x80\x05opaque to the head"
    workflow = await client.workflow()
    await client.add_task(workflow, "one", {"x": 1}, code_ser=base64.b64encode(body).decode())
    messages = await client.results(workflow, await client.run(workflow))
    assert messages[1]["data"]["result"] == {"y": 1}
    assert [(code.kind, code.body.body) for code in client.head.puppet.codes] == [("pickle", body)]


@original
async def test_a_task_may_be_saved_again(client: OriginalClient) -> None:
    workflow = await client.workflow()
    task_id = await client.add_task(workflow, "one", {"x": 1})
    await client.success("/save_task", client.definition(workflow, task_id, {"x": 2}))
    messages = await client.results(workflow, await client.run(workflow))
    assert messages[1]["data"]["result"] == {"y": 2}


@original
async def test_results_of_odd_kinds(client: OriginalClient) -> None:
    behaviours = client.head.puppet.behaviours
    behaviours["bare"] = lambda x: {"": value([1, 2])}  # how a worker returns what is no dict
    behaviours["pickled"] = lambda x: {"y": Value(PICKLE, 3, b"abc"), "undeclared": 1}
    behaviours["nan"] = lambda x: {"y": float("inf")}
    workflow = await client.workflow()
    for name in ("bare", "pickled", "nan"):
        await client.add_task(workflow, name, {})
    messages = await client.results(workflow, await client.run(workflow))
    results = [message["data"]["result"] for message in messages if message["type"] == "finish_task"]
    assert results == [[1, 2], {"y": {"__pickle__": {"size": 3}}, "undeclared": 1}, {"y": float("inf")}]


@original
async def test_a_failure_is_told_and_other_branches_go_on(client: OriginalClient) -> None:
    def bad(inputs: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("bad thing")

    client.head.puppet.behaviours["bad"] = bad
    workflow = await client.workflow()
    failing = await client.add_task(workflow, "bad", {})
    await client.add_task(workflow, "two", {"x": f"{failing}.output.y"})
    await client.add_task(workflow, "one", {"x": 1})
    messages = await client.results(workflow, await client.run(workflow))
    kinds = [message["type"] for message in messages]
    assert sorted(kinds) == ["finish_task", "finish_workflow", "start_task", "start_task", "task_exception"]
    assert kinds[-1] == "finish_workflow"
    told = next(message for message in messages if message["type"] == "task_exception")
    assert told["data"]["task_id"] == failing
    assert told["data"]["result"].startswith("Traceback (most recent call last):\n")
    assert told["data"]["result"].endswith("ValueError: bad thing")


@original
async def test_a_cancelled_run_ends_without_finish_workflow(client: OriginalClient) -> None:
    workflow = await client.workflow()
    await client.add_task(workflow, "held", {})
    run = await client.run(workflow)
    await client.head.puppet.wait_held("held")
    reading = asyncio.create_task(client.results(workflow, run))
    async with client.head.http.delete(f"/api/v1/runs/{run}") as response:
        assert response.status == 202
    messages = await reading
    assert [message["type"] for message in messages] == ["start_task", "task_exception"]
    assert messages[1]["data"]["result"].startswith("Cancelled: ")


@original
async def test_a_reused_result_begins_and_finishes_like_any_other(client: OriginalClient) -> None:
    def bad(inputs: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("bad thing")

    client.head.puppet.behaviours["bad"] = bad
    workflow = await client.workflow()
    good = await client.add_task(workflow, "one", {"x": 1})
    failing = await client.add_task(workflow, "bad", {"x": f"{good}.output.y"})
    run = await client.run(workflow)
    before = await client.results(workflow, run)
    async with client.head.http.post(f"/api/v1/runs/{run}/retry", json={"from_failed": True}) as response:
        again = (await response.json())["run_id"]
    messages = await client.results(workflow, again)
    assert [(message["type"], message["data"].get("task_id")) for message in messages] == [
        ("start_task", good), ("finish_task", good), ("start_task", failing), ("task_exception", failing),
        ("finish_workflow", None),
    ]  # fmt: skip
    assert messages[1]["data"]["result"] == before[1]["data"]["result"]
    assert messages[0]["data"] | {"node_ip": "", "node_id": "", "gpu_id": None} == messages[0]["data"]


@original
async def test_gpu_id_names_the_device(client: OriginalClient) -> None:
    workflow = await client.workflow()
    await client.add_task(workflow, "one", {"x": 1}, resources={"gpu": 1})
    messages = await client.results(workflow, await client.run(workflow))
    assert messages[0]["data"]["gpu_id"] == 0


@original
async def test_partial_definitions_get_defaults(client: OriginalClient) -> None:
    workflow = await client.workflow()
    added = {"workflow_id": workflow, "task_type": "code", "task_name": None}
    task_id = (await client.success("/add_task", added))["task_id"]
    await client.success("/save_task", {"workflow_id": workflow, "task_id": task_id, "code_str": SOURCE})
    async with client.head.http.get(f"/get_workflow_tasks/{workflow}") as response:
        assert (await response.json())["tasks"] == [{"id": task_id, "name": "unnamed"}]


@original
async def test_edges_and_deletions(client: OriginalClient) -> None:
    workflow = await client.workflow()
    one = await client.add_task(workflow, "one", {"x": 1})
    two = await client.add_task(workflow, "two", {"x": 1})
    edge = {"workflow_id": workflow, "source_task_id": one, "target_task_id": two}
    for _ in range(2):
        assert await client.success("/add_edge", edge) == {"status": "success"}
    back = {"workflow_id": workflow, "source_task_id": two, "target_task_id": one}
    status, data = await client.post("/add_edge", back)
    assert (status, list(data)) == (409, ["detail"])
    await client.success("/del_edge", edge)
    assert (await client.post("/del_edge", edge))[0] == 404
    named = {"workflow_id": workflow, "task_id": one}
    assert await client.success("/del_task", named) == {"status": "success", "task_id": one}
    assert (await client.post("/del_task", named))[0] == 404


@original
async def test_the_cluster_killers_of_the_original_are_answers(client: OriginalClient) -> None:
    workflow = await client.workflow()
    one = await client.add_task(workflow, "one", {"x": 1})
    await client.add_task(workflow, "two", {"x": f"{one}.output.y"})
    definition = client.definition(workflow, one, {"x": 1})
    for change, status in (
        ({"resources": {"gpu": -1}}, 422),
        ({"resources": {"cpus": 1}}, 422),
        ({"resources": {"cpu": "1"}}, 422),
        ({"code_str": None}, 422),
        ({"code_str": "x = 1"}, 422),
        ({"code_ser": "%%%"}, 422),
        ({"task_id": "task_" + "0" * 32}, 404),
        ({"workflow_id": "nope"}, 404),
        ({"task_input": {"input_params": {"1": {"key": "x", "input_schema": "from_task", "value": 5}}}}, 422),
        ({"task_input": {"input_params": {"1": {"key": "x", "input_schema": "from_moon", "value": 5}}}}, 422),
        ({"task_input": {"input_params": {"1": {"key": "x", "input_schema": "from_user"}}}}, 422),
    ):
        assert (await client.post("/save_task", {**definition, **change}))[0] == status, change
    assert (await client.post("/del_task", {"workflow_id": workflow, "task_id": one}))[0] == 409
    bad_type = {"workflow_id": workflow, "task_type": "langgraph", "task_name": "x"}
    assert (await client.post("/add_task", bad_type))[0] == 422
    empty = {"workflow_id": await client.workflow()}
    assert (await client.post("/run_workflow", empty))[0] == 422
    assert len(await client.results(workflow, await client.run(workflow))) == 5


@pytest.mark.parametrize("path", [
    "/add_langgraph_task", "/run_langgraph_task", "/get_head_ray_port", "/start_worker", "/start_llm_instance",
    "/stop_llm_instance",
])  # fmt: skip
def test_what_is_not_served_says_so(path: str, tmp_path: Path) -> None:
    @asynchronous
    async def ask() -> None:
        async with stack(tmp_path) as head:
            status, data = await OriginalClient(head).post(path, {"instance_id": "x"})
            assert (status, list(data)) == (501, ["detail"])
            assert "not served" in data["detail"]

    ask()


@original
async def test_an_output_that_is_missing_is_none_and_the_log_says_so(client: OriginalClient) -> None:
    client.head.puppet.behaviours["silent"] = lambda x: {}
    workflow = await client.workflow()
    silent = await client.add_task(workflow, "silent", {})
    await client.add_task(workflow, "one", {"x": f"{silent}.output.y"})
    run = await client.run(workflow)
    assert (await client.results(workflow, run))[-2]["data"]["result"] == {"y": None}
    async with client.head.http.get(f"/api/v1/runs/{run}/events") as response:
        events = (await response.json())["events"]
    warnings = [event["data"]["text"] for event in events if event["type"] == "task_warning"]
    assert len(warnings) == 1
    assert "no output 'y'" in warnings[0]
