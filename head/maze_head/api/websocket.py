"""WebSockets of events: of one run, where frames go out and nothing is expected in; multiplex.py has that of many.

Close codes: 1000 with an EMPTY reason after the last event of a run (the original's client takes any reason text for
a failure), 1001 when the head stops in the middle of a run, 1003 when the client sends messages, 1009 when those are
large, 1011 when the head fails or the run is removed, 4408 when the client does not take a frame for LAG_SECONDS: it
comes back with the number that it has. Each frame is awaited until the socket took it, so a slow reader holds one
frame of memory and a socket's buffer; it reads from the log at its own pace, and one that vanished is found by
heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Final

from aiohttp import ClientError, WSCloseCode, WSMsgType, web

from maze_head.api.call import Call
from maze_head.api.errors import Malformed
from maze_head.api.prompt import HEARTBEAT, PromptSocket, unsent
from maze_head.core.errors import Gone
from maze_protocol.limits import KIB

__all__ = [
    "INBOUND_LIMIT", "LAGGED", "LAG_SECONDS", "SMALL_FRAME", "Lagged", "push", "serve", "stream", "upgrade",
    "wants_upgrade",
]  # fmt: skip

logger = logging.getLogger(__name__)
INBOUND_LIMIT: Final = 64 * KIB
CLOSE_TIMEOUT: Final = 5.0
LAGGED: Final = 4408
LAG_SECONDS: Final = 10.0
SMALL_FRAME: Final = 32 * KIB
"""Into an empty buffer one of this size goes at once: no timer is needed for it."""
Frames = AsyncGenerator[bytes, None]
Socket = web.WebSocketResponse | PromptSocket
Work = Coroutine[None, None, int | None]
"""Something that ends with a close code, or None if the other side has closed."""


def wants_upgrade(request: web.Request) -> bool:
    """Tell whether the client asks for a WebSocket."""
    return request.headers.get("Upgrade", "").strip().lower() == "websocket"


class Lagged(Exception):
    """The reader does not take what is sent."""


async def stream(call: Call, frames: Frames, kind: WSMsgType, *, strict: bool = True) -> web.WebSocketResponse:
    """Upgrade, send all frames, close. With `strict`, a message from the client ends the stream with 1003.

    Raises:
        Malformed: the request is no proper upgrade.
    """
    socket = await upgrade(call)
    call.traffic.streams_open += 1
    try:
        await serve(call, socket, _send(call, socket, frames, kind), _hear(socket, strict=strict))
    finally:
        call.traffic.streams_open -= 1
    return socket


async def upgrade(call: Call) -> web.WebSocketResponse:
    """Answer the handshake.

    Raises:
        Malformed: the request is no proper upgrade.
    """
    socket = web.WebSocketResponse(
        timeout=CLOSE_TIMEOUT, heartbeat=HEARTBEAT, compress=False, max_msg_size=INBOUND_LIMIT
    )
    try:
        await socket.prepare(call.request)
    except (web.HTTPBadRequest, ValueError) as error:
        raise Malformed("bad_upgrade", f"not a WebSocket handshake: {error}") from error
    return socket


async def serve(call: Call, socket: Socket, send: Work, hear: Work) -> None:
    """Send and hear until either is done or the head stops, then say goodbye, if anybody is left to hear it."""
    code = await _first(call, send, hear)
    if code is not None:
        await _close(call, socket, code)


async def _first(call: Call, send: Work, hear: Work) -> int | None:
    """Run until the first of: all sent, the client left or spoke, the head stops. Return the close code, if any."""
    sending = asyncio.create_task(send)
    hearing = asyncio.create_task(hear)
    stopping = asyncio.create_task(call.services.shutting_down.wait())
    tasks = (sending, hearing, stopping)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not sending.cancelled():
        return sending.result()
    if not hearing.cancelled():
        return hearing.result()
    return WSCloseCode.GOING_AWAY


async def _send(call: Call, socket: web.WebSocketResponse, frames: Frames, kind: WSMsgType) -> int | None:
    try:
        async with aclosing(frames):
            async for frame in frames:
                await push(call, socket, frame, kind)
                call.traffic.frames_sent_total += 1
                # A socket that takes everything suspends nobody: a long replay must not hold up the rest of the head.
                await asyncio.sleep(0)
    except (ConnectionError, ClientError):
        return None  # the reader is gone, which costs nobody anything
    except Gone:
        return WSCloseCode.INTERNAL_ERROR  # whoever comes back is told why
    except Lagged:
        call.traffic.streams_lagged_total += 1
        return LAGGED
    except Exception:
        logger.exception("a stream of events failed: %s", ascii(call.request.path))
        return WSCloseCode.INTERNAL_ERROR
    return WSCloseCode.OK


async def push(call: Call, socket: Socket, frame: bytes, kind: WSMsgType) -> None:
    """Send one frame.

    Raises:
        Lagged: the reader did not take it in time.
        ConnectionError: the reader is gone; or aiohttp's ClientError.
    """
    transport = call.request.transport
    if len(frame) <= SMALL_FRAME and not unsent(transport):
        await socket.send_frame(frame, kind)
        return
    try:
        async with asyncio.timeout(LAG_SECONDS):
            await socket.send_frame(frame, kind)
    except TimeoutError as error:
        raise Lagged from error


async def _close(call: Call, socket: Socket, code: int) -> None:
    """Say goodbye; who does not take it in time is cut off, since a closed transport keeps what it has not sent."""
    transport = call.request.transport
    with suppress(TimeoutError):
        async with asyncio.timeout(LAG_SECONDS):
            await socket.close(code=code, drain=code != LAGGED)
    if transport is not None and unsent(transport):
        transport.abort()


async def _hear(socket: web.WebSocketResponse, *, strict: bool) -> int | None:
    """Answer pings and notice the end; return a close code if the client broke the rules."""
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            if strict:
                return WSCloseCode.UNSUPPORTED_DATA
        else:
            return None  # closed, closing or failed: aiohttp has answered it
