"""One socket for the events of many runs over a whole head: order, restarts, slow readers, runs that are gone."""

from __future__ import annotations

import asyncio
import socket as socket_module
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from maze import MaClient, task
from maze_head.api import websocket
from maze_protocol.streams import Asked, End, Subscribe, Told, Unsubscribe
from support.api_calls import WORKFLOW, call, submit
from support.api_double import asynchronous
from support.api_stack import Stack, stack
from support.cluster import Cluster, start_cluster, wait_until
from support.tokens import LINE


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 2 * params["x"]}


@task(inputs=["path"], outputs=["y"])
def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
    import pathlib
    import time

    while not pathlib.Path(params["path"]).exists():
        time.sleep(0.01)
    return {"y": 1}


async def say(socket: ClientWebSocketResponse, *asked: Asked) -> None:
    for each in asked:
        await socket.send_bytes(msgspec.msgpack.encode(each))


async def ends(socket: ClientWebSocketResponse, count: int) -> tuple[dict[int, list[Any]], dict[int, End]]:
    """Return the events of each subscription until so many have ended, and their ends."""
    got: dict[int, list[Any]] = {}
    over: dict[int, End] = {}
    while len(over) < count:
        message = await socket.receive()
        assert message.type is WSMsgType.BINARY, message
        told = msgspec.msgpack.decode(message.data, type=Told)
        if isinstance(told, End):
            over[told.id] = told
        else:
            got.setdefault(told.id, []).extend(told.events)
            if told.sealed:
                over[told.id] = End(told.id, "sealed", 200)
    return got, over


async def again(head: Stack) -> str:
    return str((await call(head, "POST", "/runs", {"workflow_id": WORKFLOW}))["run_id"])


@asynchronous
async def test_many_runs_and_some_that_are_none_share_a_socket(tmp_path: Path) -> None:
    async with stack(tmp_path) as head:
        head.puppet.behaviours = {"a": lambda x: {"y": 1}, "b": lambda x: {"y": 2}}
        head.puppet.join()
        gone = await submit(head, a="", b="a")
        socket = await head.http.ws_connect("/api/v1/events", max_msg_size=0)
        await say(socket, Subscribe(0, gone))
        await ends(socket, 1)
        await call(head, "DELETE", f"/runs/{gone}/record")
        runs = [await again(head) for _ in range(50)]
        await say(socket, Subscribe(100, gone), Subscribe(101, "run_" + "ee" * 16))
        await say(socket, *(Subscribe(number, run_id) for number, run_id in enumerate(runs)))
        got, over = await ends(socket, 52)
        assert {over[number].code for number in range(50)} == {"sealed"}
        assert (over[100].status, over[101].status) == (410, 404)
        for number, run_id in enumerate(runs):
            assert [event.seq for event in got[number]] == list(range(1, 9))
            assert {msgspec.msgpack.decode(event.data)["run_id"] for event in got[number]} == {run_id}
        await say(socket, Subscribe(0, runs[0]), Unsubscribe(0), Subscribe(1, runs[1], 7))
        got, _ = await ends(socket, 1)
        assert [event.type for event in got[1]] == ["finish_workflow"]
        await socket.close()


class StoppedReader:
    """A client that subscribes and reads nothing until it is told to."""

    def __init__(self, port: int, run_id: str) -> None:
        self.socket = socket_module.socket()
        self.socket.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(30)
        self.socket.sendall(
            f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{LINE}"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        body = msgspec.msgpack.encode(Subscribe(1, run_id))
        # A masked frame whose mask changes nothing.
        self.socket.sendall(bytes([0x82, 0x80 | len(body)]) + bytes(4) + body)

    def read_all(self) -> bytes:
        """Return what comes until the connection ends."""
        data = b""
        with suppress(ConnectionError):
            while chunk := self.socket.recv(65_536):
                data += chunk
        self.socket.close()
        return data


@asynchronous
async def test_who_takes_nothing_is_cut_off_with_4408_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "LAG_SECONDS", 1.0)
    async with stack(tmp_path) as head:
        large = "x" * 60_000
        names = {f"t{number}": "" for number in range(150)}
        head.puppet.behaviours = {name: lambda x: {"y": large} for name in names}
        run_id = await submit(head, **names)
        reader = await asyncio.to_thread(StoppedReader, head.port, run_id)
        socket = await head.http.ws_connect("/api/v1/events", max_msg_size=0)
        await say(socket, Subscribe(1, run_id))
        head.puppet.join()
        got, _ = await ends(socket, 1)
        assert [event.seq for event in got[1]] == list(range(1, 3 * len(names) + 3))
        while not (await call(head, "GET", "/metrics"))["counters"]["http_streams_lagged_total"]:
            await asyncio.sleep(0.01)
        data = await asyncio.to_thread(reader.read_all)
        assert len(data) < 150 * 60_000, "it was not kept for it"
        await socket.close()


def test_a_restart_of_the_head_in_mid_stream_is_survived_by_all_streams(tmp_path: Path) -> None:
    async def sockets(cluster: Cluster) -> int:
        async with (
            aiohttp.ClientSession(headers=cluster.shown) as http,
            http.get(f"{cluster.url}/api/v1/metrics") as response,
        ):
            return int((await response.json())["counters"]["http_streams_open"])

    with start_cluster() as cluster, MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        gate = workflow.add_task(wait_for_file, inputs={"path": str(tmp_path / "go")})
        last = workflow.add_task(double, inputs={"x": gate.outputs["y"]})
        runs = [workflow.run() for _ in range(3)]
        streams = [client.subscribe(run_id) for run_id in runs]
        early = [next(stream) for stream in streams]
        assert [event["type"] for event in early] == ["run_submitted"] * 3
        wait_until(lambda: asyncio.run(sockets(cluster)) == 3, "all subscribed")
        cluster.restart_head()
        (tmp_path / "go").touch()
        for run_id, first, stream in zip(runs, early, streams, strict=True):
            told = [first, *stream]
            assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
            assert told[-1]["type"] == "finish_workflow"
            assert workflow.get_results(run_id, verbose=False)[-1]["type"] == "finish_workflow"
            assert workflow.get_task_result(run_id, last.task_id)["result"] == {"y": 2}  # type: ignore[index]
