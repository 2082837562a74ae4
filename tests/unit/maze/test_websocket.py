"""The SDK's WebSocket at a real server: whole messages, signs of life, both ways to say goodbye, and what is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from maze import _websocket
from maze._daemon.websocket import proof
from maze._websocket import WebSocket, handshake

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]
Scene = Callable[[WebSocket, list[bytes]], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def play(serve: Serve, scene: Scene) -> None:
    """Play a scene on a socket to a server that does that with it; afterwards nothing is open."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await serve(socket)
        return socket

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            socket = WebSocket(await session.get(f"http://127.0.0.1:{port}/", headers=handshake()))
            heard: list[bytes] = []
            socket.listen(heard.append)
            try:
                await scene(socket, heard)
            finally:
                await socket.close()
        await runner.cleanup()

    asyncio.run(main())


async def echo(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        await socket.send_bytes(message.data)


@pytest.mark.parametrize("sizes", [[0, 1, 125, 126, 70_000], [3_000_000]])
def test_messages_arrive_whole_and_in_order(sizes: list[int]) -> None:
    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        sent = [bytes([number]) * size for number, size in enumerate(sizes)]
        for each in sent:
            socket.send(each)
        await until(lambda: len(heard) == len(sent))
        assert heard == sent
        assert not socket.ended.done()

    play(echo, scene)


def test_a_ping_is_answered() -> None:
    answered = asyncio.Event()

    async def ask(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        await socket.ping(b"there?")
        raw = await socket.receive()
        assert (raw.type, raw.data) == (WSMsgType.BINARY, b"done"), "aiohttp takes the pong for itself"
        answered.set()
        await socket.receive()

    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        socket.send(b"go")
        socket.send(b"done")
        await answered.wait()

    play(ask, scene)


def test_the_server_says_goodbye() -> None:
    codes: list[int | None] = []

    async def leave(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        await socket.send_bytes(b"last")
        await socket.close(code=1001)
        codes.append(socket.close_code)

    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        socket.send(b"go")
        await socket.ended
        socket.send(b"nobody is there")
        assert heard == [b"last"]

    play(leave, scene)
    assert codes == [1001], "it was answered"


def test_the_client_says_goodbye() -> None:
    seen: list[Any] = []

    async def hear(socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        seen.append((message.type, message.data))

    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        await socket.close()
        assert socket.ended.done()

    play(hear, scene)
    assert seen == [(WSMsgType.CLOSE, 1000)]


@pytest.mark.parametrize("text", [True, False])
def test_what_no_head_says_ends_it(text: bool) -> None:
    async def chat(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        if text:
            await socket.send_str("hello")
        else:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.write(b"\xff\xff\xff")
        await socket.receive()

    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        socket.send(b"go")
        await socket.ended
        assert heard == []

    play(chat, scene)


def test_a_lost_connection_ends_it() -> None:
    async def drop(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.abort()

    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        socket.send(b"go")
        await socket.ended

    play(drop, scene)


def test_who_is_dropped_is_heard_no_more() -> None:
    async def scene(socket: WebSocket, heard: list[bytes]) -> None:
        def first_only(data: bytes) -> None:
            heard.append(data)
            socket.drop()

        socket.listen(first_only)
        both = b"".join(Frame(Opcode.BINARY, data).serialize(mask=False) for data in (b"one", b"two"))
        socket.get_buffer(-1)[: len(both)] = both
        socket.buffer_updated(len(both))
        assert heard == [b"one"]

    play(echo, scene)


@asynccontextmanager
async def answering(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve one connection like that; yield its URL, and wait until it is closed."""
    over = asyncio.Event()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            over.set()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with asyncio.timeout(30):
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await over.wait()
    server.close()
    await server.wait_closed()


class Silent:
    """A server that shakes hands and then says nothing, or only answers pings."""

    def __init__(self, *, alive: bool) -> None:
        self.alive = alive
        self.pings = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        (line,) = (line for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key: "))
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof(line.partition(": ")[2]).encode() + b"\r\n\r\n"
        )
        frames = Protocol(Side.SERVER)
        with suppress(ConnectionError):
            while data := await reader.read(1_000):
                frames.receive_data(data)
                self.pings += sum(
                    isinstance(each, Frame) and each.opcode is Opcode.PING for each in frames.events_received()
                )
                if self.alive:
                    writer.write(b"".join(frames.data_to_send()))


@pytest.mark.parametrize("alive", [True, False])
def test_who_gives_no_sign_of_life_is_given_up(alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_websocket, "SILENCE", 0.2 if alive else 0.02)
    monkeypatch.setattr(_websocket, "CLOSE_SECONDS", 0.02)
    other = Silent(alive=alive)

    async def main() -> None:
        async with answering(other.serve) as url, aiohttp.ClientSession() as session:
            socket = WebSocket(await session.get(url, headers=handshake()))
            if alive:
                await until(lambda: other.pings > 2)
                assert not socket.ended.done()
            else:
                await socket.ended
            await socket.close()

    asyncio.run(main())
    assert other.pings > 2 if alive else other.pings <= 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK", b"HTTP/1.1 403 Forbidden", b"HTTP/1.1 101 Switching Protocols"])
def test_what_is_no_websocket_is_refused(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        length = b"" if b"101" in answer else b"Content-Length: 0\r\n"
        writer.write(answer + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + length + b"\r\n")
        with suppress(ConnectionError):
            await reader.read()

    async def main() -> None:
        async with answering(serve) as url, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                WebSocket(await session.get(url, headers=handshake()))
            assert caught.value.status == int(answer.split()[1])
            await session.close()

    asyncio.run(main())
