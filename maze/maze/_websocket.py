"""A WebSocket of the SDK: aiohttp opens it, and what comes then is heard in the very callback that received it.

aiohttp's own reader hands each message to a queue, wakes a task for it, and sets its timers anew: three rounds of the
loop and a hundred calls for messages that are the whole of a short run. Frames are maze_protocol.websocket's.

The other end is asked for a sign of life after SILENCE seconds without one, and given up after as many again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import aiohttp

from maze_protocol.limits import KIB
from maze_protocol.websocket import BINARY, CLOSE, PING, PONG, BadWebSocket, FrameReader, frame

__all__ = ["WebSocket", "handshake", "proof"]

SILENCE: Final = 10.0
BUFFER_BYTES: Final = 256 * KIB
CLOSE_SECONDS: Final = 2.0
"""How long the other end may take to say goodbye, too."""
_NORMAL: Final = (1000).to_bytes(2, "big")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def handshake() -> dict[str, str]:
    """Return the headers of a request for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
    }  # fmt: skip


def proof(key: str) -> str:
    """Return by which a server shows that it has understood a handshake with that key (RFC 6455, section 1.3)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class WebSocket(asyncio.BufferedProtocol):
    """One that is open.

    Args:
        response: the answer to a request with the headers of `handshake`.

    Raises:
        aiohttp.WSServerHandshakeError: it is no WebSocket; the answer is closed then.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        try:
            _check(response)
            link = response.connection
            if link is None or link.transport is None:
                raise aiohttp.ServerDisconnectedError
        except BaseException:
            response.close()
            raise
        self._response = response
        self._hear: Callable[[bytes], None] = lambda _: None
        self._transport = link.transport
        self._reader = FrameReader(masked=False)
        # Kept: one that is made for each piece of news would be mapped and unmapped by the kernel each time.
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._said_goodbye = False
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done once nothing more will be heard."""
        self._heard = True
        """Something came since the last look."""
        self._asked = False
        """It was asked for a sign of life at the last look."""
        self._timer = loop.call_later(SILENCE, self._look)
        # aiohttp's protocol is to know when the connection is lost, and waits for nothing else any more.
        self._before = link.protocol
        if self._before is not None:
            self._before.read_timeout = None
        self._transport.set_protocol(self)

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """Call that with each message from now on; nothing comes before the other end was told something."""
        self._hear = hear

    def send(self, data: bytes) -> None:
        """Send a message; nothing happens if nobody is there any more, which `ended` tells."""
        self._write(BINARY, data)

    def drop(self) -> None:
        """Hear nothing more."""
        self._end()

    async def close(self) -> None:
        """Say goodbye, and close."""
        self._goodbye(_NORMAL)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await asyncio.shield(self.ended)
        finally:
            self._end()
            self._response.close()

    # -- asyncio's protocol

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the transport is to put bytes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take so many bytes, which the transport has put there."""
        self._heard = True
        try:
            messages = self._reader.feed(bytes(self._buffer[:nbytes]))
        except BadWebSocket as error:
            self._goodbye(error.close.to_bytes(2, "big"))
            self._end()
            return
        for kind, payload in messages:
            if self.ended.done():
                return
            self._take(kind, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; called by the transport."""
        self._end()
        if self._before is not None:
            self._before.connection_lost(exc)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == BINARY:
            self._hear(payload)
        elif kind == PING:
            self._write(PONG, payload)
        elif kind != PONG:
            # Farewell, or a text, which no head sends.
            self._goodbye(payload[:2] if kind == CLOSE else _NORMAL)
            self._end()

    def _write(self, kind: int, payload: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(frame(kind, payload, os.urandom(4)))

    def _goodbye(self, code: bytes) -> None:
        if not self._said_goodbye:
            self._said_goodbye = True
            self._write(CLOSE, code)

    def _look(self) -> None:
        """See whether the other end is alive."""
        if not self._heard and self._asked:
            self._transport.abort()
            return
        if not self._heard:
            self._write(PING, b"")
        self._asked, self._heard = not self._heard, False
        self._timer = asyncio.get_running_loop().call_later(SILENCE, self._look)

    def _end(self) -> None:
        self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(None)


def _check(response: aiohttp.ClientResponse) -> None:
    key = response.request_info.headers.get("Sec-WebSocket-Key", "")
    if response.status != 101 or response.headers.get("Sec-WebSocket-Accept", "") != proof(key):
        status, message = response.status, "not the answer to a WebSocket's handshake"
        raise aiohttp.WSServerHandshakeError(
            response.request_info, response.history, status=status, message=message, headers=response.headers
        )
