"""Many subscriptions on one WebSocket: each ends by itself, none shuts out another, bad manners end them all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from maze._daemon.websocket import BINARY
from maze_head.api import multiplex
from maze_head.api.call import Traffic
from maze_head.api.render import LOG
from maze_head.api.websocket import INBOUND_LIMIT
from maze_head.core.errors import Gone, Invalid, Unavailable
from maze_head.core.events import CountersAsked, DescribeRun, SubmitRun
from maze_protocol.events import RunFinished, RunSubmitted, TaskLeased, TaskStarted, TaskWarned
from maze_protocol.http import RunRequest
from maze_protocol.resources import Claim
from maze_protocol.streams import (
    KINDS,
    MAX_PAUSE,
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
from support.api_double import RUN_ID, RUN_TEXT, WORKFLOW_ID, WORKFLOW_TEXT, Served, asynchronous, serving
from support.zmq_peers import until

PATH = "/api/v1/events"
NOBODY = "run_" + "ee" * 16
SEALED = End(0, "sealed", 200)
"""Stands for the end with the last event."""


async def attach(head: Served) -> ClientWebSocketResponse:
    return await head.http.ws_connect(PATH, max_msg_size=0)


async def say(socket: ClientWebSocketResponse, *asked: Asked) -> None:
    for each in asked:
        await socket.send_bytes(msgspec.msgpack.encode(each))


async def hear(socket: ClientWebSocketResponse) -> Events | Log | End | Submitted:
    message = await socket.receive()
    assert message.type is WSMsgType.BINARY, message
    told: Events | Log | End | Submitted = msgspec.msgpack.decode(message.data, type=Told)
    return told


async def ends(socket: ClientWebSocketResponse, count: int) -> tuple[dict[int, list[int]], dict[int, End]]:
    """Return the numbers that each subscription got until so many had ended, and their ends."""
    got: dict[int, list[int]] = {}
    over: dict[int, End] = {}
    while len(over) < count:
        told = await hear(socket)
        if isinstance(told, End):
            over[told.id] = told
        elif isinstance(told, Events):
            got.setdefault(told.id, []).extend(event.seq for event in told.events)
            if told.sealed:
                over[told.id] = SEALED
    return got, over


async def settled(head: Served, count: int = 0) -> None:
    """Wait until so many subscriptions are open."""
    head.driver.answers[CountersAsked] = {}
    while True:
        async with head.http.get("/api/v1/metrics") as response:
            if (await response.json())["counters"]["http_streams_open"] == count:
                return


async def begun(head: Served) -> None:
    await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2), TaskStarted(0, 1, 1, "n", "ip", 0.0))


@asynchronous
async def test_subscriptions_begin_anywhere_and_end_with_their_run() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT), Subscribe(2, RUN_TEXT, 1), Subscribe(3, RUN_TEXT, 3))
        await head.hub.commit(RunFinished(2, 0, 0))
        got, over = await ends(socket, 3)
        assert got == {1: [1, 2, 3], 2: [2, 3]}
        assert over == {1: SEALED, 2: SEALED, 3: End(3, "sealed", 200)}
        await say(socket, Subscribe(1, RUN_TEXT, 2))
        assert (await ends(socket, 1))[0] == {1: [3]}, "the number is free again"
        await socket.close()
        await settled(head)


@pytest.mark.parametrize(("known", "form"), [(KINDS, Log), (KINDS + 1, Log), (KINDS - 1, Events), (0, Events)])
def test_who_knows_all_kinds_of_events_is_sent_the_log_as_it_is(known: int, form: type) -> None:
    @asynchronous
    async def scene() -> None:
        async with serving() as head:
            await begun(head)
            socket = await head.http.ws_connect(f"{PATH}?log={known}", max_msg_size=0)
            await say(socket, Subscribe(1, RUN_TEXT, 1))
            await head.hub.commit(RunFinished(2, 0, 0))
            first, last = await hear(socket), await hear(socket)
            assert type(first) is type(last) is form
            assert not isinstance(last, Events) or [event.seq for event in last.events] == [3]
            if isinstance(first, Log) and isinstance(last, Log):
                assert (first.id, first.sealed, last.sealed) == (1, False, True)
                assert first.parts[0].events[-1] == TaskStarted(0, 1, 1, "n", "ip", 0.0)
                assert (last.parts[0].first_seq, last.parts[0].events) == (3, (RunFinished(2, 0, 0),))
            await socket.close()

    scene()


@asynchronous
async def test_an_unknown_run_ends_alone() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT), Subscribe(2, NOBODY), Subscribe(3, "nonsense"))
        _, over = await ends(socket, 2)
        assert {number: (end.code, end.status) for number, end in over.items()} == {
            2: ("unknown_run", 404), 3: ("bad_id", 400),
        }  # fmt: skip
        await head.hub.commit(RunFinished(2, 0, 0))
        assert (await ends(socket, 1))[1][1].code == "sealed"
        await socket.close()


@asynchronous
async def test_a_run_that_is_removed_under_its_readers_ends_with_410() -> None:
    async with serving() as head:
        head.hub.patience = 0.01
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT))
        assert isinstance(await hear(socket), Events)
        head.driver.answers[DescribeRun] = Gone("run_expired", "it was removed", hint="run it again")
        end = await hear(socket)
        assert end == End(1, "run_expired", 410, "it was removed", "run it again")
        await socket.close()


@asynchronous
async def test_who_unsubscribed_hears_no_more_and_the_others_do() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT), Subscribe(2, RUN_TEXT))
        assert {(await hear(socket)).id, (await hear(socket)).id} == {1, 2}
        await say(socket, Unsubscribe(1), Unsubscribe(1), Unsubscribe(99))
        await settled(head, 1)
        await head.hub.commit(RunFinished(2, 0, 0))
        assert await ends(socket, 1) == ({2: [3]}, {2: SEALED})
        await socket.close()


def told_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the head logged; a loop in debug mode says on its own which steps took long."""
    return [record.getMessage() for record in caplog.records if record.name != "asyncio"]


