"""A WebSocket whose messages are heard in the very callback that received their bytes.

aiohttp's own reader hands each to a queue, wakes a task for it and sets its timers anew, which is a tenth of what the
submission of a short run costs. This one is asked for less: no fragments are sent, nothing is compressed. Who is silent
for HEARTBEAT seconds is asked for a sign of life, and gone after half of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import ClientConnectionResetError, web

from maze._daemon.websocket import Frames, Side, proof
from maze_head.api.errors import Malformed

__all__ = ["HEARTBEAT", "Hear", "PromptSocket", "unsent"]

HEARTBEAT: Final = 20.0
CLOSE_SECONDS: Final = 5.0
"""How long the client may take to say goodbye, too."""
Hear = Callable[[int, bytes], int | None]
"""Takes a text or binary message; returns the code to close with if that breaks the rules."""


class PromptSocket(web.StreamResponse):
    """An answer to a handshake.

    Args:
        hear: called with each message of the client, by its opcode.
        limit: bytes of a message at most.
    """

    def __init__(self, hear: Hear, limit: int) -> None:
        super().__init__(status=101)
        self._hear = hear
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        """Done once nothing more will be heard; with the code to close with, if the client broke the rules."""
        self._gone: asyncio.Future[None] = self._loop.create_future()
        """The client has said goodbye, or is gone without."""
        self._transport: asyncio.WriteTransport | None = None
        self._frames: Frames | None = None
        self._heard = True
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, request: web.Request) -> None:
        """Answer the handshake.

        Raises:
            Malformed: the request is no proper one.
            aiohttp.ClientConnectionResetError: nobody is there any more.
        """
        if not web.WebSocketResponse(compress=False).can_prepare(request):
            raise Malformed("bad_upgrade", "not a WebSocket handshake of version 13")
        accept = proof(request.headers["Sec-WebSocket-Key"])
        self.headers.update({"Upgrade": "websocket", "Connection": "upgrade", "Sec-WebSocket-Accept": accept})
        self.force_close()
        await self.prepare(request)
        if request.transport is None:
            raise ClientConnectionResetError("the client has gone")
        self._transport = request.transport
        self._frames = Frames(request.transport, Side.SERVER, self._limit)
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
        if self._frames is None or not self._frames.send(data, kind):
            raise ClientConnectionResetError("Cannot write to closing transport")

    async def send_frame(self, data: bytes, kind: int) -> None:
        """Send a message; return when the socket has taken most of it."""
        self.send_now(data, kind)
        if self._payload_writer is not None:
            await self._payload_writer.drain()

    async def close(self, *, code: int, drain: bool = True) -> None:
        """Say goodbye, and close; `drain`: once what was sent has left."""
        self._end(None)
        if self._frames is None or self._transport is None:
            return
        self._frames.goodbye(code)
        with suppress(ConnectionError, TimeoutError):
            if drain and self._payload_writer is not None:
                await self._payload_writer.drain()
            if not self._transport.is_closing():
                async with asyncio.timeout(CLOSE_SECONDS):
                    await asyncio.shield(self._gone)
        self._transport.close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: frames have no end but the goodbye; called by aiohttp."""

    # -- what aiohttp's protocol asks of a parser

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes."""
        assert self._frames is not None, "it is open"
        self._heard = True
        for kind, message in self._frames.receive(data):
            if not self.ended.done():
                self._take(kind, message)
        if self._frames.left:
            self._leave()
        elif self._frames.broken is not None:
            self._end(self._frames.broken)
        return False, b""

    def feed_eof(self) -> None:
        """Note that the connection is lost."""
        self._leave()

    def _take(self, kind: int, message: bytes) -> None:
        code = self._hear(kind, message)
        if code is not None:
            self._end(code)

    def _look(self) -> None:
        """See whether the client is alive."""
        if self._frames is None or self._transport is None or self.ended.done():
            return
        if not self._heard and self._asked:
            self._transport.abort()
            return
        self._asked, self._heard = not self._heard, False
        if self._asked:
            self._frames.ping()
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
