"""The one WebSocket of a process and a head, for its submissions and all its streams of events. On the loop thread.

It is opened when the first stream joins and stays open: a run is a message, not a handshake. When it is lost while
anybody reads, it is opened anew, after ever longer pauses, and every stream goes on where it was. What a lost head
means is the streams' to say; each has its own patience.

A run that is submitted here is followed (_followed.py): its events come without being asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import msgspec

from maze._burst import Burst
from maze._events import Event, events_of
from maze._followed import Followed
from maze.errors import HeadUnavailableError, MazeError, NotAMazeHeadError, ProtocolMismatchError
from maze_protocol.limits import KIB
from maze_protocol.streams import (
    FOLLOW_SINCE,
    KINDS,
    Asked,
    End,
    Events,
    Log,
    Submit,
    Submitted,
    Subscribe,
    Told,
    Unsubscribe,
)

if TYPE_CHECKING:
    from maze._http import Connection
    from maze._websocket import WebSocket
    from maze_protocol.http import RunBody, RunRequest

__all__ = ["EventSocket", "Reader"]

LONGEST_PAUSE = 1.0
BURST_BYTES = 4 * KIB
"""From so many on a message makes enough objects to set the cycle collector off."""
Answer = Callable[["RunBody | None"], None]
"""Takes what a submission gives, once."""
_encode = msgspec.msgpack.Encoder().encode
_decode: Any = msgspec.msgpack.Decoder(Told).decode
_GONE = (aiohttp.ClientError, ConnectionError, TimeoutError)


class Reader(Protocol):
    """A stream, as the socket knows it."""

    @property
    def run_id(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def pause(self) -> float: ...
    @property
    def wanted(self) -> Container[str] | None: ...
    @property
    def leases(self) -> bool: ...
    def take(self, events: Sequence[Event]) -> bool: ...
    def end(self, end: End) -> None: ...
    def lost(self, final: HeadUnavailableError, error: Exception) -> bool: ...
    def found(self) -> None: ...
    def fail(self, error: Exception) -> None: ...


class EventSocket:
    """All subscriptions of this process at one head."""

    def __init__(self, known: Connection) -> None:
        self._known = known
        self._socket: WebSocket | None = None
        self._readers: dict[int, Reader] = {}
        self._answers: dict[int, Answer] = {}
        self._followed = Followed()
        self._knows_how = False
        """Whether the head of this socket can follow a run, and leave leases out."""
        self._reopens = False
        """Another head may have taken the place of the one that is known."""
        self._last = 0
        self._pause = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether runs may be submitted. Any thread may ask."""
        return self._socket is not None

    def join(self, reader: Reader) -> None:
        """Read for a stream from its position on, until it has had enough."""
        if not reader.position and self._adopt(reader):
            return
        self._last += 1
        number = self._last
        self._readers[number] = reader
        if self._socket is not None:
            self._subscribe(number, reader)
        elif self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    def post(self, request: RunRequest, pause: float, answer: Answer) -> None:
        """Run a workflow, if the socket is open: that costs a quarter of a request over HTTP.

        Args:
            request: what to run; with an id.
            pause: of a stream that will probably read the story of the run from its beginning.
            answer: takes the run, or None: ask over HTTP, which is as good as asking twice, and tells what is wrong.
        """
        if self._socket is None or request.run_id is None:
            answer(None)
            return
        self._last += 1
        asked = Submit(self._last, request)
        if self._knows_how and self._followed.room:
            asked.follow, asked.pause, asked.leases = True, pause, False
            self._followed.begin(asked.id, request.run_id, pause)
        self._answers[asked.id] = answer
        self._say(asked)

    def abandon(self, answer: Answer) -> None:
        """Do not answer: who submitted waits no more."""
        for number in [number for number, other in self._answers.items() if other == answer]:
            del self._answers[number]
            self._forget(number)

    async def submit(self, request: RunRequest, pause: float) -> RunBody | None:
        """Run a workflow, as `post` does, and return what that would answer."""
        answered: asyncio.Future[RunBody | None] = asyncio.get_running_loop().create_future()

        def answer(run: RunBody | None) -> None:
            if not answered.done():
                answered.set_result(run)

        self.post(request, pause, answer)
        try:
            return await answered
        finally:
            self.abandon(answer)

    def leave(self, reader: Reader) -> None:
        """Read no more for a stream."""
        for number in [number for number, other in self._readers.items() if other is reader]:
            self._drop(number)

    async def close(self) -> None:
        """Hang up; streams that are still reading are left alone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while self._readers:
            socket = await self._open()
            if socket is None:
                continue
            try:
                socket.listen(partial(self._receive, socket))
                with suppress(MazeError):  # what is wrong is told by the next request
                    self._knows_how = await self._known.minor(anew=self._reopens) >= FOLLOW_SINCE
                self._socket = socket
                for number, reader in list(self._readers.items()):
                    reader.found()
                    self._subscribe(number, reader)
                await socket.ended
            finally:
                self._socket, self._knows_how, self._reopens = None, False, True
                self._followed.clear()
                answers, self._answers = self._answers, {}
                for answer in answers.values():
                    answer(None)
                await socket.close()

    def _receive(self, socket: WebSocket, data: bytes) -> None:
        if len(data) < BURST_BYTES:
            self._take(socket, data)
        else:
            with Burst():
                self._take(socket, data)

    def _take(self, socket: WebSocket, data: bytes) -> None:
        self._pause = 0.0
        try:
            told: Events | Log | End | Submitted = _decode(data)
        except msgspec.DecodeError as error:
            self._fail_all(NotAMazeHeadError(f"{self._known.url} says what no head would: {error}"))
            socket.drop()
            return
        answer = self._answers.pop(told.id, None)
        if answer is not None:
            self._answer(told, answer)
        elif isinstance(told, Submitted):
            pass  # who submitted has gone
        elif told.id in self._followed:
            if not self._followed.keep(told.id, told, len(data)):
                self._forget(told.id)
        else:
            self._hear(told)

    def _answer(self, told: Events | Log | End | Submitted, answer: Answer) -> None:
        run = told.run if isinstance(told, Submitted) else None
        if run is None:
            self._followed.forget(told.id)
        answer(run)

    def _hear(self, told: Events | Log | End) -> None:
        reader = self._readers.get(told.id)
        if reader is None:
            return  # on its way when the stream had left
        if isinstance(told, End):
            del self._readers[told.id]
            reader.end(told)
            return
        if told.sealed:
            del self._readers[told.id]
        events = _events_in(told, reader)
        if events and not reader.take(events):
            self._drop(told.id)

    def _adopt(self, reader: Reader) -> bool:
        """Give a stream what was said of its run already, if that is followed as the stream wants it."""
        found = None if reader.leases else self._followed.take(reader.run_id, reader.pause)
        if found is None:
            return False
        number, said = found
        self._readers[number] = reader
        for told in said:
            self._hear(told)
        return True

    def _forget(self, number: int) -> None:
        if self._followed.forget(number):
            self._say(Unsubscribe(number))

    def _drop(self, number: int) -> None:
        if self._readers.pop(number, None) is not None:
            self._say(Unsubscribe(number))

    def _subscribe(self, number: int, reader: Reader) -> None:
        leases = reader.leases or not self._knows_how
        self._say(Subscribe(number, reader.run_id, reader.position, reader.pause, leases))

    def _say(self, asked: Asked) -> None:
        if self._socket is not None:
            self._socket.send(_encode(asked))

    async def _open(self) -> WebSocket | None:
        """Connect; return None if that did not work this time."""
        await asyncio.sleep(self._pause)
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or 0.05)
        known = self._known
        try:
            return await known.websocket("/api/v1/events", log=str(KINDS))
        except aiohttp.WSServerHandshakeError as error:
            self._refused(error)
        except _GONE as error:
            self._lost(known.unreachable(error), error)
        return None

    def _refused(self, error: aiohttp.WSServerHandshakeError) -> None:
        known, url, status = self._known, self._known.url, error.status
        if status == 401 and known.renew_access():
            return
        if status in {401, 403}:
            self._fail_all(known.no_access("it takes no readers with this token", status, "unauthorized"))
        elif status in {429, 503}:
            self._lost(HeadUnavailableError(f"the head at {url} takes no readers: HTTP {status}"), error)
        elif status == 404 and known.info is not None:
            message = f"the head at {url} (Maze {known.info.version}) has no event socket"
            hint = "install the same version of Maze on both sides"
            self._fail_all(ProtocolMismatchError(message, code="api_version", hint=hint))
        else:
            self._fail_all(NotAMazeHeadError(f"{url} refuses the event stream: HTTP {status}"))

    def _lost(self, final: HeadUnavailableError, error: Exception) -> None:
        self._readers = {number: reader for number, reader in self._readers.items() if reader.lost(final, error)}

    def _fail_all(self, error: MazeError) -> None:
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.fail(error)


def _events_in(told: Events | Log, reader: Reader) -> Sequence[Event]:
    if isinstance(told, Events):
        return told.events
    return [event for part in told.parts for event in events_of(reader.run_id, part, reader.wanted)]
