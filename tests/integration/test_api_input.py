"""The rows of the catalogue of bad input that concern HTTP, each asked over a real socket of a whole head.

No row may be answered 500, hang, or harm the next request.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

from maze_protocol.limits import MAX_REQUEST_BODY
from support.api_double import asynchronous
from support.api_stack import Stack, stack
from support.tokens import SHOWN

JSON = {"Content-Type": "application/json"}
WORKFLOW = "workflow_" + "ab" * 16
TASKS = ["task_" + f"{number:02x}" * 16 for number in range(4)]
NOBODY = "ff" * 16
SOURCE = b"def f(params):\n    return {'y': 1}\n"


def code(body: bytes = SOURCE, kind: str = "source") -> dict[str, Any]:
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return {"hash": digest, "kind": kind, "python": [3, 11], "body": base64.b64encode(body).decode()}


def task(number: int, **more: Any) -> dict[str, Any]:
    return {"task_id": TASKS[number], "name": f"t{number}", "code": code()["hash"], "outputs": ["y"], **more}


class Asker:
    """Asks a head and insists on the one error body."""

    def __init__(self, head: Stack) -> None:
        self.head = head
        self.http: ClientSession = head.http

    async def ok(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        async with self.http.request(method, f"/api/v1{path}", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def refused(self, method: str, path: str, **request: Any) -> tuple[int, str, dict[str, Any]]:
        async with self.http.request(method, f"/api/v1{path}", **request) as response:
            assert response.content_type == "application/json", await response.text()
            error = (await response.json())["error"]
        assert error["message"]
        assert error["request_id"].startswith("req_")
        assert "Traceback" not in error["message"]
        await self.ok("GET", "/livez")
        return response.status, error["code"], error

    async def posted(self, data: bytes, path: str = "/workflows", **headers: str) -> tuple[int, str]:
        status, code, _ = await self.refused("POST", path, data=data, headers={**JSON, **headers})
        return status, code

    async def edited(self, *ops: dict[str, Any], codes: Any = ()) -> tuple[int, str, dict[str, Any]]:
        body = {"ops": list(ops), "codes": list(codes)}
        return await self.refused("POST", f"/workflows/{WORKFLOW}/edits", json=body)

    async def workflow(self, *tasks: dict[str, Any]) -> None:
        await self.ok("POST", "/workflows", {"workflow_id": WORKFLOW}, 201)
        ops = [{"op": "add_task", "task": each} for each in tasks]
        await self.ok("POST", f"/workflows/{WORKFLOW}/edits", {"ops": ops, "codes": [code()]})


def asking(test: Any) -> Any:
    """Run a test against a whole head of its own."""

    @asynchronous
    async def run(tmp_path: Path) -> None:
        async with stack(tmp_path) as head:
            await test(Asker(head))

    run.__name__ = test.__name__
    return run


@asking
async def test_row_2_foreign_pages_and_names(ask: Asker) -> None:
    assert (await ask.refused("GET", "/info", headers={"Origin": "http://evil.example"}))[:2] == (
        403,
        "origin_not_allowed",
    )
    assert (await ask.refused("DELETE", "/runs/x", headers={"Origin": "null"}))[:2] == (403, "origin_not_allowed")
    assert (await ask.refused("GET", "/info", headers={"Host": "evil.example"}))[:2] == (421, "host_not_allowed")
    async with ask.http.get("/api/v1/info", headers={"Host": "head.example", "Origin": "http://head.example"}) as own:
        assert own.status == 200
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        with pytest.raises(WSServerHandshakeError) as caught:
            await ask.http.ws_connect(f"/api/v1/runs/run_{NOBODY}/events", headers=headers)
        assert caught.value.status in (403, 421)


@asking
async def test_rows_3_to_8_and_10_unreadable_json(ask: Asker) -> None:
    for data, expected in (
        (b"nonsense", "bad_json"),
        (b"", "bad_json"),
        (b"{} {}", "bad_json"),
        (b'{"name": "\xff\xfe"}', "bad_encoding"),
        (b"[" * 100_000, "too_deep"),
        (b'{"name": NaN}', "not_finite_number"),
        (b'{"name": ' + b"1" * 5_000 + b"}", "number_too_long"),
        (b'{"name": "\\ud800"}', "bad_unicode"),
        (b'{"name": "a", "name": "b"}', "duplicate_key"),
    ):
        assert await ask.posted(data) == (400, expected), data[:40]


@asking
async def test_row_5_deep_literals(ask: Asker) -> None:
    await ask.workflow()
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    op = {"op": "add_task", "task": task(0, inputs={"x": {"value": deep}})}
    status, name, error = await ask.edited(op, codes=[code()])
    assert (status, name) == (422, "invalid_value")
    assert error["op"] == 0


@asking
async def test_row_9_control_characters(ask: Asker) -> None:
    assert await ask.posted(b'{"name": "a\\u0000b"}') == (400, "bad_name")
    await ask.workflow()
    bad = {"op": "add_task", "task": {**task(0), "name": "a\n\x1b[31mb"}}
    status, name, error = await ask.edited(bad, codes=[code()])
    assert (status, name, error["field"]) == (400, "bad_name", "$.ops[0].task.name")


@asking
async def test_row_11_too_large(ask: Asker) -> None:
    headers = {**JSON, "Content-Length": str(MAX_REQUEST_BODY + 1)}
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.head.port)
    lines = [f"{name}: {text}" for name, text in {"Host": "localhost", **SHOWN, **headers}.items()]
    writer.write("\r\n".join(["POST /api/v1/workflows HTTP/1.1", *lines, "", ""]).encode())
    assert b"413" in await reader.readline()  # answered before a byte of the body came
    writer.close()
    await writer.wait_closed()


@asking
async def test_row_12_compressed_bodies(ask: Asker) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    began = time.process_time()
    assert await ask.posted(bomb, **{"Content-Encoding": "gzip"}) == (415, "encoding_not_supported")
    assert time.process_time() - began < 0.5


@asking
async def test_row_13_content_types(ask: Asker) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"):
        status, name, _ = await ask.refused("POST", "/workflows", data=b"{}", headers={"Content-Type": kind})
        assert (status, name) == (415, "unsupported_media_type")


@asking
async def test_row_14_fields(ask: Asker) -> None:
    await ask.workflow()
    for body, field in (
        (
            {"ops": [{"op": "add_task", "task": {**task(0), "resources": {"cpu": True}}}]},
            "$.ops[0].task.resources[...]",
        ),
        ({"ops": [{"op": "add_task", "task": {"name": "x"}}]}, "$.ops[0].task"),
        ({"ops": [{"op": "add_tsk"}]}, "$.ops[0].op"),
        ({"opps": []}, "$"),
    ):
        path = f"/workflows/{WORKFLOW}/edits"
        status, name, error = await ask.refused("POST", path, json=body)
        assert (status, name, error["field"]) == (422, "invalid_body", field)


@asking
async def test_row_15_unknown_things(ask: Asker) -> None:
    await ask.workflow(task(0))
    for path, name in (
        (f"/workflows/workflow_{NOBODY}", "unknown_workflow"),
        (f"/workflows/{WORKFLOW}/tasks/task_{NOBODY}", "unknown_task"),
        (f"/runs/run_{NOBODY}", "unknown_run"),
        (f"/runs/run_{NOBODY}/tasks", "unknown_run"),
        (f"/runs/run_{NOBODY}/events", "unknown_run"),
        (f"/runs/run_{NOBODY}/tasks/task_{NOBODY}/logs", "unknown_run"),
        (f"/runs/run_{NOBODY}/tasks/task_{NOBODY}/explain", "unknown_run"),
        ("/nodes/nobody", "unknown_node"),
    ):
        status, found, error = await ask.refused("GET", path)
        assert (status, found) == (404, name), path
        assert NOBODY in error["message"] or "nobody" in error["message"]
    with pytest.raises(WSServerHandshakeError) as caught:
        await ask.http.ws_connect(f"/api/v1/runs/run_{NOBODY}/events")
    assert caught.value.status == 404


@asking
async def test_row_16_malformed_ids(ask: Asker) -> None:
    for text in (
        "x",
        "..%2Fx",
        "run_" + "g" * 32,
        "run_" + "A" * 32,
        "run_" + "0" * 31,
        "a" * 4_000,
        "%00",
        "%F0%9F%98%80",
    ):
        assert (await ask.refused("GET", f"/runs/{text}"))[:2] == (400, "bad_id"), text
        assert (await ask.refused("GET", f"/workflows/{text}"))[:2] == (400, "bad_id"), text
    assert (await ask.refused("POST", "/runs", json={"workflow_id": "../x"}))[:2] == (400, "bad_id")
    async with ask.http.get("/api/v1/runs/" + "a" * 20_000) as response:
        assert response.status == 400


@asking
async def test_row_17_paths_and_methods(ask: Asker) -> None:
    assert (await ask.refused("GET", "/nothing"))[:2] == (404, "unknown_path")
    async with ask.http.patch("/api/v1/workflows") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"


@asking
async def test_rows_18_19_21_graph_rules(ask: Asker) -> None:
    reference = {"x": {"source": f"{TASKS[0]}.output.y"}}
    await ask.workflow(task(0), task(1, inputs=reference), task(2))
    edges = f"/workflows/{WORKFLOW}/edges"
    for source, target in ((1, 0), (0, 0)):
        status, name, error = await ask.refused("POST", edges, json={"source": TASKS[source], "target": TASKS[target]})
        assert (status, name) == (409, "cycle")
        assert "->" in error["message"]
        assert "op" not in error
    for _ in range(2):
        await ask.ok("POST", edges, {"source": TASKS[1], "target": TASKS[2]})
    assert (await ask.refused("DELETE", f"{edges}/{TASKS[0]}/{TASKS[2]}"))[:2] == (404, "unknown_edge")
    assert (await ask.refused("DELETE", f"{edges}/{TASKS[0]}/{TASKS[1]}"))[:2] == (409, "edge_referenced")
    status, name, error = await ask.refused("DELETE", f"/workflows/{WORKFLOW}/tasks/{TASKS[0]}")
    assert (status, name) == (409, "task_referenced")
    assert "t1" in error["message"]
    await ask.ok("DELETE", f"{edges}/{TASKS[1]}/{TASKS[2]}")


@asking
async def test_row_20_edges_to_foreign_tasks_and_to_those_of_nobody(ask: Asker) -> None:
    await ask.workflow(task(0))
    other = "workflow_" + "cd" * 16
    await ask.ok("POST", "/workflows", {"workflow_id": other}, 201)
    edge = {"source": TASKS[0], "target": TASKS[0]}
    assert (await ask.refused("POST", f"/workflows/{other}/edges", json=edge))[:2] == (422, "foreign_task")
    status, name, error = await ask.edited({"op": "add_edge", "source": TASKS[0], "target": f"task_{NOBODY}"})
    assert (status, name) == (404, "unknown_task")
    assert error["field"] == "$.ops[0].target"


@asking
async def test_row_22_an_edit_does_not_touch_a_running_run(ask: Asker) -> None:
    await ask.workflow(task(0))
    run = await ask.ok("POST", "/runs", {"workflow_id": WORKFLOW}, 201)
    await ask.ok("POST", f"/workflows/{WORKFLOW}/tasks", {"task": task(1)}, 201)
    again = await ask.ok("POST", "/runs", {"workflow_id": WORKFLOW}, 201)
    assert (run["tasks"], again["tasks"]) == (1, 2)
    assert len((await ask.ok("GET", f"/runs/{run['run_id']}/tasks"))["tasks"]) == 1


@asking
async def test_row_23_an_empty_workflow(ask: Asker) -> None:
    await ask.ok("POST", "/workflows", {"workflow_id": WORKFLOW}, 201)
    assert (await ask.refused("POST", "/runs", json={"workflow_id": WORKFLOW}))[:2] == (422, "empty_workflow")


@asking
async def test_rows_24_and_25_references(ask: Asker) -> None:
    await ask.workflow(task(0))
    bad = {"op": "add_task", "task": task(1, inputs={"x": {"source": f"{TASKS[0]}.output.yy"}})}
    status, name, error = await ask.edited(bad, codes=[code()])
    assert (status, name, error["field"]) == (422, "unknown_output", "$.ops[0].task.inputs.x")
    assert "'y'" in error["hint"]
    both = {"op": "add_task", "task": task(1, inputs={"x": {"value": 1, "source": "s"}})}
    assert (await ask.edited(both, codes=[code()]))[:2] == (422, "invalid_task")


@asking
async def test_row_47_what_a_stream_is_told(ask: Asker) -> None:
    await ask.workflow(task(0))
    run = await ask.ok("POST", "/runs", {"workflow_id": WORKFLOW}, 201)
    path = f"/api/v1/runs/{run['run_id']}/events"
    for send, expected in (("send_str", 1003), ("send_bytes", 1003), ("large", 1009)):
        socket = await ask.http.ws_connect(path)
        if send == "large":
            await socket.send_str("x" * 1_000_000)
        else:
            await getattr(socket, send)("garbage" if send == "send_str" else b"\x00garbage")
        while (message := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            pass
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        assert socket.close_code == expected


@asking
async def test_row_48_where_a_stream_may_begin(ask: Asker) -> None:
    await ask.workflow(task(0))
    run = await ask.ok("POST", "/runs", {"workflow_id": WORKFLOW}, 201)
    path = f"/runs/{run['run_id']}/events"
    for after in ("-1", "x", "1.5", "9" * 400, "%00"):
        assert (await ask.refused("GET", f"{path}?after={after}"))[:2] == (400, "bad_query")
        with pytest.raises(WSServerHandshakeError) as caught:
            await ask.http.ws_connect(f"/api/v1{path}?after={after}")
        assert caught.value.status == 400
    assert (await ask.refused("GET", f"{path}?format=xml", headers={"Upgrade": "websocket"}))[:2] == (400, "bad_query")
    beyond = await ask.http.ws_connect(f"/api/v1{path}?after=1000")
    with pytest.raises(asyncio.TimeoutError):
        await beyond.receive(timeout=0.1)
    await beyond.close()


@asking
async def test_a_bad_handshake_is_400(ask: Asker) -> None:
    await ask.workflow(task(0))
    run = await ask.ok("POST", "/runs", {"workflow_id": WORKFLOW}, 201)
    good = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    for change in ({}, {"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Version": "99"}, {"Sec-WebSocket-Key": "\xe9"}):
        headers = {**good, **change}
        status, name, _ = await ask.refused("GET", f"/runs/{run['run_id']}/events", headers=headers)
        assert (status, name) == (400, "bad_upgrade")


@asking
async def test_row_49_code_that_is_none(ask: Asker) -> None:
    await ask.workflow()
    add = {"op": "add_task", "task": task(0)}
    for change, name in (
        ({"body": "%%%"}, "invalid_body"),
        ({"body": ""}, "invalid_code"),
        ({"hash": "00" * 16}, "invalid_code"),
        ({"kind": "exe"}, "invalid_code"),
    ):
        assert (await ask.edited(add, codes=[{**code(), **change}]))[:2] == (422, name)


@asking
async def test_row_54_source_that_is_no_function(ask: Asker) -> None:
    await ask.workflow()
    for source in (
        b"def f(:\n",
        b"x = 1\n",
        b"\x00",
        b"\xff",
        b"(" * 5_000,
        b"-" * 100_000 + b"1",
        b"class A:\n  def f(s): ...\n",
    ):
        status, name, error = await ask.edited(codes=[code(source)])
        assert (status, name, error["field"]) == (422, "invalid_source", "$.codes[0].body"), source[:20]
    assert "line 2" in (await ask.edited(codes=[code(b"x = 1\ndef f(:\n")]))[2]["message"]


@asking
async def test_row_63_names(ask: Asker) -> None:
    await ask.workflow()
    for name in ("a\nb", "\x1b[31mred", "\u202eforged", "\x00", "n" * 10_000, ""):
        status, refused, error = await ask.edited({"op": "add_task", "task": {**task(0), "name": name}}, codes=[code()])
        assert (status, refused) == (400, "bad_name"), name
        assert error["message"].isprintable()
        form = {"workflow_id": WORKFLOW, "task_type": "code", "task_name": name}
        async with ask.http.post("/add_task", json=form) as response:
            assert response.status == (200 if not name else 400), name
    await ask.ok(
        "POST", f"/workflows/{WORKFLOW}/tasks", {"task": {**task(0), "name": "名前 🔗"}, "codes": [code()]}, 201
    )
    async with ask.http.post("/api/v1/workflows", json={"na\x1b[31mme\u202e": 1}) as response:
        assert (await response.json())["error"]["message"].isprintable()


@asking
async def test_an_original_request_is_as_safe(ask: Asker) -> None:
    posts = ("add_task", "save_task", "save_task_and_add_edge", "add_edge", "del_edge", "del_task", "run_workflow")
    for path in posts:
        for data in (
            b"",
            b"[]",
            b"{",
            b"[" * 100_000,
            b'{"workflow_id": 5}',
            b'{"workflow_id": "nope"}',
        ):
            async with ask.http.post(f"/{path}", data=data) as response:
                assert 400 <= response.status < 500, (path, data[:20])
                assert list(await response.json()) == ["detail"]
    async with ask.http.get("/get_workflow_tasks/nope") as response:
        assert response.status == 404
    with pytest.raises(WSServerHandshakeError) as caught:
        await ask.http.ws_connect("/get_workflow_res/nope/nope")
    assert caught.value.status == 404


@asking
async def test_limits_and_projects_out_of_range(ask: Asker) -> None:
    for path, body, expected in (
        ("/limits/a", {}, (422, "invalid_limit", "$")),
        ("/limits/a", {"rate": "fast"}, (422, "invalid_limit", "$.rate")),
        ("/limits/a", {"concurrency": -1}, (422, "invalid_limit", "$.concurrency")),
        ("/limits/a", {"concurrency": 2**63}, (422, "invalid_limit", "$.concurrency")),
        ("/limits/a", {"concurrency": 1.5}, (422, "invalid_body", "$.concurrency")),
        ("/limits/a", {"units": 1}, (422, "invalid_body", "$")),
        ("/limits/%00", {"concurrency": 1}, (400, "bad_name", "")),
        ("/limits/" + "a" * 300, {"concurrency": 1}, (400, "bad_name", "")),
        ("/projects/a", {"weight": 0}, (422, "invalid_project", "$.weight")),
        ("/projects/a", {"cap": {"cpu": -1}}, (422, "invalid_project", "$.cap.cpu")),
        ("/projects/a", {"cap": {"disk": 1}}, (422, "invalid_body", "$.cap")),
    ):
        status, name, error = await ask.refused("PUT", path, json=body)
        assert (status, name, error.get("field", "")) == expected, path
    for kind in ("limit", "project"):
        assert (await ask.refused("DELETE", f"/{kind}s/nobody"))[:2] == (404, f"unknown_{kind}")
        assert (await ask.refused("PUT", f"/{kind}s/"))[:2] == (404, "unknown_path")
    assert await ask.ok("GET", "/limits") == {"limits": [], "projects": []}