@asynchronous
async def test_who_unsubscribes_before_anything_began_leaves_nothing_behind() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        for _ in range(20):
            # Sent at one blow, so that the head hears both before it begins with the first.
            await asyncio.gather(say(socket, Subscribe(1, RUN_TEXT)), say(socket, Unsubscribe(1)))
        await say(socket, Subscribe(2, RUN_TEXT, 1))
        while (told := await hear(socket)).id != 2:
            assert isinstance(told, Events)
        await settled(head, 1)
        await socket.close()


BAD = {
    "text": ("hello?", 1003),
    "no MessagePack": (b"\xc1", 1007),
    "no map": (msgspec.msgpack.encode([1, 2]), 1007),
    "unknown op": (msgspec.msgpack.encode({"op": "dance", "id": 1}), 1007),
    "unknown field": (msgspec.msgpack.encode({"op": "unsubscribe", "id": 1, "x": 1}), 1007),
    "no number": (msgspec.msgpack.encode({"op": "subscribe", "run": RUN_TEXT}), 1007),
    "number of another type": (msgspec.msgpack.encode({"op": "subscribe", "id": "1", "run": RUN_TEXT}), 1007),
    "negative": (msgspec.msgpack.encode({"op": "subscribe", "id": 1, "run": RUN_TEXT, "after": -1}), 1007),
    "no UTF-8": (b"\x83\xa2op\xa9subscribe\xa2id\x01\xa3run\xa1\xff", 1007),
    "deep": (b"\x81\xa1x" + b"\x91" * 5_000 + b"\xc0", 1007),
    "number in use": (msgspec.msgpack.encode({"op": "subscribe", "id": 1, "run": RUN_TEXT}), 1008),
    "no request": (msgspec.msgpack.encode({"op": "submit", "id": 2, "request": {"workflow": 1}}), 1007),
    "too large": (bytes(INBOUND_LIMIT + 1), 1009),
}


@pytest.mark.parametrize("manner", BAD)
@asynchronous
async def test_bad_manners_close_the_connection(manner: str, caplog: pytest.LogCaptureFixture) -> None:
    said, code = BAD[manner]
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT))
        assert (await hear(socket)).id == 1
        await (socket.send_str(said) if isinstance(said, str) else socket.send_bytes(said))
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == code
        await settled(head)
    assert told_of(caplog) == []


REQUEST = RunRequest(WORKFLOW_TEXT, RUN_TEXT, priority=3)


@asynchronous
async def test_a_workflow_is_run_as_by_a_post() -> None:
    async with serving() as head:
        body = head.run_body()
        head.driver.answers[SubmitRun] = body
        socket = await attach(head)
        await say(socket, Submit(7, REQUEST))
        assert await hear(socket) == Submitted(7, body)
        asked = head.driver.asked[-1]
        assert isinstance(asked, SubmitRun)
        assert (asked.run_id, asked.request) == (RUN_ID, REQUEST)
        await begun(head)
        await say(socket, Subscribe(7, RUN_TEXT))
        assert (await hear(socket)).id == 7, "the number is free again"
        await socket.close()


