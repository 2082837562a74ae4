"""Streams of a run over a whole head: order, replay, resumption, many readers, ends, restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from maze_head.api import events as events_module
from maze_protocol.http import MSGPACK_TYPE
from maze_protocol.messages import ErrorInfo, LogChunk
from support.api_calls import WORKFLOW, call, submit, task_id
from support.api_double import asynchronous
from support.api_stack import Stack, stack
from support.tokens import LINE

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"{LINE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def attach(head: Stack, run_id: str, query: str = "") -> ClientWebSocketResponse:
    return await head.http.ws_connect(f"/api/v1/runs/{run_id}/events{query}", max_msg_size=0)


async def drain(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Read to the end, which must be 1000 without a reason."""
    found: list[dict[str, Any]] = []
    while (message := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        decode = msgspec.json.decode if message.type is WSMsgType.TEXT else msgspec.msgpack.decode
        found += decode(message.data)
    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1000, "")
    return found


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


@asynchronous
async def test_a_run_is_told_in_order_live_and_replayed_to_any_number_of_readers(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.behaviours = {"a": lambda x: {"y": x["x"] + 1}, "b": lambda x: {"y": [x["x"], b"\x00"]}}
        run_id = await submit(head, a="", b="a")
        live = [await attach(head, run_id) for _ in range(3)]
        head.puppet.join()
        told = [await drain(socket) for socket in live]
        assert told[0] == told[1] == told[2] == await drain(await attach(head, run_id))
        assert [event["seq"] for event in told[0]] == list(range(1, len(told[0]) + 1))
        assert kinds(told[0]) == [
            "run_submitted", "task_leased", "start_task", "finish_task", "task_leased", "start_task", "finish_task",
            "finish_workflow",
        ]  # fmt: skip
        assert [event["data"].get("result") for event in told[0] if event["type"] == "finish_task"] == [
            {"y": 2},
            {"y": [2, {"__bytes__": "AA=="}]},
        ]


@asynchronous
async def test_a_reader_resumes_anywhere_and_one_past_the_end_is_closed_at_once(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.behaviours = {"a": lambda x: {"y": 1}}
        head.puppet.join()
        run_id = await submit(head, a="")
        whole = await drain(await attach(head, run_id))
        for after in range(len(whole) + 2):
            assert await drain(await attach(head, run_id, f"?after={after}")) == whole[after:]


@asynchronous
async def test_msgpack_carries_values_as_they_were_encoded(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.behaviours = {"a": lambda x: {"y": {"k": [1, None]}}}
        head.puppet.join()
        run_id = await submit(head, a="")
        finished = [e for e in await drain(await attach(head, run_id, "?format=msgpack")) if e["type"] == "finish_task"]
        assert finished[0]["data"]["result"] == {"y": [0, msgspec.msgpack.encode({"k": [1, None]})]}


@asynchronous
async def test_results_outlive_the_head(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.behaviours = {"a": lambda x: {"y": 7}}
        head.puppet.join()
        run_id = await submit(head, a="")
        before = await drain(await attach(head, run_id))
        tasks = await call(head, "GET", f"/runs/{run_id}/tasks")
    async with stack(tmp_path) as head:
        assert await drain(await attach(head, run_id)) == before
        assert await call(head, "GET", f"/runs/{run_id}/tasks") == tasks
        assert (await call(head, "GET", f"/runs/{run_id}"))["status"] == "finished"


@asynchronous
async def test_a_stopping_head_closes_open_streams_with_1001(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        run_id = await submit(head, a="")
        socket = await attach(head, run_id)
        assert (await socket.receive()).type is WSMsgType.TEXT
        head.services.shutting_down.set()
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "")
        async with head.http.get("/api/v1/readyz") as response:
            assert response.status == 503


@asynchronous
async def test_a_reader_that_vanishes_costs_nobody_anything(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        run_id = await submit(head, a="")
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
            writer.write(HANDSHAKE.format(path=f"/api/v1/runs/{run_id}/events").encode())
            await reader.readuntil(b"run_submitted")
            writer.transport.abort()
        head.puppet.behaviours = {"a": lambda x: {"y": 1}}
        head.puppet.join()
        assert kinds(await drain(await attach(head, run_id)))[-1] == "finish_workflow"
        while (await call(head, "GET", "/metrics"))["counters"]["http_streams_open"]:
            await asyncio.sleep(0)


@asynchronous
async def test_commits_are_encoded_once_however_many_read(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        run_id = await submit(head, a="")
        sockets = [await attach(head, run_id) for _ in range(20)]
        head.puppet.behaviours = {"a": lambda x: {"y": 1}}
        head.puppet.join()
        told = [await drain(socket) for socket in sockets]
        assert all(each == told[0] for each in told)
        counters = (await call(head, "GET", "/metrics"))["counters"]
        place = await head.hub.find(bytes.fromhex(run_id.removeprefix("run_")))
        assert place is not None
        assert counters["http_segments_encoded_total"] == len(await head.hub.read(place.run_no, 0))


@asynchronous
async def test_a_crowd_gets_every_event_in_fewer_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "CROWD", 2)
    async with stack(tmp_path) as head:
        names = [f"t{number}" for number in range(30)]
        head.puppet.behaviours = {name: lambda x: {"y": 1} for name in names}
        run_id = await submit(head, **dict(zip(names, ["", *names], strict=False)))
        sockets = [await attach(head, run_id) for _ in range(4)]
        head.puppet.join()
        told = [await drain(socket) for socket in sockets]
        assert all(each == told[0] for each in told)
        place = await head.hub.find(bytes.fromhex(run_id.removeprefix("run_")))
        assert place is not None
        counters = (await call(head, "GET", "/metrics"))["counters"]
        assert counters["http_frames_sent_total"] < 4 * len(await head.hub.read(place.run_no, 0))


@asynchronous
async def test_pages_and_long_polls_tell_the_same(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        run_id = await submit(head, a="")
        path = f"/runs/{run_id}/events"
        first = await call(head, "GET", path)
        assert (first["last_seq"], first["sealed"], kinds(first["events"])) == (1, False, ["run_submitted"])
        assert (await call(head, "GET", f"{path}?after=1"))["events"] == []
        polling = asyncio.create_task(call(head, "GET", f"{path}?after=1&wait=30"))
        head.puppet.behaviours = {"a": lambda x: {"y": 1}}
        head.puppet.join()
        page, events = await polling, first["events"]
        while True:
            events += page["events"]
            if page["sealed"]:
                break
            page = await call(head, "GET", f"{path}?after={page['last_seq']}&wait=30&limit=1")
        assert events == await drain(await attach(head, run_id))
        done = await call(head, "GET", f"{path}?after={page['last_seq']}&wait=30")
        assert (done["events"], done["sealed"]) == ([], True)
        async with head.http.get(f"/api/v1{path}", headers={"Accept": MSGPACK_TYPE}) as response:
            packed = msgspec.msgpack.decode(await response.read())
        assert kinds(packed["events"]) == kinds(events)


@asynchronous
async def test_failures_skip_dependants_and_leave_the_rest(tmp_path: Path) -> None:
    def bad(inputs: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("bad thing")

    async with stack(tmp_path) as head:
        head.puppet.behaviours = {"a": bad, "c": lambda x: {"y": 1}}
        head.puppet.join()
        run_id = await submit(head, a="", b="a", c="")
        told = await drain(await attach(head, run_id))
        by_kind = {event["type"]: event["data"] for event in told}
        assert by_kind["task_exception"]["result"].endswith("ValueError: bad thing")
        assert by_kind["task_skipped"]["because"] == task_id("a")
        assert told[-1]["data"] | {"finished": 1, "failed": 1, "skipped": 1} == told[-1]["data"]
        tasks = (await call(head, "GET", f"/runs/{run_id}/tasks"))["tasks"]
        assert {task["name"]: task["status"] for task in tasks} == {"a": "failed", "b": "skipped", "c": "finished"}
        one = await call(head, "GET", f"/runs/{run_id}/tasks/{task_id('a')}")
        assert one == tasks[0]


@asynchronous
async def test_a_waiting_task_says_why(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        run_id = await submit(head, a="", b="a")

        async def codes() -> list[str]:
            return [(await call(head, "GET", f"/runs/{run_id}/tasks/{task_id(t)}/explain"))["code"] for t in "ab"]

        assert await codes() == ["no_node", "waiting_inputs"]
        head.puppet.behaviours = {"a": lambda x: {"y": 1}, "b": lambda x: {"y": 2}}
        head.puppet.join()
        await drain(await attach(head, run_id))
        assert await codes() == ["over", "over"]


@asynchronous
async def test_cancel_is_answered_202_and_seals_the_run(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.join()
        run_id = await submit(head, a="", b="a")
        await head.puppet.wait_held("a")
        async with head.http.delete(f"/api/v1/runs/{run_id}?reason=enough") as response:
            assert response.status == 202
            assert (await response.json())["status"] in ("cancelling", "cancelled")
        told = await drain(await attach(head, run_id))
        assert kinds(told)[-1] == "cancel_workflow"
        assert next(event for event in told if event["type"] == "cancel_requested")["data"]["reason"] == "enough"
        assert (await call(head, "GET", f"/runs/{run_id}"))["status"] == "cancelled"


@asynchronous
async def test_logs_are_pulled_while_a_task_runs_and_kept_after_it(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.join()
        run_id = await submit(head, a="")
        item = await head.puppet.wait_held("a")
        path = f"/api/v1/runs/{run_id}/tasks/{task_id('a')}/logs"
        head.nodes.chunks = [LogChunk(0, item.lease, 1, 0, b"hello", end=False)]
        async with head.http.get(path) as response:
            assert (await response.read(), response.headers["Maze-Log-End"]) == (b"hello", "false")
        head.puppet.fail(item, ErrorInfo("user", "ValueError", "x"))
        await drain(await attach(head, run_id))
        async with head.http.get(f"{path}?offset=3&follow=1") as response:
            assert await response.read() == b"far"
            assert (response.headers["Maze-Log-Offset"], response.headers["Maze-Log-End"]) == ("3", "true")
        async with head.http.get(f"{path}?attempt=2") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (404, "unknown_attempt")


@asynchronous
async def test_lists_and_single_things_agree(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.join(gpus=1)
        ids = [await submit(head, a="")]
        ids += [(await call(head, "POST", "/runs", {"workflow_id": WORKFLOW}))["run_id"] for _ in range(2)]
        page = await call(head, "GET", f"/runs?limit=2&workflow_id={WORKFLOW}")
        rest = await call(head, "GET", f"/runs?before={page['next']}")
        assert [run["run_id"] for run in page["runs"] + rest["runs"]] == ids[::-1]
        workflow = await call(head, "GET", f"/workflows/{WORKFLOW}")
        assert (await call(head, "GET", f"/workflows/{WORKFLOW}/tasks"))["tasks"] == workflow["tasks"]
        assert await call(head, "GET", f"/workflows/{WORKFLOW}/tasks/{task_id('a')}") == workflow["tasks"][0]
        assert (await call(head, "GET", "/workflows"))["workflows"][0]["workflow_id"] == WORKFLOW
        node = await call(head, "GET", "/nodes/puppet")
        assert node["gpus"][0]["mem"] == 8_000
        assert (await call(head, "GET", "/info"))["nodes_ready"] == 1
