"""Events from publications: a real XPUB, and a log behind scripted HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import zmq

from maze import _http, _published
from maze._daemon.curve import ServerSide
from maze._daemon.keys import KeyPair
from maze._daemon.zap import EVENTS, Doorkeeper
from maze._published import PublishedFeed
from maze.errors import EventsLostError, HeadUnavailableError, RequestError, UnknownRunError
from maze_protocol.enrolment import EventKeyBody
from maze_protocol.streams import PackedEvent
from support.run_story import packed
from support.zmq_peers import until

RUN = "run_" + "ab" * 16
TOPIC = b"r/" + b"ab" * 16 + b"/"
CLUSTER = b"c" * 16


def event(seq: int, kind: str = "start_task", epoch: int = 1) -> PackedEvent:
    return packed(seq, kind, {}, epoch=epoch)


class Head:
    """A log, an XPUB that says what the test wants, and pages of two events."""

    def __init__(self, xpub: zmq.Socket[bytes], pair: KeyPair | None = None) -> None:
        self.xpub = xpub
        self.pair = pair
        self.known: list[str] = []
        if pair is not None:
            ServerSide(pair, EVENTS).apply(xpub)
        self.endpoint = f"tcp://127.0.0.1:{xpub.bind_to_random_port('tcp://127.0.0.1')}"
        self.log: list[PackedEvent] = []
        self.asked: list[int] = []
        self.looked_up = 0
        self.failure: Exception | None = None

    async def request(self, method: str, where: str, reply: Any, body: Any = None, **query: str) -> Any:
        if self.failure is not None:
            raise self.failure
        if where.endswith("/info"):
            self.looked_up += 1
            key = self.pair.public if self.pair else ""
            return SimpleNamespace(endpoints={"events": self.endpoint}, head_key=key)
        if where.endswith("/event-keys"):
            assert self.pair is not None
            self.known.append(body.key)
            return EventKeyBody(self.endpoint, self.pair.public, 3600.0)
        after = int(query["after"])
        self.asked.append(after)
        events = self.log[after : after + 2]
        sealed = bool(self.log) and self.log[-1].type == "finish_workflow" and after + len(events) == len(self.log)
        return reply(events, after + len(events), sealed)

    def say(self, kind: bytes, body: Any) -> None:
        """Publish anything."""
        self.xpub.send_multipart([TOPIC, kind, body if isinstance(body, bytes) else msgspec.msgpack.encode(body)])

    def publish(self, *events: PackedEvent) -> None:
        """Commit and publish."""
        self.log += events
        self.say(b"S", list(events))

    async def welcome(self, epoch: int = 1) -> None:
        """Wait for a subscription and answer it."""
        await until(lambda: self.xpub.poll(0))
        assert self.xpub.recv() == b"\x01" + TOPIC
        self.say(b"W", (epoch, CLUSTER))


Scenario = Callable[[Head, PublishedFeed], Coroutine[Any, Any, None]]


@asynccontextmanager
async def listening(monkeypatch: pytest.MonkeyPatch, after: int = 0) -> AsyncIterator[tuple[Head, PublishedFeed]]:
    """Yield a head and a feed of its run; leaves nothing open."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    xpub = context.socket(zmq.XPUB)
    head, feed = Head(xpub), PublishedFeed("http://head", RUN, after)
    monkeypatch.setattr(_published, "connection", lambda url: head)
    try:
        yield head, feed
    finally:
        await feed.close()
        xpub.close(0)
        context.term()


