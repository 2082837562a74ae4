"""One stream: how it ends, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import socket as socket_module
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from maze_head.api import websocket
from maze_head.api.call import Call, Traffic
from maze_head.api.encoder import EventEncoder
from maze_head.api.errors import catch_errors
from maze_head.api.views import RunViews
from support.api_double import Served, asynchronous, running, serving
from support.zmq_peers import until


class Source:
    """Frames from a list, then whatever `then` does; tells whether it was closed."""

    def __init__(self, frames: list[bytes], then: Any = None) -> None:
        self.frames = frames
        self.then = then
        self.closed = asyncio.Event()

    async def read(self) -> AsyncGenerator[bytes, None]:
        try:
            for frame in self.frames:
                yield frame
            if self.then is not None:
                await self.then()
        finally:
            self.closed.set()


def app_over(head: Served, source: Source, *, strict: bool) -> tuple[web.Application, Any]:
    traffic = Traffic()

    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(head.services, EventEncoder(head.hub), RunViews(head.hub), traffic, request=request, body=None)
        return await websocket.stream(call, source.read(), WSMsgType.TEXT, strict=strict)

    app = web.Application(middlewares=[catch_errors])
    app.router.add_get("/", handle)
    return app, traffic


async def ended(source: Source, *, strict: bool = True, act: Any = None) -> tuple[list[str], Any, str]:
    """Return the frames, the close code and its reason as a client sees them."""
    async with serving() as head:
        app, traffic = app_over(head, source, strict=strict)
        async with running(app) as (_, http):
            socket = await http.ws_connect("/")
            if act is not None:
                await act(socket, head)
            frames = []
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                frames.append(message.data)
            await source.closed.wait()
        assert traffic.streams_open == 0
        return frames, socket.close_code, str(message.extra or "")


async def forever() -> None:
    await asyncio.Event().wait()


@asynchronous
async def test_the_end_is_1000_without_a_reason() -> None:
    assert await ended(Source([b"a", b"b"])) == (["a", "b"], 1000, "")


@asynchronous
async def test_a_stopping_head_says_1001() -> None:
    async def stop(socket: Any, head: Served) -> None:
        head.services.shutting_down.set()

    assert await ended(Source([], forever), act=stop) == ([], 1001, "")


@asynchronous
async def test_a_failure_says_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise KeyError("a bug")

    assert (await ended(Source([b"a"], fail)))[:2] == (["a"], 1011)
    assert "a bug" in caplog.text


@asynchronous
async def test_a_client_that_talks_is_told_1003() -> None:
    async def talk(socket: Any, head: Served) -> None:
        await socket.send_str("hello?")

    assert (await ended(Source([], forever), act=talk))[1] == 1003


@asynchronous
async def test_the_original_may_talk() -> None:
    heard = asyncio.Event()

    async def talk(socket: Any, head: Served) -> None:
        await socket.send_str("hello?")
        await socket.ping()
        heard.set()

    assert await ended(Source([b"a"], heard.wait), strict=False, act=talk) == (["a"], 1000, "")


@asynchronous
async def test_a_client_that_leaves_ends_the_reading() -> None:
    async def leave(socket: Any, head: Served) -> None:
        await socket.close()

    assert (await ended(Source([], forever), act=leave))[0] == []


@asynchronous
async def test_what_is_no_handshake_is_400() -> None:
    async with serving() as head:
        app, _ = app_over(head, Source([]), strict=True)
        async with running(app) as (_, http), http.get("/", headers={"Upgrade": "websocket"}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_upgrade")


class StoppedReader:
    """A client of the smallest buffers that shakes hands and reads only when it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket_module.socket()
        self.socket.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(HANDSHAKE)
        self.socket.settimeout(20)

    def read_all(self) -> bytes:
        """Return what comes until the connection ends."""
        self.socket.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 1 << 20)  # it is in a hurry now
        data = b""
        with suppress(ConnectionError):
            while chunk := self.socket.recv(65_536):
                data += chunk
        self.socket.close()
        return data


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize(("size", "count"), [(1_000, 20_000), (60_000, 200), (4_000_000, 3)])
@asynchronous
async def test_a_reader_that_takes_nothing_is_cut_off_and_told_so(
    size: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "LAG_SECONDS", 0.3)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.3)  # this reader answers no goodbye
    close = websocket._close

    async def patient(call: Call, *rest: Any) -> None:
        # The goodbye waits behind megabytes, which a busy machine takes its time to read.
        monkeypatch.setattr(websocket, "LAG_SECONDS", 60.0)
        await close(call, *rest)

    monkeypatch.setattr(websocket, "_close", patient)
    source = Source([bytes(size)] * count)
    async with serving() as head:
        app, traffic = app_over(head, source, strict=True)
        async with running(app) as (port, _):
            reader = await asyncio.to_thread(StoppedReader, port)
            await source.closed.wait()
            assert (traffic.streams_lagged_total, traffic.frames_sent_total < count) == (1, True)
            # It comes to itself before the connection is cut: the last thing it reads is why.
            assert (await asyncio.to_thread(reader.read_all)).endswith(b"\x88\x02" + (4408).to_bytes(2, "big"))
            await until(lambda: not traffic.streams_open)


@asynchronous
async def test_who_never_reads_again_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LAG_SECONDS", 0.1)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.1)
    transports = []
    close = websocket._close

    async def watched(call: Call, *rest: Any) -> None:
        transports.append(call.request.transport)
        await close(call, *rest)

    monkeypatch.setattr(websocket, "_close", watched)
    async with serving() as head:
        # The second one is stuck at the very end, when nothing is left to send but the goodbye.
        for source in (Source([bytes(60_000)] * 200), Source([bytes(30_000)] * 100)):
            app, traffic = app_over(head, source, strict=True)
            async with running(app) as (port, _):
                reader = await asyncio.to_thread(StoppedReader, port)
                await source.closed.wait()
                await until(lambda: not traffic.streams_open)  # noqa: B023 -- called before the next turn
                assert transports.pop().get_write_buffer_size() == 0
                reader.socket.close()
