"""The event stream over scripted sockets: resuming, repeating, ending, giving up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
import pytest

from maze import _feed, _http
from maze._event_socket import EventSocket
from maze._events import LogEvent, _Names
from maze._stream import EventStream
from maze.errors import (
    EventsLostError,
    HeadUnavailableError,
    NotAMazeHeadError,
    ProtocolMismatchError,
    RequestError,
    UnknownRunError,
)
from maze_protocol.events import RunFinished
from maze_protocol.streams import KINDS, Asked, End, Events, LogPart, PackedEvent, Subscribe, Unsubscribe
from maze_protocol.values import ObjectRef, OutputValue, Value
from support.run_story import packed


class Socket:
    """Frames to come for the one who subscribes, then the end of the subscription (1000), a refusal, or a close."""

    def __init__(self, frames: list[list[PackedEvent]], code: int | None) -> None:
        self.frames, self.code, self.closed = frames, code, False
        self.said: list[Asked] = []
        self.heard = False
        self.hear: Callable[[bytes], None] = lambda _: None

    def listen(self, hear: Callable[[bytes], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.hear = hear

    def send(self, data: bytes) -> None:
        self.said.append(msgspec.msgpack.decode(data, type=Asked))
        self.heard = isinstance(self.said[-1], Subscribe)
        if self.heard:
            self.loop.call_soon(self.tell)

    def tell(self) -> None:
        number = self.said[-1].id
        if not self.heard or self.ended.done():
            return
        if self.frames:
            events = self.frames.pop(0)
            self.hear(msgspec.msgpack.encode(Events(number, events[-1].type == "finish_workflow", events)))
            self.loop.call_soon(self.tell)
        elif self.code is None or 1000 < self.code < 5000:
            self.drop()
        else:
            code, self.code, self.heard = self.code, 1006, False
            end = End(number, "sealed", 200) if code == 1000 else End(number, "refused", code)
            self.hear(msgspec.msgpack.encode(end))

    def drop(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    async def close(self) -> None:
        self.drop()
        self.closed = True


def frame(*numbers: int, epoch: int = 1) -> list[PackedEvent]:
    """Return events by number; number 9 seals the log."""
    return [packed(number, "finish_workflow" if number == 9 else "start_task", {}, epoch=epoch) for number in numbers]


def refused(status: int) -> aiohttp.WSServerHandshakeError:
    request: Any = SimpleNamespace(real_url="http://head")
    return aiohttp.WSServerHandshakeError(request, (), status=status)


class Asking:
    """Behind which numbers the streams subscribed."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []

    def after(self) -> list[int]:
        return [said.after for socket in self.sockets for said in socket.said if isinstance(said, Subscribe)]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asking]:
    def install(*answers: Socket | Exception, info: Any = None) -> Asking:
        queue, asking = list(answers), Asking()

        async def websocket(where: str, log: str) -> Socket:
            assert (where, log) == ("/api/v1/events", str(KINDS))
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            if isinstance(answer, Exception):
                raise answer
            asking.sockets.append(answer)
            return answer

        def unreachable(error: Exception) -> HeadUnavailableError:
            return HeadUnavailableError(str(error))

        async def minor(*, anew: bool) -> int:
            return 0

        known: Any = SimpleNamespace(
            websocket=websocket, unreachable=unreachable, url="http://head", info=info, minor=minor
        )
        known.events = EventSocket(known)
        monkeypatch.setattr(_http, "connection", lambda url: known)
        return asking

    return install


async def read_all(stream: EventStream) -> list[int]:
    numbers: list[int] = []
    while (events := await stream.next()) is not None:
        numbers += [event.seq for event in events]
    await stream.close()
    return numbers


def read() -> list[int]:
    return asyncio.run(read_all(EventStream("http://head", "run_1")))


def test_a_log_is_read_to_its_end(head: Callable[..., Asking]) -> None:
    socket = Socket([frame(1), frame(2, 3), frame(9)], 1000)
    head(socket)

    async def main() -> None:
        assert await read_all(EventStream("http://head", "run_1")) == [1, 2, 3, 9]
        assert not socket.closed, "it is kept for the next run"

    asyncio.run(main())