async def take(feed: PublishedFeed, count: int) -> list[int]:
    """Return the numbers of so many events."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while len(numbers) < count:
            events = await feed.next()
            assert events is not None
            numbers += [each.seq for each in events]
    return numbers


def test_the_past_comes_over_http_and_the_rest_as_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with listening(monkeypatch) as (head, feed):
            head.log = [event(1), event(2), event(3)]
            first = asyncio.create_task(take(feed, 3))
            await head.welcome()
            assert await first == [1, 2, 3]
            await until(lambda: head.asked == [0, 2, 3])
            head.publish(event(4))
            head.publish(event(5), event(6, "finish_workflow"))
            assert await take(feed, 3) == [4, 5, 6]
            assert await feed.next() is None
            assert head.asked == [0, 2, 3]

    asyncio.run(main())


def test_a_head_with_curve_is_asked_to_let_in_a_key_of_the_sockets_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        xpub = context.socket(zmq.XPUB)
        doorkeeper = Doorkeeper(context, lambda domain, key: key in head.known, lambda _: None)
        doorkeeper.start()
        head = Head(xpub, KeyPair.make())
        monkeypatch.setattr(_published, "connection", lambda url: head)
        feed = PublishedFeed("http://head", RUN)
        head.log = [event(1), event(2, "finish_workflow")]
        first = asyncio.create_task(take(feed, 2))
        await head.welcome()
        assert await first == [1, 2]
        assert len(head.known) == 1
        await feed.close()
        xpub.close(0)
        doorkeeper.close()
        context.term()

    asyncio.run(main())


def test_a_gap_and_a_tip_are_read_over_http_and_nonsense_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with listening(monkeypatch, 1) as (head, feed):
            head.log = [event(1)]
            first = asyncio.create_task(take(feed, 2))
            await head.welcome()
            await until(lambda: head.asked)
            for kind, body in ((b"S", b"\xc1"), (b"S", b"\x90"), (b"T", b"\x01"), (b"W", b""), (b"X", b"")):
                head.say(kind, body)
            head.xpub.send_multipart([TOPIC, b"S"])
            head.log.append(event(2))
            head.publish(event(3))
            assert await first == [2, 3]
            head.log.append(event(4, "finish_workflow"))
            head.say(b"T", (1, 4, True))
            assert await take(feed, 1) == [4]
            assert await feed.next() is None

    asyncio.run(main())


def test_who_has_everything_of_a_sealed_run_is_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with listening(monkeypatch, 1) as (head, feed):
            head.log = [event(1, "finish_workflow")]
            end = asyncio.create_task(feed.next())
            await head.welcome()
            assert await end is None

    asyncio.run(main())


def test_a_log_that_lost_its_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with listening(monkeypatch) as (head, feed):
            first = asyncio.create_task(take(feed, 1))
            await head.welcome()
            head.publish(event(1))
            assert await first == [1]
            head.log = [event(1, epoch=2)]
            head.say(b"W", (2, CLUSTER))
            with pytest.raises(EventsLostError, match="another event stands there"):
                await feed.next()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (RequestError("gone", status=410, code="run_expired"), UnknownRunError),
        (RequestError("no", status=400, code="bad_query"), RequestError),
        (HeadUnavailableError("refused"), HeadUnavailableError),
    ],
)
def test_a_head_that_refuses_or_stays_away_is_told(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, told: type[Exception]
) -> None:
    async def main() -> None:
        async with listening(monkeypatch) as (head, feed):
            first = asyncio.create_task(feed.next())
            await until(lambda: head.looked_up)
            monkeypatch.setattr("maze._feed.RECONNECT_SECONDS", -1.0)
            head.failure = failure
            await head.welcome()
            with pytest.raises(told):
                await first

    asyncio.run(main())


def test_a_head_that_comes_back_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_published, "BEAT", 0.01)

    async def main() -> None:
        async with listening(monkeypatch) as (head, feed):
            head.failure = HeadUnavailableError("refused")
            first = asyncio.create_task(take(feed, 1))
            await asyncio.sleep(0)
            head.failure = None
            head.log = [event(1)]
            await head.welcome()
            assert await first == [1]

    asyncio.run(main())


def test_silence_makes_it_look_up_the_endpoint_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_published, "BEAT", 0.01)
    monkeypatch.setattr("maze_protocol.subscriber.SILENCE", 0.02)
    monkeypatch.setattr("maze_protocol.subscriber.REJOIN_AFTER", 0.05)

    async def main() -> None:
        async with listening(monkeypatch) as (head, feed):
            head.log = [event(1)]
            assert await take(feed, 1) == [1], "though nobody ever publishes"
            await until(lambda: head.looked_up > 2)

    asyncio.run(main())


def test_the_connection_is_the_processs_own() -> None:
    assert _published.connection is _http.connection
