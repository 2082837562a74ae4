"""One WebSocket for all runs of a client, their submissions and subscriptions: maze_protocol.streams is its language.

Each subscription is a task that reads committed segments and takes its turn at the socket, one frame at a time, in the
order in which they asked: a busy run does not shut out the others. What holds for the WebSocket of one run holds
here: a frame is awaited until the socket took it, who takes nothing for LAG_SECONDS is closed with 4408, 1001 comes
when the head stops, 1009 for what is too large. 1003 answers text, 1007 what is no message of the language, 1008 a
number that is in use. A subscription that is refused, or fails, ends alone; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from aiohttp import ClientError, WSCloseCode, WSMsgType, web

from maze._daemon.websocket import BINARY
from maze_head.api.access import require
from maze_head.api.call import Call, raw_id
from maze_head.api.errors import INTERNAL, status_of
from maze_head.api.events import frames, open_run
from maze_head.api.frames import numbered
from maze_head.api.prompt import PromptSocket
from maze_head.api.render import LOG, PACKED, STORY
from maze_head.api.runs import post_run
from maze_head.api.websocket import INBOUND_LIMIT, LAGGED, SMALL_FRAME, Lagged, push, serve
from maze_head.core.errors import Rejected
from maze_head.tokens import SUBMIT
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN
from maze_protocol.streams import (
    KINDS,
    MAX_SEQ,
    MAX_SUBSCRIPTIONS,
    SEALED,
    Asked,
    End,
    Submit,
    Submitted,
    Subscribe,
    Unsubscribe,
)

__all__ = ["all_events"]

logger = logging.getLogger(__name__)
Work = Callable[[Subscribe | Submit], Awaitable[None]]
TOO_MANY: Final = "too_many_subscriptions"
_decode: Final = msgspec.msgpack.Decoder(Asked).decode
_encode: Final = msgspec.msgpack.Encoder().encode


async def all_events(call: Call) -> web.StreamResponse:
    """Serve the subscriptions of one client until it leaves."""
    fmt = LOG if call.number("log", 0, 0, MAX_SEQ) >= KINDS else PACKED
    connection = _Connection(call, fmt)
    try:
        await connection.serve()
    finally:
        await connection.end()
    return connection.socket


class _Connection:
    """A WebSocket and its subscriptions."""

    def __init__(self, call: Call, fmt: str) -> None:
        self._call = call
        self.socket = PromptSocket(self._hear, INBOUND_LIMIT)
        self._format = fmt
        self._readers: dict[int, asyncio.Task[None]] = {}
        """By the numbers in use; the last word of a subscription is sent when its number is free."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        """Whose turn it is to send; who waits is served in order."""
        self._broken: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Answer the handshake, and obey the client until it leaves."""
        await self.socket.open(self._call.request)
        await serve(self._call, self.socket, self._trouble(), self._left())

    async def _trouble(self) -> int | None:
        """Wait until the client takes nothing any more, or is gone; return the close code."""
        return await self._broken

    async def _left(self) -> int | None:
        """Wait until nothing more is heard; return a close code if the client broke the rules."""
        return await self.socket.ended

    def _hear(self, kind: int, message: bytes) -> int | None:
        """Obey the client; return a close code if it broke the rules."""
        if kind != BINARY:
            return WSCloseCode.UNSUPPORTED_DATA
        try:
            asked: Asked = _decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return WSCloseCode.INVALID_TEXT
        return None if self._obey(asked) else WSCloseCode.POLICY_VIOLATION

    async def end(self) -> None:
        """End all subscriptions."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _obey(self, asked: Asked) -> bool:
        if isinstance(asked, Unsubscribe):
            reader = self._readers.pop(asked.id, None)
            if reader is not None:
                reader.cancel()
            return True
        if asked.id in self._readers:
            return False
        if len(self._readers) >= MAX_SUBSCRIPTIONS:
            self._begin(asked, self._refuse)
        elif isinstance(asked, Submit):
            self._submit(asked)
        else:
            self._begin(asked, self._serve)
        return True

    def _submit(self, asked: Submit) -> None:
        """Run a workflow; where that takes no waiting, answer in the call that received the submission."""
        self._call.traffic.requests_total += 1
        try:
            require(self._call.request, SUBMIT)
            reply = post_run(self._call, asked.request)
        except Exception as error:  # noqa: BLE001 -- message handler: it is told, and logged, as a later one would be
            reply = asyncio.get_running_loop().create_future()
            reply.set_exception(error)
        if not self._clear or not reply.done() or reply.exception() is not None:
            self._begin(asked, partial(self._serve, reply=reply))
            return
        try:
            self._send_now(_encode(Submitted(asked.id, reply.result())))
        except ConnectionError:
            self._break(None)
            return
        if asked.follow:
            self._begin(_following(asked, reply.result()), self._serve)

    def _begin(self, asked: Subscribe | Submit, work: Work) -> None:
        reader = asyncio.create_task(self._attend(work, asked))
        self._readers[asked.id] = reader
        self._tasks.add(reader)
        reader.add_done_callback(self._tasks.discard)

    async def _attend(self, work: Work, asked: Subscribe | Submit) -> None:
        """Do what was asked for; who takes nothing, or is gone, ends the connection."""
        try:
            await work(asked)
        except (ConnectionError, ClientError):
            self._break(None)  # the client is gone, which costs nobody anything
        except Lagged:
            self._call.traffic.streams_lagged_total += 1
            self._break(LAGGED)

    async def _refuse(self, asked: Subscribe | Submit) -> None:
        await self._answer(_too_many(asked.id))

    async def _serve(self, asked: Subscribe | Submit, reply: asyncio.Future[RunBody] | None = None) -> None:
        """Send what was asked for, and why it ends; of a submission its reply, which is awaited."""
        answer: Submitted | End | None
        try:
            if isinstance(asked, Submit):
                assert reply is not None, "submissions have one"
                answer = await self._submitted(asked, await reply)
            else:
                answer = await self._read(asked)
        except Rejected as error:
            answer = End(asked.id, error.code, status_of(error), error.message, error.hint)
        except (ConnectionError, ClientError, Lagged):
            raise
        except Exception:
            logger.exception("a message failed: %s", ascii(asked)[:200])
            answer = End(asked.id, INTERNAL, 500, "the head failed on this; its log tells more")
        if answer is not None:
            await self._answer(answer)

    async def _answer(self, answer: End | Submitted) -> None:
        self._readers.pop(answer.id, None)  # before the client knows that the number is free
        await self._send(_encode(answer))

    async def _submitted(self, asked: Submit, run: RunBody) -> Submitted | End | None:
        """Send that a run is committed, and its events if they are asked for; return what is left to say."""
        submitted = Submitted(asked.id, run)
        if not asked.follow:
            return submitted
        await self._send(_encode(submitted))
        return await self._read(_following(asked, run))

    async def _read(self, asked: Subscribe) -> End | None:
        """Send the events of a subscription; return what is left to say."""
        sealed = False
        fmt = STORY if self._format == LOG and not asked.leases else self._format
        traffic = self._call.traffic
        traffic.streams_open += 1
        try:
            run = await open_run(self._call, raw_id(asked.run, RUN))
            async with aclosing(frames(self._call, run, asked.after, fmt, asked.pause)) as arrays:
                async for array, sealed in arrays:
                    if sealed:
                        self._readers.pop(asked.id, None)
                    await self._send(numbered(asked.id, array, fmt, sealed=sealed))
                    if not sealed:
                        # A socket that takes everything suspends nobody: a long replay must not hold up the head.
                        await asyncio.sleep(0)
            return None if sealed else End(asked.id, SEALED, 200)
        finally:
            traffic.streams_open -= 1

    async def _send(self, frame: bytes) -> None:
        if len(frame) <= SMALL_FRAME and self._clear:
            self._send_now(frame)
            return
        async with self._turn:
            await push(self._call, self.socket, frame, WSMsgType.BINARY)
        self._call.traffic.frames_sent_total += 1

    @property
    def _clear(self) -> bool:
        """Tell whether a small frame would go out at once, before nobody else's."""
        return not self._turn.locked() and not self.socket.unsent

    def _send_now(self, frame: bytes) -> None:
        self.socket.send_now(frame, BINARY)
        self._call.traffic.frames_sent_total += 1

    def _break(self, code: int | None) -> None:
        if not self._broken.done():
            self._broken.set_result(code)


def _following(asked: Submit, run: RunBody) -> Subscribe:
    return Subscribe(asked.id, run.run_id, 0, asked.pause, asked.leases)


def _too_many(number: int) -> End:
    message = f"this connection has {MAX_SUBSCRIPTIONS} subscriptions already"
    return End(number, TOO_MANY, 429, message, "end some of them, or open another connection")
