"""The head's end of an event socket: heard at once, asked for signs of life, and closed properly from either side."""

from __future__ import annotations

import asyncio
from asyncio.sslproto import _SSLProtocolTransport
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientConnectionResetError, ClientSession, ClientWebSocketResponse, WSMsgType, web

from maze._daemon.websocket import BINARY, TEXT
from maze_head.api import prompt
from maze_head.api.errors import Malformed
from maze_head.api.prompt import PromptSocket, unsent

Scene = Callable[[PromptSocket, ClientWebSocketResponse], Awaitable[None]]
LIMIT = 1_000


def play(scene: Scene, heard: list[tuple[int, bytes]], *, answers_pings: bool = True) -> None:
    """Play a scene with both ends of a socket; what is heard is noted, and a text breaks the rules."""
    opened: list[PromptSocket] = []

    def hear(kind: int, message: bytes) -> int | None:
        heard.append((kind, message))
        return 1003 if kind == TEXT else None

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = PromptSocket(hear, LIMIT)
        await socket.open(request)
        opened.append(socket)
        code = await socket.ended
        await socket.close(code=1000 if code is None else code)
        return socket

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with asyncio.timeout(30), ClientSession() as session:
            client = await session.ws_connect(url, autoping=answers_pings)
            await until(lambda: bool(opened))
            try:
                await scene(opened[0], client)
            finally:
                await client.close()
        await runner.cleanup()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def test_messages_go_both_ways() -> None:
    heard: list[tuple[int, bytes]] = []

    async def scene(socket: PromptSocket, client: ClientWebSocketResponse) -> None:
        for each in (b"", b"one", b"x" * 130):
            await client.send_bytes(each)
        await until(lambda: len(heard) == 3)
        assert heard == [(BINARY, b""), (BINARY, b"one"), (BINARY, b"x" * 130)]
        socket.send_now(b"at once", BINARY)
        await socket.send_frame(bytes(3_000_000), BINARY)
        assert (await client.receive()).data == b"at once"
        assert len((await client.receive()).data) == 3_000_000
        assert socket.unsent == 0

    play(scene, heard)


def test_a_ping_is_answered() -> None:
    async def scene(socket: PromptSocket, client: ClientWebSocketResponse) -> None:
        await client.ping(b"there?")
        message = await client.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"there?")

    play(scene, [], answers_pings=False)


@pytest.mark.parametrize(("text", "code"), [("hello", 1003), ("x" * (LIMIT + 1), 1009)])
def test_who_breaks_the_rules_is_told_by_the_code(text: str, code: int) -> None:
    heard: list[tuple[int, bytes]] = []

    async def scene(socket: PromptSocket, client: ClientWebSocketResponse) -> None:
        await client.send_str(text)
        await client.send_bytes(b"too late")
        message = await client.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, code)
        await client.close()

    play(scene, heard)
    assert heard == ([(TEXT, b"hello")] if code == 1003 else [])


def test_the_client_says_goodbye() -> None:
    async def scene(socket: PromptSocket, client: ClientWebSocketResponse) -> None:
        assert await client.close(code=1001)
        assert client.close_code == 1001, "it was answered"
        assert await socket.ended is None
        with pytest.raises(ClientConnectionResetError):
            socket.send_now(b"nobody is there", BINARY)

    play(scene, [])


def test_a_client_that_vanishes_ends_it() -> None:
    async def scene(socket: PromptSocket, client: ClientWebSocketResponse) -> None:
        transport = client._response.connection.transport  # type: ignore[union-attr]  # it is open
        assert transport is not None
        transport.abort()
        assert await socket.ended is None

    play(scene, [])


@pytest.mark.parametrize("alive", [True, False])
def test_who_gives_no_sign_of_life_is_gone(alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "HEARTBEAT", 0.4 if alive else 0.02)

    async def scene(socket: PromptSocket, client: ClientWebSocketResponse) -> None:
        if not alive:
            assert await socket.ended is None
            return
        for _ in range(3):
            message = await client.receive()
            assert message.type is WSMsgType.PING
            await client.pong(message.data)
        assert not socket.ended.done()

    play(scene, [], answers_pings=False)


def test_what_is_no_handshake_is_refused() -> None:
    async def main() -> None:
        from aiohttp.test_utils import make_mocked_request

        with pytest.raises(Malformed, match="handshake"):
            await PromptSocket(lambda *_: None, LIMIT).open(make_mocked_request("GET", "/"))

    asyncio.run(main())


def test_a_tls_transport_that_was_closed_twice_has_nothing_to_send() -> None:
    transport = _SSLProtocolTransport(asyncio.new_event_loop(), None)
    transport._closed = True
    with pytest.raises(AttributeError):
        transport.get_write_buffer_size()  # what makes this necessary
    assert unsent(transport) == 0
    assert unsent(None) == 0
    transport._loop.close()
