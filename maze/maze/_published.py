"""The events of a run from the head's publications: a ZeroMQ SUB socket, and pages over HTTP for what it misses.

All decisions are maze_protocol.subscriber's; here its feeds come from the socket, the clock and HTTP. The endpoint is
looked up anew whenever nothing was heard for long, so a restarted head is found on other ports, too.

A head with CURVE is asked to let in a key, which is made for this one socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import zmq

from maze._daemon.curve import ClientSide
from maze._daemon.keys import KeyPair
from maze._feed import EventFeed
from maze._http import connection, path
from maze.errors import HeadUnavailableError, RequestError
from maze_protocol.cluster import InfoBody
from maze_protocol.enrolment import EventKeyBody, EventKeyRequest
from maze_protocol.ids import RUN, parse_id
from maze_protocol.limits import MIB
from maze_protocol.streams import PackedEvent
from maze_protocol.subscriber import (
    Deliver,
    Diverged,
    Ended,
    Feed,
    Output,
    Published,
    Rejoin,
    Replay,
    Replayed,
    Subscriber,
    Ticked,
    Tipped,
    Welcomed,
)
from maze_protocol.topics import run_topic

__all__ = ["PublishedFeed"]

BEAT: Final = 1.0
MOST_AT_ONCE: Final = 256
_OPTIONS: Final = (
    (zmq.LINGER, 0),
    (zmq.IPV6, 1),
    (zmq.RCVHWM, 1_000),
    (zmq.MAXMSGSIZE, 16 * MIB),
    (zmq.RECONNECT_IVL, 100),
    (zmq.RECONNECT_IVL_MAX, 1_000),
    (zmq.HEARTBEAT_IVL, 1_000),
    (zmq.HEARTBEAT_TIMEOUT, 3_000),
)


class _Page(msgspec.Struct):
    """A page of the log."""

    events: list[PackedEvent]
    last_seq: int
    sealed: bool


class PublishedFeed(EventFeed):
    """The events of one run after a number, each once, in order. Runs on the loop thread."""

    def __init__(self, url: str, run_id: str, after: int = 0) -> None:
        super().__init__(url, run_id, after)
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._machine: Subscriber[PackedEvent] = Subscriber(time.monotonic(), after)
        self._ear: _Ear | None = None

    async def _begin(self) -> None:
        self._reader = asyncio.ensure_future(self._read())
        self._reader.add_done_callback(self._ended)

    async def _leave(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _made_room(self) -> None:
        self._room.set()

    def _ended(self, reader: asyncio.Task[None]) -> None:
        self._finish(asyncio.CancelledError() if reader.cancelled() else reader.exception())

    async def _read(self) -> None:
        """Read to the end of the log."""
        try:
            ear = await self._listen()
            while not self.sealed:
                await ear.wait(BEAT)
                for feed in ear.hear():
                    await self._feed(feed)
                await self._feed(Ticked())
                ear = self._ear or await self._listen()
        finally:
            self._stop_listening()

    async def _feed(self, feed: Feed[PackedEvent]) -> None:
        """Give the machine a feed and do what it wants, answers to its questions included."""
        feeds = [feed]
        while feeds:
            for output in self._machine.handle(feeds.pop(), time.monotonic()):
                answer = await self._obey(output)
                if answer is not None:
                    feeds.append(answer)
            if self._full:
                self._room.clear()
                await self._room.wait()

    async def _obey(self, output: Output[PackedEvent]) -> Replayed[PackedEvent] | None:
        match output:
            case Deliver():
                self._put(output.events, last=self._machine.over)
            case Replay():
                return await self._replay(output)
            case Rejoin():
                self._stop_listening()
            case Diverged():
                raise self._rewritten(output.reason)
            case Ended():
                self.sealed = True
        return None

    async def _replay(self, asked: Replay) -> Replayed[PackedEvent] | None:
        """Read one page; if the head is away, the machine will ask again."""
        where = path("runs", self.run_id, "events")
        try:
            page = await connection(self.url).request("GET", where, _Page, after=str(asked.after))
        except RequestError as error:
            if error.status in {404, 410}:
                raise self._removed() from error
            raise
        except HeadUnavailableError as error:
            self._lost(error, error)
            return None
        self._lost_at = None
        return Replayed(asked.question, page.events, page.sealed)

    async def _listen(self) -> _Ear:
        endpoint, side = await self._way()
        self._ear = _Ear(endpoint, side, run_topic(parse_id(self.run_id, RUN)))
        return self._ear

    def _stop_listening(self) -> None:
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    async def _way(self) -> tuple[str, ClientSide | None]:
        """Ask where the head publishes, and to be let in there if that needs a key."""
        while True:
            try:
                head = connection(self.url)
                info = await head.request("GET", path("info"), InfoBody)
                if not info.head_key:
                    return info.endpoints["events"], None
                pair = KeyPair.make()
                told = await head.request("POST", path("event-keys"), EventKeyBody, EventKeyRequest(pair.public))
                return told.endpoint, ClientSide(pair, told.head_key)
            except HeadUnavailableError as error:
                self._lost(error, error)
                await asyncio.sleep(BEAT)


class _Ear:
    """A SUB socket of one topic on the running loop."""

    def __init__(self, endpoint: str, side: ClientSide | None, topic: bytes) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        for option, value in _OPTIONS:
            self._socket.setsockopt(option, value)
        if side is not None:
            side.apply(self._socket)
        # Before connecting, so that the subscription is the first thing that the head hears.
        self._socket.subscribe(topic)
        self._socket.connect(endpoint)
        self._news = asyncio.Event()
        self._fd = int(self._socket.getsockopt(zmq.FD))
        asyncio.get_running_loop().add_reader(self._fd, self._news.set)

    def close(self) -> None:
        """Leave the topic."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self._socket.close(0)

    async def wait(self, seconds: float) -> None:
        """Wait until something may have come."""
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            await asyncio.sleep(0)
            return
        # The descriptor tells of changes, not of messages; one that is missed costs a beat.
        self._news.clear()
        if not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    def hear(self) -> Iterator[Feed[PackedEvent]]:
        """Yield what has come, a bounded share of it."""
        for _ in range(MOST_AT_ONCE):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            feed = _parse(frames)
            if feed is not None:
                yield feed


def _parse(frames: list[bytes]) -> Feed[PackedEvent] | None:
    """Return what a publication says; what is not understood is dropped, as a lost one would be."""
    kind, body = frames[1:] if len(frames) == 3 else (b"", b"")
    decode: Any = msgspec.msgpack.decode
    try:
        if kind == b"S":
            return Published(decode(body, type=list[PackedEvent])) if body != b"\x90" else None
        if kind == b"T":
            return Tipped(*decode(body, type=tuple[int, int, bool]))
        if kind == b"W":
            return Welcomed(*decode(body, type=tuple[int, bytes]))
    except msgspec.DecodeError:
        return None
    return None