@asynchronous
async def test_who_wants_no_leases_is_sent_the_log_without_them() -> None:
    lease = TaskLeased(1, 1, 5, "n", Claim(1000, 0), 1)
    async with serving() as head:
        head.driver.answers[SubmitRun] = body = head.run_body()
        await begun(head)
        await head.hub.commit(lease)
        socket = await head.http.ws_connect(f"{PATH}?log={KINDS}", max_msg_size=0)
        await say(socket, Submit(1, REQUEST, follow=True, leases=False), Subscribe(2, RUN_TEXT, 2, leases=False))
        await say(socket, Subscribe(3, RUN_TEXT, 2))
        told = [await hear(socket) for _ in range(3)]
        assert told[0] == Submitted(1, body)
        assert sorted((each.id, seqs_of(each)) for each in told[1:]) == [(1, [1, 2]), (3, [3])]
        await head.hub.commit(RunFinished(2, 0, 0))
        told = [await hear(socket) for _ in range(3)]
        over = sorted((each.id, seqs_of(each), each.sealed) for each in told)
        assert over == [(number, [4], True) for number in (1, 2, 3)]
        await socket.close()


def seqs_of(told: object) -> list[int]:
    assert isinstance(told, Log)
    return [part.first_seq + number for part in told.parts for number, _ in enumerate(part.events)]


@asynchronous
async def test_a_run_that_is_followed_is_read_under_the_number_of_its_submission() -> None:
    async with serving() as head:
        head.driver.answers[SubmitRun] = body = head.run_body()
        await begun(head)
        socket = await attach(head)
        await say(socket, Submit(7, REQUEST, follow=True), Submit(8, REQUEST, follow=True, pause=MAX_PAUSE))
        assert await hear(socket) == Submitted(7, body)
        first, second = await hear(socket), await hear(socket)
        told, other = (first, second) if isinstance(first, Events) else (second, first)
        assert isinstance(told, Events)
        assert (told.id, [event.seq for event in told.events], other) == (7, [1, 2], Submitted(8, body))
        await head.hub.commit(RunFinished(2, 0, 0))
        assert await ends(socket, 2) == ({7: [3], 8: [1, 2, 3]}, {7: SEALED, 8: SEALED})
        await say(socket, Submit(7, REQUEST))
        assert await hear(socket) == Submitted(7, body), "the number is free again"
        await socket.close()


@asynchronous
async def test_a_submission_whose_commit_is_waited_for_is_answered_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as head:
        body = head.run_body()
        pending: list[asyncio.Future[Any]] = []

        def post(make: Any) -> asyncio.Future[Any]:
            pending.append(asyncio.get_running_loop().create_future())
            return pending[-1]

        monkeypatch.setattr(head.driver, "post", post)
        await begun(head)
        socket = await attach(head)
        await say(socket, Submit(7, REQUEST, follow=True), Submit(8, REQUEST), Submit(9, REQUEST), Unsubscribe(9))
        async with asyncio.timeout(20):
            while len(pending) < 3:
                await asyncio.sleep(0)
        pending[1].set_result(body)
        assert await hear(socket) == Submitted(8, body)
        pending[0].set_result(body)
        assert await hear(socket) == Submitted(7, body)
        told = await hear(socket)
        assert isinstance(told, Events)
        assert told.id == 7
        await head.hub.commit(RunFinished(2, 0, 0))
        assert (await ends(socket, 1))[1] == {7: SEALED}
        await socket.close()


def test_the_core_answers_in_the_call_that_received_a_submission() -> None:
    @asynchronous
    async def scene() -> None:
        async with serving() as head:
            head.driver.answers[SubmitRun] = body = head.run_body()
            call: Any = SimpleNamespace(services=SimpleNamespace(driver=head.driver), request={}, traffic=Traffic())
            connection = multiplex._Connection(call, LOG)
            sent: list[bytes] = []
            connection.socket.send_now = lambda frame, kind: sent.append(frame)  # type: ignore[method-assign]
            assert connection._hear(BINARY, msgspec.msgpack.encode(Submit(7, REQUEST))) is None
            assert sent == [msgspec.msgpack.encode(Submitted(7, body))]
            assert not connection._readers, "its number is free"

            def gone(frame: bytes, kind: int) -> None:
                raise ConnectionResetError

            connection.socket.send_now = gone  # type: ignore[method-assign]
            assert connection._hear(BINARY, msgspec.msgpack.encode(Submit(8, REQUEST, follow=True))) is None
            assert await connection._trouble() is None
            assert not connection._readers

    scene()


