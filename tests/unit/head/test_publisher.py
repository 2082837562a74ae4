"""The XPUB shell: welcome for who joins, committed events and tips for who listens, nothing for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import zmq

from maze_head import publisher as publisher_module
from maze_head.publisher import PIECE_BYTES, SEGMENT, TIP, WELCOME, Publisher, Readings
from maze_head.sockets import bind, open_socket
from maze_protocol.events import SEALING, Segment
from maze_protocol.subscriber import Deliver, Published, Replay, Replayed, Subscriber, Tipped, Welcomed
from maze_protocol.topics import run_topic
from support.event_wire import Event
from support.head_shells import EPOCH, run_id, sealed, segment, submitted
from support.zmq_peers import Peer, until, zmq_context

CLUSTER_ID = b"c" * 16
TOPIC = run_topic(run_id(1))


class World:
    """A publisher on a free port, over logs that the test makes up; a piece is the list of its event numbers."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        xpub = open_socket(context, zmq.XPUB, 4096)
        self.endpoint = f"tcp://127.0.0.1:{bind(xpub, '127.0.0.1', 0, '--event-port')}"
        self.now = 100.0
        self.ends: dict[bytes, tuple[int, bool]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.padding = b""
        self.allowed = True
        readings = Readings(self.ends.get, self.render, lambda: self.now, lambda key: self.allowed)
        self.publisher = Publisher(xpub, EPOCH, CLUSTER_ID, readings)

    async def render(self, run: bytes, part: Segment, limit: int) -> list[bytes]:
        """Return one piece."""
        assert limit == PIECE_BYTES
        await self.gate.wait()
        if part.first_seq < 0:
            raise LookupError("the journal holds no such row")
        numbers = list(range(part.first_seq, part.first_seq + len(part.events)))
        return [msgspec.msgpack.encode([*numbers, self.padding] if self.padding else numbers)]

    def publish(self, number: int, part: Segment) -> None:
        """Commit and publish a segment."""
        self.ends[run_id(number)] = (part.first_seq + len(part.events) - 1, isinstance(part.events[-1], SEALING))
        self.publisher.publish(run_id(number), part)

    def pass_time(self, seconds: float) -> int:
        """Let time pass, as the driver's ticks do; return how many tips that brought."""
        before = self.publisher.tips_sent
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            self.publisher.tick()
        return self.publisher.tips_sent - before

    def listener(self, *topics: bytes) -> Peer:
        """Return a subscriber."""
        peer = Peer(zmq.SUB, self.endpoint)
        for topic in topics:
            peer.socket.subscribe(topic)
        return peer


def scenario(check: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Run a test against a publisher that is closed afterwards."""

    def test() -> None:
        async def run() -> None:
            async with zmq_context() as context:
                world = World(context)
                try:
                    await check(world)
                finally:
                    await world.publisher.close()

        asyncio.run(run())

    test.__name__ = check.__name__
    return test


@scenario
async def test_who_joins_is_welcomed_and_hears_the_segments_of_its_run(world: World) -> None:
    with world.listener(TOPIC) as peer:
        topic, kind, body = await peer.hear_frames()
        assert (topic, kind, msgspec.msgpack.decode(body)) == (TOPIC, WELCOME, [EPOCH, CLUSTER_ID])
        world.publish(2, segment(1, submitted(2)))
        world.publish(1, segment(1, submitted(1), sealed()))
        topic, kind, body = await peer.hear_frames()
        assert (topic, kind) == (TOPIC, SEGMENT)
        assert msgspec.msgpack.decode(body) == [1, 2]
        counters = world.publisher.counters()
        assert (counters["publisher_topics"], counters["publisher_segments_total"]) == (1, 1)


@scenario
async def test_a_second_listener_of_the_same_topic_is_welcomed_too(world: World) -> None:
    with world.listener(TOPIC) as first, world.listener(TOPIC) as second:
        assert (await first.hear_frames())[1] == (await second.hear_frames())[1] == WELCOME


@scenario
async def test_who_may_not_read_hears_nothing_and_takes_nothing_from_others(world: World) -> None:
    world.allowed = False
    with world.listener(TOPIC) as stranger:
        await until(lambda: world.publisher.refused)
        world.publish(1, segment(1, submitted(1)))
        world.allowed = True
        with world.listener(TOPIC) as peer:
            assert (await peer.hear_frames())[1] == WELCOME
            world.publish(1, segment(2, sealed()))
            assert (await peer.hear_frames())[1] == SEGMENT
            assert not await stranger.socket.poll(50)
            stranger.socket.unsubscribe(TOPIC)
            await until(lambda: world.publisher._asked[TOPIC] == 1)
            assert world.publisher.counters()["publisher_topics"] == 1
            world.pass_time(1.0)
            assert (await peer.hear_frames())[1] == TIP
    await until(lambda: not world.publisher.counters()["publisher_topics"])
    assert world.publisher.counters()["publisher_refused_total"] == 1


@scenario
async def test_a_prefix_hears_all_runs(world: World) -> None:
    with world.listener(b"r/") as peer:
        await peer.hear_frames()
        for number in (1, 2):
            world.publish(number, segment(1, submitted(number)))
        assert [(await peer.hear_frames())[0] for _ in range(2)] == [run_topic(run_id(1)), run_topic(run_id(2))]


@scenario
async def test_nothing_is_encoded_for_nobody(world: World) -> None:
    world.publish(1, segment(1, submitted(1)))
    with world.listener(TOPIC) as peer:
        await peer.hear_frames()
    await until(lambda: world.publisher.counters()["publisher_topics"] == 0)
    world.publish(1, segment(1, submitted(1)))
    world.publisher.tick()
    assert world.publisher.published == 0


@scenario
async def test_too_many_topics_are_not_told_apart(world: World) -> None:
    limit, publisher_module.MAX_TOPICS = publisher_module.MAX_TOPICS, 1  # type: ignore[misc]
    try:
        with world.listener(b"x", TOPIC) as peer:
            for _ in range(2):
                await peer.hear_frames()
            world.publish(1, segment(1, submitted(1)))
            assert (await peer.hear_frames())[0] == TOPIC
    finally:
        publisher_module.MAX_TOPICS = limit  # type: ignore[misc]


@scenario
async def test_absurd_subscriptions_are_ignored(world: World) -> None:
    with world.listener(b"r/" + bytes(1000), TOPIC) as peer:
        assert (await peer.hear_frames())[0] == TOPIC
        assert world.publisher.counters()["publisher_topics"] == 1


@scenario
async def test_who_listens_is_told_the_end_of_the_log_every_second_and_thrice_after_the_seal(world: World) -> None:
    with world.listener(TOPIC) as peer:
        await peer.hear_frames()
        world.publish(1, segment(1, submitted(1)))
        await peer.hear_frames()
        assert world.pass_time(5) == 5
        for _ in range(5):
            topic, kind, body = await peer.hear_frames()
            assert (topic, kind, msgspec.msgpack.decode(body)) == (TOPIC, TIP, [EPOCH, 1, False])
        world.publish(1, segment(2, sealed()))
        assert (await peer.hear_frames())[1] == SEGMENT
        assert world.pass_time(10) == 3
        assert msgspec.msgpack.decode((await peer.hear_frames())[2]) == [EPOCH, 2, True]


@scenario
async def test_who_joins_a_run_that_is_over_is_told_so(world: World) -> None:
    world.ends[run_id(1)] = (7, True)
    with world.listener(TOPIC) as peer:
        await peer.hear_frames()
        assert world.pass_time(10) == 3
        assert msgspec.msgpack.decode((await peer.hear_frames())[2]) == [EPOCH, 7, True]


@scenario
async def test_nobody_is_told_of_unknown_runs_nor_after_leaving(world: World) -> None:
    with world.listener(TOPIC, run_topic(run_id(2))) as peer:
        for _ in range(2):
            await peer.hear_frames()
        world.ends[run_id(2)] = (1, False)
        assert world.pass_time(2) == 2, "of run 2; run 1 does not exist"
    await until(lambda: world.publisher.counters()["publisher_topics"] == 0)
    assert world.pass_time(5) == 0


@scenario
async def test_an_event_too_large_for_a_publication_is_told_by_a_tip(world: World) -> None:
    with world.listener(TOPIC) as peer:
        await peer.hear_frames()
        world.padding = bytes(2 * PIECE_BYTES)
        world.publish(1, segment(1, submitted(1)))
        _, kind, body = await peer.hear_frames()
        assert (kind, msgspec.msgpack.decode(body)) == (TIP, [EPOCH, 1, False])


@scenario
async def test_what_cannot_be_rendered_or_waits_too_long_is_left_out_and_the_rest_goes_on(world: World) -> None:
    limit, publisher_module.WAITING = publisher_module.WAITING, 2  # type: ignore[misc]
    try:
        with world.listener(TOPIC) as peer:
            await peer.hear_frames()
            world.gate.clear()
            world.publish(1, segment(-9, submitted(1)))
            await asyncio.sleep(0)
            for seq in (2, 3, 4):
                world.publish(1, segment(seq, submitted(1)))
            world.gate.set()
            assert [msgspec.msgpack.decode((await peer.hear_frames())[2]) for _ in range(2)] == [[2], [3]]
            assert world.publisher.counters()["publisher_skipped_total"] == 2
    finally:
        publisher_module.WAITING = limit  # type: ignore[misc]


@scenario
async def test_a_publisher_can_be_closed_while_it_renders(world: World) -> None:
    with world.listener(TOPIC) as peer:
        await peer.hear_frames()
        world.gate.clear()
        world.publish(1, segment(1, submitted(1)))
        await asyncio.sleep(0)


@scenario
async def test_what_a_slow_subscriber_loses_it_finds_by_the_numbers(world: World) -> None:
    log = [Event(seq, EPOCH) for seq in range(1, 3_001)]
    world.padding = bytes(10_000)
    reader: Subscriber[Event] = Subscriber(world.now)
    seen: list[Event] = []
    replays = 0

    def feed(what: Any) -> None:
        nonlocal replays
        for output in reader.handle(what, world.now):
            if isinstance(output, Deliver):
                seen.extend(output.events)
            elif isinstance(output, Replay):
                replays += 1
                feed(Replayed(output.question, log[output.after : output.after + 1_000], sealed=False))

    with Peer(zmq.SUB, world.endpoint, (zmq.RCVHWM, 10), (zmq.RCVBUF, 4096)) as peer, world.listener(TOPIC) as other:
        peer.socket.subscribe(TOPIC)
        feed(Welcomed(*msgspec.msgpack.decode((await peer.hear_frames())[2])))
        await other.hear_frames()
        heard = asyncio.create_task(hear(other, len(log)))
        for event in log:
            world.publish(1, segment(event.seq, submitted(1)))
            if event.seq % 50 == 0:
                await until(lambda: world.publisher.published == event.seq)  # noqa: B023 -- called before the next turn
        ticking = asyncio.create_task(tick(world))
        assert await heard > 300, "the other one, who reads, is not held up"
        published = 0
        while reader.seq < len(log):
            _, kind, body = await peer.hear_frames()
            if kind == SEGMENT:
                published += 1
                feed(Published([log[seq - 1] for seq in msgspec.msgpack.decode(body)[:-1]]))
            elif kind == TIP:
                feed(Tipped(*msgspec.msgpack.decode(body)))
        ticking.cancel()
    assert seen == log
    assert published < len(log)
    assert replays > 1


async def tick(world: World) -> None:
    """Let time pass as long as anybody waits for a tip."""
    while True:
        world.pass_time(1)
        await asyncio.sleep(0.01)


async def hear(peer: Peer, last: int) -> int:
    """Count the publications that arrive until that event does, or until a tip tells that it did not."""
    count = 0
    while True:
        _, kind, body = await peer.hear_frames()
        count += kind == SEGMENT
        if kind == TIP or (kind == SEGMENT and msgspec.msgpack.decode(body)[0] == last):
            return count
