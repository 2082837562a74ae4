"""One socket for many streams: who has enough does not hold up the others, and all of them survive its loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec
import pytest

from maze import _event_socket, _followed
from maze._event_socket import EventSocket
from maze.errors import HeadUnavailableError
from maze_protocol.events import RunFinished, TaskWarned
from maze_protocol.http import RunBody, RunRequest
from maze_protocol.streams import (
    FOLLOW_SINCE,
    KINDS,
    Asked,
    End,
    Events,
    Log,
    LogPart,
    PackedEvent,
    Submit,
    Submitted,
    Subscribe,
    Told,
    Unsubscribe,
)
from support.run_story import packed


class Wire:
    """A WebSocket whose other end is the test."""

    def __init__(self) -> None:
        self.said: list[Asked] = []
        self.hear: Callable[[bytes], None] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.broken = False

    def listen(self, hear: Callable[[bytes], None]) -> None:
        self.hear = hear

    def send(self, data: bytes) -> None:
        if not self.broken:
            self.said.append(msgspec.msgpack.decode(data, type=Asked))

    async def close(self) -> None:
        self.drop()
        self.closed = True

    def drop(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def tell(self, told: Told) -> None:
        self.tell_bytes(msgspec.msgpack.encode(told))

    def tell_bytes(self, data: bytes) -> None:
        assert self.hear is not None, "somebody listens from the beginning"
        if not self.ended.done():
            self.hear(data)

    def lose(self) -> None:
        self.broken = True
        self.drop()


class Head:
    """What the socket connects to."""

    url = "http://head"
    info = None

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.known: list[str] = []
        self.refuse: Exception | None = None
        self.tries = 0
        self.version = FOLLOW_SINCE
        self.asked: list[bool] = []

    async def minor(self, *, anew: bool = False) -> int:
        self.asked.append(anew)
        if self.version < 0:
            raise HeadUnavailableError("gone")
        return self.version

    async def websocket(self, where: str, log: str) -> Wire:
        self.tries += 1
        self.known.append(log)
        if self.refuse is not None:
            raise self.refuse
        self.wires.append(Wire())
        return self.wires[-1]

    def unreachable(self, error: BaseException) -> HeadUnavailableError:
        return HeadUnavailableError(str(error))


class Stream:
    """A reader that notes what it gets."""

    def __init__(self, run_id: str, position: int = 0) -> None:
        self.run_id, self.position = run_id, position
        self.pause = 0.0
        self.wanted: list[str] | None = None
        self.leases = True
        self.got: list[int] = []
        self.ended: End | None = None
        self.patience = 1_000
        self.losses = 0
        self.failure: Exception | None = None
        self.enough = False

    def take(self, events: list[PackedEvent]) -> bool:
        self.got += [event.seq for event in events]
        self.position = self.got[-1]
        return not self.enough

    def end(self, end: End) -> None:
        self.ended = end

    def lost(self, final: HeadUnavailableError, error: Exception) -> bool:
        self.losses += 1
        return self.losses <= self.patience

    def found(self) -> None:
        self.losses = 0

    def fail(self, error: Exception) -> None:
        self.failure = error


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def play(scene: Callable[[Head, EventSocket], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        head = Head()
        known: Any = head
        socket = EventSocket(known)
        try:
            await scene(head, socket)
        finally:
            await socket.close()
        assert all(wire.closed for wire in head.wires), "nothing stays open"

    asyncio.run(main())


def events(number: int, *seqs: int) -> Events:
    return Events(number, 9 in seqs, [packed(seq, "finish_workflow" if seq == 9 else "start_task", {}) for seq in seqs])


def test_streams_share_one_socket_and_get_what_is_theirs() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        one, two = Stream("run_1"), Stream("run_2", 4)
        socket.join(one)
        socket.join(two)
        await until(lambda: len(head.wires) == 1 and len(head.wires[0].said) == 2)
        (wire,) = head.wires
        assert wire.said == [Subscribe(1, "run_1", 0), Subscribe(2, "run_2", 4)]
        wire.tell(events(2, 5, 6))
        wire.tell(events(1, 1))
        wire.tell(events(77, 1))
        wire.tell(End(2, "run_expired", 410))
        await until(lambda: two.ended is not None)
        assert (one.got, two.got) == ([1], [5, 6])
        three = Stream("run_3")
        socket.join(three)
        assert wire.said[2:] == [Subscribe(3, "run_3", 0)]
        assert len(head.wires) == 1

    play(scene)


def test_the_log_as_it_is_is_read_as_events() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        one = Stream("run_1")
        socket.join(one)
        await until(lambda: bool(head.wires))
        assert head.known == [str(KINDS)], "it says which kinds of events it knows"
        parts = [
            LogPart(1, 0.0, b"w" * 16, 1, (TaskWarned(0, "hm"), TaskWarned(0, "hm")), ((0, b"t" * 16, "t"),), ()),
            LogPart(1, 0.0, b"w" * 16, 3, (RunFinished(1, 0, 0),), (), ()),
        ]
        two = Stream("run_2")
        two.wanted = ["finish_workflow"]
        socket.join(two)
        for number in (1, 2):
            head.wires[0].tell(Log(number, True, parts))
        await until(lambda: two.got == [3])
        assert one.got == [1, 2, 3]

    play(scene)


def test_who_has_enough_leaves_and_the_others_go_on() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        slow, quick = Stream("run_1"), Stream("run_2")
        slow.enough = True
        socket.join(slow)
        socket.join(quick)
        await until(lambda: len(head.wires) == 1 and len(head.wires[0].said) == 2)
        (wire,) = head.wires
        for message in (events(1, 1), events(1, 2), events(2, 1), events(1, 3), events(2, 2)):
            wire.tell(message)
        await until(lambda: quick.got == [1, 2])
        assert slow.got == [1], "what was on its way is dropped"
        assert wire.said[2:] == [Unsubscribe(1)]
        slow.enough = False
        socket.join(slow)
        assert wire.said[3:] == [Subscribe(3, "run_1", 1)]

    play(scene)


def test_the_last_event_ends_a_subscription_without_a_word() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        stream = Stream("run_1")
        socket.join(stream)
        await until(lambda: bool(head.wires) and bool(head.wires[0].said))
        head.wires[0].tell(events(1, 1, 9))
        await until(lambda: stream.got == [1, 9])
        assert len(head.wires[0].said) == 1
        head.wires[0].lose()
        await until(lambda: head.wires[0].closed)
        assert head.tries == 1, "nobody reads: nothing is opened anew"
        socket.join(Stream("run_2"))
        await until(lambda: len(head.wires) == 2)

    play(scene)


def test_a_lost_socket_is_opened_anew_and_all_go_on_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_event_socket, "LONGEST_PAUSE", 0.0)

    async def scene(head: Head, socket: EventSocket) -> None:
        one, two = Stream("run_1"), Stream("run_2", 4)
        socket.join(one)
        socket.join(two)
        await until(lambda: bool(head.wires) and len(head.wires[0].said) == 2)
        head.wires[0].tell(events(1, 1, 2))
        await until(lambda: one.got == [1, 2])
        head.refuse = aiohttp.ClientConnectionError("refused")
        head.wires[0].lose()
        await until(lambda: one.losses > 2)
        three = Stream("run_3")
        socket.join(three)
        head.refuse = None
        await until(lambda: len(head.wires) == 2 and len(head.wires[1].said) == 3)
        assert head.wires[1].said == [Subscribe(1, "run_1", 2), Subscribe(2, "run_2", 4), Subscribe(3, "run_3", 0)]
        assert one.losses == 0, "patience begins anew"

    play(scene)


def test_each_stream_has_a_patience_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_event_socket, "LONGEST_PAUSE", 0.0)

    async def scene(head: Head, socket: EventSocket) -> None:
        brief, patient = Stream("run_1"), Stream("run_2")
        brief.patience = 2
        head.refuse = aiohttp.ClientConnectionError("refused")
        socket.join(brief)
        socket.join(patient)
        await until(lambda: patient.losses > 4)
        assert brief.losses == 3, "who has given up is not told any more"
        head.refuse = None
        await until(lambda: bool(head.wires) and bool(head.wires[0].said))
        assert head.wires[0].said == [Subscribe(2, "run_2", 0)]

    play(scene)


PAUSE = 0.01
REQUEST = RunRequest("workflow_1", "run_1")
BODY = RunBody("run_1", "workflow_1", 1, "waiting", 1, 0, 0, 0, 0, 1.0, None, 1, False)


def test_a_run_is_submitted_over_an_open_socket_only() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        assert await socket.submit(REQUEST, PAUSE) is None, "it was never opened"
        socket.join(Stream("run_0"))
        await until(lambda: bool(head.wires) and bool(head.wires[0].said))
        (wire,) = head.wires
        submitting = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await until(lambda: len(wire.said) == 2)
        assert wire.said[1] == Submit(2, REQUEST, follow=True, pause=PAUSE, leases=False)
        wire.tell(events(1, 1))
        wire.tell(Submitted(2, BODY))
        assert await submitting == BODY
        refused = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await until(lambda: len(wire.said) == 3)
        wire.tell(End(3, "too_many_pending", 429, "not now"))
        assert await refused is None, "HTTP will tell why, and wait if that helps"

    play(scene)


def test_a_submission_whose_answer_is_lost_is_asked_for_over_http() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        socket.join(Stream("run_0"))
        await until(lambda: bool(head.wires) and bool(head.wires[0].said))
        submitting = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await until(lambda: len(head.wires[0].said) == 2)
        head.wires[0].lose()
        assert await submitting is None
        await until(lambda: len(head.wires) == 2 and bool(head.wires[1].said))
        broken = head.wires[1]
        broken.broken = True
        submitting = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await asyncio.sleep(0)
        broken.lose()
        assert await submitting is None
        cancelled = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert not socket._answers

    play(scene)


async def opened(head: Head, socket: EventSocket) -> Wire:
    """Return the wire of a socket that has one reader, by the number 1."""
    socket.join(Stream("run_0", 4))
    await until(lambda: bool(head.wires) and bool(head.wires[-1].said))
    return head.wires[-1]


async def ran(wire: Wire, socket: EventSocket, run_id: str) -> Submit:
    """Submit a run that will be read, and return the message that did it."""
    before = len(wire.said)
    submitting = asyncio.ensure_future(socket.submit(RunRequest("workflow_1", run_id), PAUSE))
    await until(lambda: len(wire.said) > before)
    said = wire.said[-1]
    assert isinstance(said, Submit)
    wire.tell(Submitted(said.id, BODY))
    assert await submitting == BODY
    return said


def patient(run_id: str) -> Stream:
    stream = Stream(run_id)
    stream.pause, stream.leases = PAUSE, False
    return stream


def test_a_submitted_run_is_followed_and_read_without_another_word() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        said = await ran(wire, socket, "run_1")
        assert said == Submit(2, RunRequest("workflow_1", "run_1"), follow=True, pause=PAUSE, leases=False)
        wire.tell(events(2, 1, 2))
        await until(lambda: bool(socket._followed._runs[2].told))
        stream = patient("run_1")
        socket.join(stream)
        assert stream.got == [1, 2], "what came before"
        wire.tell(events(2, 3, 9))
        await until(lambda: stream.got == [1, 2, 3, 9])
        assert len(wire.said) == 2
        assert (socket._followed._runs, list(socket._readers)) == ({}, [1])
        assert head.asked == [False], "once for each socket"
        await ran(wire, socket, "run_2")
        assert head.asked == [False]

    play(scene)


def test_what_is_said_at_one_blow_is_not_lost() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        submitting = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await until(lambda: len(wire.said) == 2)
        wire.tell(Submitted(2, BODY))
        wire.tell(events(2, 1, 9))
        assert await submitting == BODY
        stream = patient("run_1")
        await until(lambda: socket._followed._runs[2].over)
        socket.join(stream)
        assert stream.got == [1, 9]

    play(scene)


@pytest.mark.parametrize("other", [Stream("run_2"), Stream("run_1", 2), Stream("run_1")])
def test_only_who_wants_just_that_is_given_what_was_kept(other: Stream) -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        await ran(wire, socket, "run_1")
        socket.join(other)
        assert wire.said[-1] == Subscribe(3, other.run_id, other.position)
        stream = patient("run_1")
        socket.join(stream)
        assert len(wire.said) == 3, "it is still there for who wants it"

    play(scene)


def test_so_many_runs_are_followed_until_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_followed, "FOLLOWED", 2)

    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        followed = [(await ran(wire, socket, f"run_{number}")).follow for number in (1, 2, 3)]
        assert followed == [True, True, False]
        wire.tell(events(2, 1, 9))
        await until(lambda: socket._followed._runs[2].over)
        socket.join(patient("run_3"))
        assert list(socket._followed._runs) == [3], "one that goes on may still be read"
        assert (await ran(wire, socket, "run_4")).follow

    play(scene)


def test_a_run_that_says_much_and_that_nobody_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(msgspec.msgpack.encode(events(2, 1)))
    monkeypatch.setattr(_followed, "FOLLOWED_BYTES", 2 * size)

    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        await ran(wire, socket, "run_1")
        for seq in (1, 2, 3, 4):
            wire.tell(events(2, seq))
        await until(lambda: len(wire.said) == 3)
        assert wire.said[2] == Unsubscribe(2)
        stream = patient("run_1")
        socket.join(stream)
        assert wire.said[3] == Subscribe(3, "run_1", pause=PAUSE, leases=False), "from the first event on"
        await ran(wire, socket, "run_2")
        wire.tell(events(4, 1, 2, 3, 4, 5, 9))
        await until(lambda: 4 not in socket._followed)
        assert len(wire.said) == 5, "the head has nothing more to say of it"

    play(scene)


@pytest.mark.parametrize("version", [FOLLOW_SINCE - 1, -1])
def test_a_head_that_may_not_know_how_is_not_asked_to_follow(version: int) -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        head.version = version
        wire = await opened(head, socket)
        assert await ran(wire, socket, "run_1") == Submit(2, RunRequest("workflow_1", "run_1"))
        assert not socket._followed._runs

    play(scene)


def test_another_head_is_asked_anew_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_event_socket, "LONGEST_PAUSE", 0.0)

    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        assert (await ran(wire, socket, "run_1")).follow
        wire.lose()
        head.version = FOLLOW_SINCE - 1
        await until(lambda: len(head.wires) == 2 and bool(head.wires[1].said))
        assert not socket._followed._runs, "who reads it subscribes"
        assert not (await ran(head.wires[1], socket, "run_2")).follow
        assert head.asked == [False, True]
        socket.join(patient("run_1"))
        assert head.wires[1].said[-1] == Subscribe(4, "run_1", pause=PAUSE)

    play(scene)


def test_a_refused_or_abandoned_submission_is_not_followed() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        wire = await opened(head, socket)
        submitting = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await until(lambda: len(wire.said) == 2)
        wire.tell(End(2, "too_many_pending", 429, "not now"))
        assert await submitting is None
        assert not socket._followed._runs
        abandoned = asyncio.ensure_future(socket.submit(REQUEST, PAUSE))
        await until(lambda: len(wire.said) == 3)
        abandoned.cancel()
        await until(lambda: len(wire.said) == 4)
        assert (wire.said[3], socket._followed._runs, socket._answers) == (Unsubscribe(3), {}, {})
        wire.tell(Submitted(3, BODY))
        wire.tell(events(3, 1, 2))
        wire.tell(events(1, 5))
        await until(lambda: socket._readers[1].position == 5)

    play(scene)


def test_who_leaves_while_the_socket_is_lost_is_forgotten() -> None:
    async def scene(head: Head, socket: EventSocket) -> None:
        stream = Stream("run_1")
        socket.join(stream)
        await until(lambda: bool(head.wires) and bool(head.wires[0].said))
        head.wires[0].broken = True
        socket.leave(stream)
        head.wires[0].lose()
        await until(lambda: head.wires[0].closed)
        assert head.tries == 1

    play(scene)
