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
from maze._stream import EventStream
from maze.errors import EventsLostError, HeadUnavailableError, NotAMazeHeadError, UnknownRunError
from maze_protocol.http import ClientEvent

Step = list[int] | int | Exception


class Socket:
    """Frames to come, then a close code."""

    def __init__(self, frames: list[list[ClientEvent]], code: int) -> None:
        self.frames, self.close_code, self.closed = frames, code, False

    async def receive(self) -> Any:
        if self.frames:
            data = msgspec.msgpack.encode(self.frames.pop(0))
            return SimpleNamespace(type=aiohttp.WSMsgType.BINARY, data=data)
        return SimpleNamespace(type=aiohttp.WSMsgType.CLOSED, data=None)

    async def close(self) -> None:
        self.closed = True


def frame(*numbers: int, epoch: int = 1) -> list[ClientEvent]:
    """Return events by number; number 9 seals the log."""
    return [
        ClientEvent(number, epoch, 0.0, "finish_workflow" if number == 9 else "start_task", {}) for number in numbers
    ]


def refused(status: int) -> aiohttp.WSServerHandshakeError:
    request: Any = SimpleNamespace(real_url="http://head")
    return aiohttp.WSServerHandshakeError(request, (), status=status)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def install(*answers: Socket | Exception) -> list[str]:
        queue, asked = list(answers), list[str]()

        async def websocket(where: str, *, after: str, **query: str) -> Socket:
            asked.append(after)
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        def unreachable(error: Exception) -> HeadUnavailableError:
            return HeadUnavailableError(str(error))

        known = SimpleNamespace(websocket=websocket, unreachable=unreachable)
        monkeypatch.setattr(_http, "connection", lambda url: known)
        return asked

    return install


async def read_all(stream: EventStream) -> list[int]:
    numbers: list[int] = []
    while (events := await stream.next()) is not None:
        numbers += [event.seq for event in events]
    await stream.close()
    return numbers


def read() -> list[int]:
    return asyncio.run(read_all(EventStream("http://head", "run_1")))


def test_a_log_is_read_to_its_end(head: Callable[..., list[str]]) -> None:
    socket = Socket([frame(1), frame(2, 3), frame(9)], 1000)
    assert head(socket) == []
    assert read() == [1, 2, 3, 9]
    assert socket.closed


@pytest.mark.parametrize("code", [1001, 1006, 4408, None])
def test_a_lost_stream_is_resumed_after_the_last_event(head: Callable[..., list[str]], code: Any) -> None:
    asked = head(Socket([frame(1, 2)], code), aiohttp.ClientConnectionError("refused"), Socket([frame(2, 3, 9)], 1000))
    assert read() == [1, 2, 3, 9]
    assert asked == ["0", "1", "1"], "the last event itself is read again, to see that it still stands there"


def test_a_log_that_lost_its_end_is_not_read_on(head: Callable[..., list[str]]) -> None:
    head(Socket([frame(1, 2)], 1006), Socket([frame(2, 3, epoch=2)], 1000))
    with pytest.raises(EventsLostError, match="another event 2"):
        read()


def test_a_log_can_be_read_from_any_place(head: Callable[..., list[str]]) -> None:
    asked = head(Socket([], 1006), Socket([frame(5, 9)], 1000))
    assert asyncio.run(read_all(EventStream("http://head", "run_1", 4))) == [5, 9]
    assert asked == ["4", "4"]


def test_patience_begins_anew_whenever_the_head_answers(
    head: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1_000, 40))
    monkeypatch.setattr(_feed, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    gone = aiohttp.ClientConnectionError("refused")
    head(gone, Socket([], 1001), gone, Socket([], 1001), gone, Socket([frame(9)], 1000))
    assert read() == [9]


def test_what_was_seen_is_not_returned_again(head: Callable[..., list[str]]) -> None:
    head(Socket([frame(1, 2)], 1006), Socket([frame(1, 2), frame(2, 3), frame(9)], 1000))
    assert read() == [1, 2, 3, 9]


def test_a_close_with_1000_is_the_end(head: Callable[..., list[str]]) -> None:
    head(Socket([frame(1)], 1000))
    assert read() == [1]


@pytest.mark.parametrize(("status", "kind"), [(404, UnknownRunError), (410, UnknownRunError), (400, NotAMazeHeadError)])
def test_a_refused_stream_is_told(head: Callable[..., list[str]], status: int, kind: type[Exception]) -> None:
    head(refused(status))
    with pytest.raises(kind):
        read()


def test_a_busy_head_is_asked_again(head: Callable[..., list[str]]) -> None:
    head(refused(503), Socket([frame(9)], 1000))
    assert read() == [9]


def test_a_head_that_stays_away_is_told(head: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "RECONNECT_SECONDS", 0.0)
    head(aiohttp.ClientConnectionError("refused"))
    with pytest.raises(HeadUnavailableError, match="refused"):
        read()


def test_patience_has_an_end_and_the_stream_goes_on_afterwards(head: Callable[..., list[str]]) -> None:
    async def main() -> list[int]:
        gate = asyncio.Event()
        socket = Socket([frame(1), frame(9)], 1000)
        real = socket.receive

        async def slow() -> Any:
            await gate.wait()
            return await real()

        socket.receive = slow  # type: ignore[method-assign]  # a socket with nothing to say yet
        head(socket)
        stream = EventStream("http://head", "run_1")
        assert await stream.next(0.01) == []
        gate.set()
        return await read_all(stream)

    assert asyncio.run(main()) == [1, 9]


def test_a_reader_may_leave_at_any_time(head: Callable[..., list[str]]) -> None:
    socket = Socket([frame(1)] * 3, 1000)

    async def main() -> None:
        stream = EventStream("http://head", "run_1")
        await stream.close()
        assert await stream.next() is not None
        await stream.close()

    head(socket)
    asyncio.run(main())


def test_leaving_ends_a_wait_whose_reader_never_began(head: Callable[..., list[str]]) -> None:
    async def main() -> None:
        stream = EventStream("http://head", "run_1")
        waiting = asyncio.ensure_future(stream.next())
        leaving = asyncio.ensure_future(stream.close())  # in the same turn, as after Ctrl-C between two steps of `call`
        await leaving
        await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 5)
        assert waiting.cancelled()

    head(Socket([frame(1)], 1000))
    asyncio.run(main())


def test_a_slow_reader_does_not_pile_up_events(head: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_feed, "READ_AHEAD", 2)
    socket = Socket([frame(number) for number in (1, 2, 3, 4, 9)], 1000)

    async def main() -> list[int]:
        head(socket)
        stream = EventStream("http://head", "run_1")
        first = await stream.next()
        assert first is not None
        await asyncio.wait_for(until(lambda: len(socket.frames) <= 2), 5)
        assert len(socket.frames) == 5 - len(first) - 2
        return [event.seq for event in first] + await read_all(stream)

    assert asyncio.run(main()) == [1, 2, 3, 4, 9]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)
