"""A WebSocket whose messages are heard in the very callback that received their bytes.

aiohttp's own reader hands each to a queue, wakes a task for it and sets its timers anew, which is a tenth of what the
submission of a short run costs. This one is asked for less: no fragments are sent, nothing is compressed. Frames are
maze_protocol.websocket's. Who is silent for HEARTBEAT seconds is asked for a sign of life, and gone after half of that.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import ClientConnectionResetError, WSCloseCode, web

from maze_head.api.errors import Malformed
from maze_protocol.websocket import CLOSE, PING, PONG, BadWebSocket, FrameReader, close_code, frame

__all__ = ["HEARTBEAT", "Hear", "PromptSocket", "unsent"]

HEARTBEAT: Final = 20.0
CLOSE_SECONDS: Final = 5.0
"""How long the client may take to say goodbye, too."""
Hear = Callable[[int, bytes], int | None]
"""Takes a text or binary message; returns the code to close with if that breaks the rules."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class PromptSocket(web.StreamResponse):
    """An answer to a handshake.

    Args:
        hear: called with each message of the client, by its opcode.
        limit: bytes of a message at most.
    """

    def __init__(self, hear: Hear, limit: int) -> None:
        super().__init__(status=101)
        self._hear = hear
        self._reader = FrameReader(masked=True, limit=limit)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        """Done once nothing more will be heard; with the code to close with, if the client broke the rules."""
        self._gone: asyncio.Future[None] = self._loop.create_future()
        """The client has said goodbye, or is gone without."""
        self._transport: asyncio.WriteTransport | None = None
        self._heard = True
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, request: web.Request) -> None:
        """Answer the handshake.

        Raises:
            Malformed: the request is no proper one.
        """
        if not web.WebSocketResponse(compress=False).can_prepare(request):
            raise Malformed("bad_upgrade", "not a WebSocket handshake of version 13")
        key = request.headers["Sec-WebSocket-Key"].encode()
        proof = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
        self.headers.update({"Upgrade": "websocket", "Connection": "upgrade", "Sec-WebSocket-Accept": proof})
        self.force_close()
        await self.prepare(request)
        self._transport = request.transport
        self._timer = self._loop.call_later(HEARTBEAT, self._look)
        request.protocol.set_parser(self)  # type: ignore[arg-type]  # it has the two methods that are called

    @property
    def unsent(self) -> int:
        """Return how many bytes wait for the socket to take them."""
        return unsent(self._transport)

    def send_now(self, data: bytes, kind: int) -> None:
        """Send a message, as far as the socket takes it now.

        Raises:
            aiohttp.ClientConnectionResetError: nobody is there any more.
        """
        if self._transport is None or self._transport.is_closing():
            raise ClientConnectionResetError("Cannot write to closing transport")
        self._transport.write(frame(kind, data))

    async def send_frame(self, data: bytes, kind: int) -> None:
        """Send a message; return when the socket has taken most of it."""
        self.send_now(data, kind)
        if self._payload_writer is not None:
            await self._payload_writer.drain()

    async def close(self, *, code: int, drain: bool = True) -> None:
        """Say goodbye, and close; `drain`: once what was sent has left."""
        self._end(None)
        with suppress(ConnectionError, TimeoutError):
            self.send_now(int(code).to_bytes(2, "big"), CLOSE)
            if drain and self._payload_writer is not None:
                await self._payload_writer.drain()
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(self._gone)
        if self._transport is not None:
            self._transport.close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: frames have no end but the goodbye; called by aiohttp."""

    # -- what aiohttp's protocol asks of a parser

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes."""
        self._heard = True
        try:
            for kind, payload in self._reader.feed(data):
                self._take(kind, payload)
        except BadWebSocket as error:
            self._end(error.close)
        return False, b""

    def feed_eof(self) -> None:
        """Note that the connection is lost."""
        self._leave()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == CLOSE:
            self._answer_goodbye(payload)
        elif self.ended.done() or kind == PONG:
            return
        elif kind == PING:
            with suppress(ConnectionError):
                self.send_now(payload, PONG)
        else:
            code = self._hear(kind, payload)
            if code is not None:
                self._end(code)

    def _answer_goodbye(self, payload: bytes) -> None:
        if not self.ended.done():
            code = close_code(payload) if len(payload) > 1 else WSCloseCode.OK
            with suppress(ConnectionError):
                self.send_now(code.to_bytes(2, "big"), CLOSE)
            if self._transport is not None:
                self._transport.close()
        self._leave()

    def _look(self) -> None:
        """See whether the client is alive."""
        if self._transport is None or self.ended.done():
            return
        if not self._heard and self._asked:
            self._transport.abort()
            return
        self._asked, self._heard = not self._heard, False
        if self._asked:
            with suppress(ConnectionError):
                self.send_now(b"", PING)
        self._timer = self._loop.call_later(HEARTBEAT / 2 if self._asked else HEARTBEAT, self._look)

    def _leave(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self._end(None)

    def _end(self, code: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(code)


def unsent(transport: asyncio.WriteTransport | None) -> int:
    """Return how many bytes wait for the socket to take them."""
    if transport is None:
        return 0
    try:
        return transport.get_write_buffer_size()
    except AttributeError:
        return 0  # asyncio's transport of TLS, closed twice, has forgotten where its bytes were