@pytest.mark.parametrize("code", [1001, 1006, 4408, None])
def test_a_lost_stream_is_resumed_after_the_last_event(head: Callable[..., Asking], code: Any) -> None:
    asked = head(Socket([frame(1, 2)], code), aiohttp.ClientConnectionError("refused"), Socket([frame(2, 3, 9)], 1000))
    assert read() == [1, 2, 3, 9]
    assert asked.after() == [0, 1], "the last event itself is read again, to see that it still stands there"


def test_a_log_that_lost_its_end_is_not_read_on(head: Callable[..., Asking]) -> None:
    head(Socket([frame(1, 2)], 1006), Socket([frame(2, 3, epoch=2)], 1000))
    with pytest.raises(EventsLostError, match="another event 2"):
        read()


def test_a_log_can_be_read_from_any_place(head: Callable[..., Asking]) -> None:
    asked = head(Socket([], 1006), Socket([frame(5, 9)], 1000))
    assert asyncio.run(read_all(EventStream("http://head", "run_1", 4))) == [5, 9]
    assert asked.after() == [4, 4]


def test_patience_begins_anew_whenever_the_head_answers(
    head: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1_000, 40))
    monkeypatch.setattr(_feed, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    gone = aiohttp.ClientConnectionError("refused")
    head(gone, Socket([], 1001), gone, Socket([], 1001), gone, Socket([frame(9)], 1000))
    assert read() == [9]


def test_what_was_seen_is_not_returned_again(head: Callable[..., Asking]) -> None:
    head(Socket([frame(1, 2)], 1006), Socket([frame(1, 2), frame(2, 3), frame(9)], 1000))
    assert read() == [1, 2, 3, 9]


def test_a_close_with_1000_is_the_end(head: Callable[..., Asking]) -> None:
    head(Socket([frame(1)], 1000))
    assert read() == [1]


@pytest.mark.parametrize(("status", "kind"), [(404, UnknownRunError), (410, UnknownRunError), (500, RequestError)])
def test_a_refused_subscription_is_told(head: Callable[..., Asking], status: int, kind: type[Exception]) -> None:
    head(Socket([frame(1)], status))
    with pytest.raises(kind):
        read()


@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_socket_is_told(head: Callable[..., Asking], status: int) -> None:
    head(refused(status))
    with pytest.raises(NotAMazeHeadError, match=f"HTTP {status}"):
        read()


def test_a_head_of_before_the_event_socket_is_told(head: Callable[..., Asking]) -> None:
    head(refused(404), info=SimpleNamespace(version="0.1.0"))
    with pytest.raises(ProtocolMismatchError, match=r"Maze 0\.1\.0"):
        read()


def test_what_no_head_would_say_is_told(head: Callable[..., Asking]) -> None:
    socket = Socket([], 1000)
    socket.tell = lambda: socket.hear(b"?")  # type: ignore[method-assign]  # something else that speaks WebSocket
    head(socket)
    with pytest.raises(NotAMazeHeadError, match="no head would"):
        read()


def test_a_busy_head_is_asked_again(head: Callable[..., Asking]) -> None:
    head(refused(503), Socket([frame(9)], 1000))
    assert read() == [9]


def test_a_head_that_stays_away_is_told(head: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "RECONNECT_SECONDS", 0.0)
    head(aiohttp.ClientConnectionError("refused"))
    with pytest.raises(HeadUnavailableError, match="refused"):
        read()


def test_patience_has_an_end_and_the_stream_goes_on_afterwards(head: Callable[..., Asking]) -> None:
    async def main() -> list[int]:
        socket = Socket([frame(1), frame(9)], 1000)
        real = socket.tell
        socket.tell = lambda: None  # type: ignore[method-assign]  # a socket with nothing to say yet
        head(socket)
        stream = EventStream("http://head", "run_1")
        assert await stream.next(0.01) == []
        socket.tell = real  # type: ignore[method-assign]
        real()
        return await read_all(stream)

    assert asyncio.run(main()) == [1, 9]


def at_one_blow(socket: Socket, head: Callable[..., Asking]) -> tuple[list[Any], list[int]]:
    """Return what was given at one blow, and what was left for those who ask on."""

    async def main() -> tuple[list[Any], list[int]]:
        head(socket)
        given: list[Any] = []
        stream = EventStream("http://head", "run_1")
        stream.at_one_blow(given.append)
        async with asyncio.timeout(5):
            await until(lambda: bool(given))
        return given, [] if stream.over else await read_all(stream)

    return asyncio.run(main())


def whole(*numbers: int, ref: ObjectRef | None = None) -> list[Any]:
    """Return events of which the last seals the log, and the one before returned a value."""
    names = _Names("run_1", LogPart(1, 0.0, bytes(16), 1, (), (), ()))
    returned = (OutputValue("y", Value(0, 1, b"\x01", ref=ref)),)
    events = [LogEvent(seq, 1, 0.0, "start_task", names, RunFinished(0, 0, 0)) for seq in numbers]
    events[-2] = LogEvent(numbers[-2], 1, 0.0, "finish_task", names, RunFinished(0, 0, 0), returned)
    events[-1] = LogEvent(numbers[-1], 1, 0.0, "finish_workflow", names, RunFinished(0, 0, 0))
    return events


def test_a_run_that_is_told_at_one_blow_is_given_in_the_call_that_brings_it(head: Callable[..., Asking]) -> None:
    given: list[Any] = []
    stream = EventStream("http://head", "run_1")
    stream._join = lambda: None  # type: ignore[method-assign]  # what comes is the test's
    stream.at_one_blow(given.append)
    events = whole(1, 2, 3)
    assert stream.take(events)
    assert given == [events]
    assert stream.over, "there is nothing left to ask for"


@pytest.mark.parametrize("parts", [[whole(1, 2, 3)[:1]], [whole(1, 2, 3, ref=ObjectRef(1, 0, 1, 0))]])
def test_what_goes_on_or_lacks_a_value_is_asked_for(parts: list[list[Any]]) -> None:
    given: list[Any] = []
    stream = EventStream("http://head", "run_1")
    stream._join = lambda: None  # type: ignore[method-assign]  # what comes is the test's
    stream.at_one_blow(given.append)
    for part in parts:
        stream.take(part)
    assert given == [None]
    assert not stream.over
    assert stream._events == parts[0], "they are still there"
    if not stream.sealed:
        stream.take(whole(1, 2, 3)[1:])
    assert given == [None], "once"


def test_of_a_run_in_parts_the_first_ones_are_there_for_who_asks_on(head: Callable[..., Asking]) -> None:
    assert at_one_blow(Socket([frame(1, 2), frame(3), frame(9)], 1000), head) == ([None], [1, 2, 3, 9])


def test_a_refusal_is_told_to_who_asks_on(head: Callable[..., Asking]) -> None:
    with pytest.raises(UnknownRunError):
        at_one_blow(Socket([], 404), head)


def test_who_waits_no_more_is_given_nothing(head: Callable[..., Asking]) -> None:
    async def main() -> None:
        head(Socket([frame(1), frame(9)], 1000))
        given: list[Any] = []
        stream = EventStream("http://head", "run_1")
        stream.at_one_blow(given.append)
        stream.give_up(given.append)
        assert await read_all(stream) == [1, 9]
        assert given == []

    asyncio.run(main())


def test_a_reader_may_leave_at_any_time(head: Callable[..., Asking]) -> None:
    socket = Socket([frame(1)] * 3, 1000)

    async def main() -> None:
        stream = EventStream("http://head", "run_1")
        await stream.close()
        assert await stream.next() is not None
        await stream.close()

    head(socket)
    asyncio.run(main())


def test_leaving_ends_a_wait_whose_reader_never_began(head: Callable[..., Asking]) -> None:
    async def main() -> None:
        stream = EventStream("http://head", "run_1")
        waiting = asyncio.ensure_future(stream.next())
        leaving = asyncio.ensure_future(stream.close())  # in the same turn, as after Ctrl-C between two steps of `call`
        await leaving
        await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 5)
        assert waiting.cancelled()

    head(Socket([frame(1)], 1000))
    asyncio.run(main())


def test_a_slow_reader_does_not_pile_up_events(head: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "READ_AHEAD", 2)
    socket = Socket([frame(number) for number in (1, 2, 3, 4, 9)], 1000)

    async def main() -> list[int]:
        head(socket)
        stream = EventStream("http://head", "run_1")
        assert await stream.next(0) == []
        await asyncio.wait_for(until(lambda: bool(socket.said) and isinstance(socket.said[-1], Unsubscribe)), 5)
        assert len(socket.frames) == 3, "the socket is for the others, too"
        return await read_all(stream)

    assert asyncio.run(main()) == [1, 2, 3, 4, 9]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)
