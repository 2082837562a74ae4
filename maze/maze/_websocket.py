"""A WebSocket of the SDK: aiohttp opens it, and what comes then is heard in the very callback that received it.

aiohttp's own reader hands each message to a queue, wakes a task for it, and sets its timers anew: three rounds of the
loop and a hundred calls for messages that are the whole of a short run.

The other end is asked for a sign of life after SILENCE seconds without one, and given up after as many again.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import aiohttp

from maze._daemon.websocket import BINARY, Frames, Side, proof
from maze_protocol.limits import KIB

__all__ = ["WebSocket", "handshake"]

SILENCE: Final = 10.0
BUFFER_BYTES: Final = 256 * KIB
CLOSE_SECONDS: Final = 2.0
"""How long the other end may take to say goodbye, too."""
_NORMAL: Final = 1000


def handshake() -> dict[str, str]:
    """Return the headers of a request for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
    }  # fmt: skip


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
        self._frames = Frames(link.transport, Side.CLIENT)
        # Kept: one that is made for each piece of news would be mapped and unmapped by the kernel each time.
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
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
        self._frames.send(data)

    def drop(self) -> None:
        """Hear nothing more."""
        self._end()

    async def close(self) -> None:
        """Say goodbye, and close."""
        self._frames.goodbye(_NORMAL)
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
        for kind, message in self._frames.receive(bytes(self._buffer[:nbytes])):
            if self.ended.done():
                return
            self._take(kind, message)
        if self._frames.left or self._frames.broken:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; called by the transport."""
        self._end()
        if self._before is not None:
            self._before.connection_lost(exc)

    def _take(self, kind: int, message: bytes) -> None:
        if kind == BINARY:
            self._hear(message)
        else:  # a text, which no head sends
            self._frames.goodbye(_NORMAL)
            self._end()

    def _look(self) -> None:
        """See whether the other end is alive."""
        if not self._heard and self._asked:
            self._transport.abort()
            return
        if not self._heard:
            self._frames.ping()
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