@asynchronous
async def test_who_follows_no_more_hears_no_more() -> None:
    async with serving() as head:
        head.driver.answers[SubmitRun] = head.run_body()
        await begun(head)
        socket = await attach(head)
        await say(socket, Submit(7, REQUEST, follow=True))
        assert [type(await hear(socket)) for _ in range(2)] == [Submitted, Events]
        await say(socket, Unsubscribe(7), Subscribe(7, RUN_TEXT, 2))
        await settled(head, 1)
        await head.hub.commit(RunFinished(2, 0, 0))
        assert await ends(socket, 1) == ({7: [3]}, {7: SEALED})
        await socket.close()


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Unavailable("too_many_pending", "not now", hint="wait"), 429, "too_many_pending"),
        (Invalid("empty_workflow", "it has no tasks"), 422, "empty_workflow"),
        (KeyError("a bug"), 500, "internal_error"),
    ],
)
@asynchronous
async def test_a_refused_submission_ends_alone(answer: Exception, status: int, code: str) -> None:
    async with serving() as head:
        await begun(head)
        head.driver.answers[SubmitRun] = answer
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT))
        await hear(socket)
        await say(socket, Submit(7, REQUEST, follow=True), Submit(8, RunRequest("nonsense")))
        _, over = await ends(socket, 2)
        assert (over[7].status, over[7].code) == (status, code)
        assert (over[8].status, over[8].code) == (400, "bad_id")
        await head.hub.commit(RunFinished(2, 0, 0))
        assert (await ends(socket, 1))[1] == {1: SEALED}
        await socket.close()


@asynchronous
async def test_too_many_subscriptions_are_refused_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplex, "MAX_SUBSCRIPTIONS", 2)
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, *(Subscribe(number, RUN_TEXT, 2) for number in (1, 2, 3)))
        end = await hear(socket)
        assert (end.id, isinstance(end, End) and (end.code, end.status)) == (3, ("too_many_subscriptions", 429))
        await say(socket, Unsubscribe(1), Subscribe(3, RUN_TEXT, 1))
        assert (await hear(socket)).id == 3
        await socket.close()


@asynchronous
async def test_a_stopping_head_says_1001() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT))
        await hear(socket)
        head.services.shutting_down.set()
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1001


@asynchronous
async def test_a_bug_ends_one_subscription_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT, 2))
        await until(lambda: head.hub.reads > 0)
        read = head.hub.read

        async def fail(run_no: int, after: int) -> Any:
            raise KeyError("a bug")

        monkeypatch.setattr(head.hub, "read", fail)
        await say(socket, Subscribe(2, RUN_TEXT))
        end = await hear(socket)
        assert isinstance(end, End)
        assert (end.id, end.code, end.status) == (2, "internal_error", 500)
        assert "a bug" in caplog.text
        monkeypatch.setattr(head.hub, "read", read)
        await head.hub.commit(RunFinished(2, 0, 0))
        assert (await ends(socket, 1))[1][1].code == "sealed"
        await socket.close()


@asynchronous
async def test_a_long_replay_takes_turns_with_the_others() -> None:
    async with serving() as head:
        await begun(head)
        for _ in range(50):
            await head.hub.commit(TaskWarned(0, "x" * 2_000))
        await head.hub.commit(RunFinished(2, 0, 0))
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT), Subscribe(2, RUN_TEXT, 40), Subscribe(3, RUN_TEXT, 52))
        order = []
        while len(order) < 52 + 12 + 1:
            order.append((await hear(socket)).id)
        assert order.index(3) < 10, "three take turns"
        assert max(place for place, number in enumerate(order) if number == 2) < 40
        await socket.close()


@asynchronous
async def test_events_that_may_wait_come_together_with_the_last_one() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT, pause=MAX_PAUSE))
        await settled(head, 1)
        for _ in range(3):
            await head.hub.commit(TaskWarned(0, "x"))
        await head.hub.commit(RunFinished(2, 0, 0))
        whole = await hear(socket)
        assert isinstance(whole, Events)
        assert ([event.seq for event in whole.events], whole.sealed) == ([1, 2, 3, 4, 5, 6], True)
        await socket.close()


@asynchronous
async def test_a_pause_is_no_longer_than_was_asked_for() -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, Subscribe(1, RUN_TEXT, pause=0.01))
        first = await hear(socket)
        assert isinstance(first, Events)
        assert ([event.seq for event in first.events], first.sealed) == ([1, 2], False)
        await socket.close()


@asynchronous
async def test_a_client_that_vanishes_costs_nobody_anything() -> None:
    async with serving() as head:
        await begun(head)
        for _ in range(3):
            socket = await attach(head)
            await say(socket, Subscribe(1, RUN_TEXT))
            await hear(socket)
            transport = socket._response.connection.transport  # type: ignore[union-attr]  # cut off, not closed
            transport.abort()
            await socket.close()
        await settled(head)


@asynchronous
async def test_what_is_no_handshake_is_400() -> None:
    async with serving() as head, head.http.get(PATH) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_upgrade")


@asynchronous
async def test_leaving_in_the_middle_of_everything_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as head:
        await begun(head)
        socket = await attach(head)
        await say(socket, *(Subscribe(number, RUN_TEXT) for number in range(50)))
        await asyncio.gather(socket.close(), head.hub.commit(RunFinished(2, 0, 0)))
        await settled(head)
    assert told_of(caplog) == []
