"""One stream: how it ends, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from maze_head.api import websocket
from maze_head.api.call import Call, Traffic
from maze_head.api.encoder import EventEncoder
from maze_head.api.errors import catch_errors
from maze_head.api.views import RunViews
from support.api_double import Served, asynchronous, running, serving


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
