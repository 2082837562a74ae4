"""Real ZeroMQ peers on loopback for tests of the head's socket shells: a node's DEALER, a subscriber, plain TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import zmq
import zmq.asyncio

from maze_protocol.codec import Envelope
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import Message

PATIENCE = 20.0


@asynccontextmanager
async def zmq_context() -> AsyncIterator[zmq.Context[Any]]:
    """Yield a context; all its sockets must be closed at the end."""
    context: zmq.Context[Any] = zmq.Context()
    try:
        yield context
    except BaseException:
        context.destroy(0)  # the test has failed already; do not wait for sockets that it left open
        raise
    context.term()


class Peer:
    """A socket that talks the wire without any session: the test says what it sends."""

    def __init__(self, kind: int, endpoint: str, *options: tuple[int, int]) -> None:
        self._context = zmq.asyncio.Context()
        self.socket = self._context.socket(kind)
        self.socket.linger = 0
        for option, value in options:
            self.socket.setsockopt(option, value)
        self.socket.connect(endpoint)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close(0)
        self._context.term()

    async def say(self, message: Message, session: int = 0, seq: int = 0, ack: int = 0, payloads: Any = ()) -> None:
        """Send one message in an envelope of our choice."""
        await self.say_frames(encode_frames(Envelope(session, seq, ack, message), payloads))

    async def say_frames(self, frames: list[bytes]) -> None:
        """Send any frames."""
        await self.socket.send_multipart(frames)

    async def hear(self) -> Message:
        """Return the next message."""
        return (await self.hear_envelope()).message

    async def hear_envelope(self) -> Envelope:
        """Return the next envelope."""
        decoded = decode_frames(await self.hear_frames())
        assert decoded is not None
        return decoded[0]

    async def hear_frames(self) -> list[bytes]:
        """Return the next frames."""
        async with asyncio.timeout(PATIENCE):
            return list(await self.socket.recv_multipart())


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until the condition holds, letting the loop turn; return its value."""
    async with asyncio.timeout(PATIENCE):
        while not (value := condition()):
            await asyncio.sleep(0.001)
    return value


class BlobHost:
    """The head's port for objects, played by a test."""

    def __init__(self, endpoint: str = "") -> None:
        """Bind, to an address that was free a moment ago or to any."""
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(endpoint or "tcp://127.0.0.1:*")
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def __enter__(self) -> BlobHost:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close(0)
        self._context.term()

    async def say(self, link: bytes, message: Message, *payloads: bytes) -> None:
        """Send one message to who opened that link."""
        await self._socket.send_multipart([link, *encode_frames(Envelope(0, 0, 0, message), payloads)])

    async def hear(self) -> tuple[bytes, Any]:
        """Return the next message and its link."""
        link, *frames = await self.hear_frames()
        decoded = decode_frames(frames)
        assert decoded is not None
        return link, decoded[0].message

    async def hear_frames(self) -> list[bytes]:
        """Return the next frames."""
        async with asyncio.timeout(PATIENCE):
            return list(await self._socket.recv_multipart())
