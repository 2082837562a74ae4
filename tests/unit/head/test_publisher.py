"""The XPUB shell: welcome for who joins, committed segments for who listens, nothing for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import zmq

from maze_head import publisher as publisher_module
from maze_head.publisher import SEGMENT, WELCOME, Publisher
from maze_head.sockets import bind, open_socket
from maze_protocol.events import Segment
from maze_protocol.topics import run_topic
from support.head_shells import EPOCH, run_id, sealed, segment, submitted
from support.zmq_peers import Peer, until, zmq_context

CLUSTER_ID = b"c" * 16
TOPIC = run_topic(run_id(1))


class World:
    """A publisher on a free port."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        xpub = open_socket(context, zmq.XPUB, 4096)
        self.endpoint = f"tcp://127.0.0.1:{bind(xpub, '127.0.0.1', 0, '--event-port')}"
        self.publisher = Publisher(xpub, EPOCH, CLUSTER_ID)

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
                    world.publisher.close()

        asyncio.run(run())

    test.__name__ = check.__name__
    return test


@scenario
async def test_who_joins_is_welcomed_and_hears_the_segments_of_its_run(world: World) -> None:
    with world.listener(TOPIC) as peer:
        topic, kind, body = await peer.hear_frames()
        assert (topic, kind, msgspec.msgpack.decode(body)) == (TOPIC, WELCOME, [EPOCH, CLUSTER_ID])
        world.publisher.publish(run_id(2), segment(1, submitted(2)))
        world.publisher.publish(run_id(1), segment(1, submitted(1), sealed()))
        topic, kind, body = await peer.hear_frames()
        assert (topic, kind) == (TOPIC, SEGMENT)
        assert msgspec.msgpack.decode(body, type=Segment) == segment(1, submitted(1), sealed())
        assert world.publisher.counters() == {"publisher_topics": 1, "publisher_segments_total": 1}


@scenario
async def test_a_second_listener_of_the_same_topic_is_welcomed_too(world: World) -> None:
    with world.listener(TOPIC) as first, world.listener(TOPIC) as second:
        assert (await first.hear_frames())[1] == (await second.hear_frames())[1] == WELCOME


@scenario
async def test_a_prefix_hears_all_runs(world: World) -> None:
    with world.listener(b"r/") as peer:
        await peer.hear_frames()
        for number in (1, 2):
            world.publisher.publish(run_id(number), segment(1, submitted(number)))
        assert [(await peer.hear_frames())[0] for _ in range(2)] == [run_topic(run_id(1)), run_topic(run_id(2))]


@scenario
async def test_nothing_is_encoded_for_nobody(world: World) -> None:
    world.publisher.publish(run_id(1), segment(1, submitted(1)))
    with world.listener(TOPIC) as peer:
        await peer.hear_frames()
    await until(lambda: world.publisher.counters()["publisher_topics"] == 0)
    world.publisher.publish(run_id(1), segment(1, submitted(1)))
    world.publisher.tick()
    assert world.publisher.published == 0


@scenario
async def test_too_many_topics_are_not_told_apart(world: World) -> None:
    limit, publisher_module.MAX_TOPICS = publisher_module.MAX_TOPICS, 1  # type: ignore[misc]
    try:
        with world.listener(b"x", TOPIC) as peer:
            for _ in range(2):
                await peer.hear_frames()
            world.publisher.publish(run_id(1), segment(1, submitted(1)))
            assert (await peer.hear_frames())[0] == TOPIC
    finally:
        publisher_module.MAX_TOPICS = limit  # type: ignore[misc]


@scenario
async def test_absurd_subscriptions_are_ignored(world: World) -> None:
    with world.listener(b"r/" + bytes(1000), TOPIC) as peer:
        assert (await peer.hear_frames())[0] == TOPIC
        assert world.publisher.counters()["publisher_topics"] == 1
