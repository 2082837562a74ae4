"""The ROUTER shell over real connections on loopback: sessions, losses, garbage, pulls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import zmq

from maze_head import transport as transport_module
from maze_head.core.events import Event, LinkLost, NodeGreeted, NodeSaid
from maze_head.links import STRANGER_SECONDS
from maze_head.sockets import bind, open_socket
from maze_head.transport import Transport
from maze_protocol.framing import PREAMBLE
from maze_protocol.limits import MAX_CONTROL_FRAME, MAX_FRAMES
from maze_protocol.messages import (
    Cancel,
    Disconnect,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    LogChunk,
    LogPull,
    Nak,
    NodeLoad,
    Rehello,
    Reject,
    Release,
    Shutdown,
)
from support.messages import make_hello, make_welcome
from support.zmq_peers import Peer, until, zmq_context

SESSION = 1 << 32 | 1


class World:
    """A transport on a free port, a clock that stands still, and what it told the driver."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        router = open_socket(context, zmq.ROUTER, MAX_CONTROL_FRAME)
        self.endpoint = f"tcp://127.0.0.1:{bind(router, '127.0.0.1', 0, '--node-port')}"
        self.events: list[Event] = []
        self.now = 100.0
        self.gathered = 0
        self.transport = Transport(
            router,
            self.events.append,
            lambda: self.now,
            gather=self._gather,
            gathered=self._take_gathered,
            http="http://localhost:8000",
        )
        self._waiting: list[Event] = []

    def _gather(self, event: Event) -> None:
        assert isinstance(event, NodeSaid), "news of links do not wait for the rest of a share"
        self._waiting.append(event)

    def _take_gathered(self) -> None:
        """Take over what nodes said: nothing of it is left behind when a share is over."""
        self.gathered += 1
        self.events += self._waiting
        self._waiting.clear()

    @property
    def counters(self) -> dict[str, int | float]:
        return self.transport.counters()

    async def event(self, kind: type) -> Any:
        """Wait for the next event of a kind, and take it out."""
        found = await until(lambda: [event for event in self.events if isinstance(event, kind)])
        self.events.remove(found[0])
        return found[0]

    @asynccontextmanager
    async def member(self) -> AsyncIterator[tuple[Peer, bytes]]:
        """Yield a node with an open session, and its link."""
        with Peer(zmq.DEALER, self.endpoint) as peer:
            await peer.say(make_hello())
            link = (await self.event(NodeGreeted)).link
            self.transport.admit(link, make_welcome(SESSION))
            assert await peer.hear() == make_welcome(SESSION)
            yield peer, link


def scenario(check: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Run a test against a transport that is closed afterwards."""

    def test() -> None:
        async def run() -> None:
            async with zmq_context() as context:
                world = World(context)
                try:
                    await check(world)
                finally:
                    world.transport.close()

        asyncio.run(run())

    test.__name__ = check.__name__
    test.__doc__ = check.__doc__
    return test


@scenario
async def test_a_greeting_reaches_the_driver_and_an_admitted_node_is_heard(world: World) -> None:
    async with world.member() as (peer, link):
        assert world.counters["transport_sessions"] == 1
        await peer.say(Release((7,), "full"), SESSION, 1)
        assert await world.event(NodeSaid) == NodeSaid(link, Release((7,), "full"))
        assert world.gathered > 0
        world.transport.send(link, Cancel((7,)))
        envelope = await peer.hear_envelope()
        assert (envelope.session, envelope.seq, envelope.ack, envelope.message) == (SESSION, 1, 1, Cancel((7,)))


@scenario
async def test_payload_frames_travel_both_ways(world: World) -> None:
    async with world.member() as (peer, link):
        await peer.say(Release((7,)), SESSION, 1, payloads=(b"one", b"two"))
        assert (await world.event(NodeSaid)).payloads == (b"one", b"two")
        world.transport.send(link, Cancel((7,)), [b"three"])
        assert (await peer.hear_frames())[2:] == [b"three"]


@scenario
async def test_a_heartbeat_is_answered_and_told(world: World) -> None:
    async with world.member() as (peer, link):
        beat = Heartbeat(1.5, NodeLoad(running=2))
        await peer.say(beat, SESSION, 1)
        assert await peer.hear() == HeartbeatAck(1.5, 100.0)
        assert await world.event(NodeSaid) == NodeSaid(link, beat)


@scenario
async def test_a_duplicate_is_dropped_and_a_gap_ends_the_session(world: World) -> None:
    async with world.member() as (peer, link):
        await peer.say(Release((1,)), SESSION, 1)
        await peer.say(Release((1,)), SESSION, 1)
        await peer.say(Release((3,)), SESSION, 3)
        assert isinstance(await peer.hear(), Rehello)
        assert (await world.event(LinkLost)).link == link
        assert [type(event) for event in world.events] == [NodeSaid]


@scenario
async def test_a_stranger_is_asked_for_its_name_and_then_forgotten(world: World) -> None:
    with Peer(zmq.DEALER, world.endpoint) as peer:
        await peer.say(Heartbeat(1.0), 77, 1)
        assert isinstance(await peer.hear(), Rehello)
        world.transport.tick()
        assert world.counters["transport_links"] == 1
        world.now += STRANGER_SECONDS + 1
        world.transport.tick()
        assert world.counters["transport_links"] == 0
        assert world.events == []


@scenario
async def test_a_refused_node_hears_why_and_is_not_reported_lost(world: World) -> None:
    with Peer(zmq.DEALER, world.endpoint) as peer:
        await peer.say(make_hello())
        link = (await world.event(NodeGreeted)).link
        world.transport.refuse(link, Reject("capacity", "no CPUs"))
        assert await peer.hear() == Reject("capacity", "no CPUs")
        world.transport.admit(link, make_welcome(SESSION))
        world.transport.send(link, Cancel((1,)))
    await until(lambda: world.counters["transport_links"] == 0)
    assert world.events == []


@scenario
async def test_a_dropped_node_hears_its_farewell_again_when_it_goes_on_talking(world: World) -> None:
    async with world.member() as (peer, link):
        world.transport.refuse(link, Disconnect("duplicate", "newer"))
        assert await peer.hear() == Disconnect("duplicate", "newer")
        world.now += 2.0
        await peer.say(Heartbeat(1.0), SESSION, 1)
        assert await peer.hear() == Disconnect("duplicate", "newer")


@scenario
async def test_a_connection_that_closes_is_lost_at_once(world: World) -> None:
    async with world.member() as (_, link):
        pass
    assert await world.event(LinkLost) == LinkLost(link, "disconnected")
    assert world.counters["transport_disconnects_total"] == 1
    world.transport.send(link, Cancel((1,)))
    world.transport.refuse(link, Disconnect("late"))
    assert world.events == []


@scenario
async def test_goodbye_is_told_before_the_link_ends(world: World) -> None:
    async with world.member() as (peer, link):
        await peer.say(Goodbye("drained"), SESSION, 1)
        await world.event(LinkLost)
        assert world.events == [NodeSaid(link, Goodbye("drained"))]


@scenario
async def test_a_link_that_cannot_be_routed_is_lost(world: World) -> None:
    async with world.member() as (_, link):
        known = world.transport._links.get(link)
        assert known is not None
        known.id = b"nobody"
        world.transport.send(link, Cancel((1,)))
        assert await world.event(LinkLost) == LinkLost(b"nobody", "unroutable")
        assert world.counters["transport_unroutable_total"] == 1


@scenario
async def test_a_message_that_cannot_be_sent_is_logged_and_ends_the_link(world: World) -> None:
    async with world.member() as (_, link):
        world.transport.send(link, Shutdown("bye"), [bytes(10)] * (MAX_FRAMES + 1))
        assert (await world.event(LinkLost)).link == link


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b""], "frame_count"),
        ([b"x", b"y"], "preamble_size"),
        ([bytes(PREAMBLE.size), b"y"], "magic"),
        ([b"x"] * (MAX_FRAMES + 50), "preamble_size"),
        ([PREAMBLE.pack(b"MZ", 9, 0, 8, 0, 1, 0), b"y"], "version"),
        ([PREAMBLE.pack(b"MZ", 1, 0, 8, 0, 1, 0), b"y"], "checksum"),
        ([PREAMBLE.pack(b"MZ", 1, 0, 4000, 1, 1, 0), b"y"], "unknown_type"),
    ],
)
def test_garbage_is_counted_answered_and_ends_a_session_after_three(frames: list[bytes], code: str) -> None:
    async def check(world: World) -> None:
        async with world.member() as (peer, link):
            for _ in range(transport_module.MAX_STRIKES):
                await peer.say_frames(frames)
            answers = [await peer.hear() for _ in range(transport_module.MAX_STRIKES + 1)]
            assert [answer.code for answer in answers[:-1] if isinstance(answer, Nak)] == [code] * 3
            assert isinstance(answers[-1], Disconnect)
            assert world.counters[f"transport_refused_{code}_total"] == 3
            assert await until(lambda: world.counters["transport_sessions"] == 0)
            assert (await world.event(LinkLost)).link == link

    scenario(check)()


@scenario
async def test_a_foreign_version_is_refused_in_words_that_it_can_read(world: World) -> None:
    with Peer(zmq.DEALER, world.endpoint) as peer:
        await peer.say_frames([PREAMBLE.pack(b"MZ", 9, 0, 8, 0, 1, 0), b"y"])
        answer = await peer.hear()
        assert isinstance(answer, Reject)
        assert answer.code == "version"


@scenario
async def test_an_unknown_message_that_may_be_ignored_is_ignored(world: World) -> None:
    async with world.member() as (peer, _):
        await peer.say_frames([PREAMBLE.pack(b"MZ", 1, 0, 4000, 0, 1, 0), b"y"])
        await until(lambda: world.counters.get("transport_ignored_unknown_total") == 1)
        assert world.counters["transport_sessions"] == 1


@scenario
async def test_bytes_that_are_no_zeromq_disturb_nobody(world: World) -> None:
    async with world.member() as (peer, link):
        port = int(world.endpoint.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        await peer.say(Release((1,)), SESSION, 1)
        assert (await world.event(NodeSaid)).link == link
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_who_speaks_no_zeromq_is_told_to_the_log_once_with_where_http_is(caplog: pytest.LogCaptureFixture) -> None:
    async def check(world: World) -> None:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", int(world.endpoint.rpartition(":")[2]))
            writer.write(b"\x00no ZeroMQ\r\n\r\n")
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        assert await until(lambda: world.counters.get("transport_disconnects_without_a_word_total") == 3)
        with Peer(zmq.DEALER, world.endpoint) as peer:
            await peer.say(make_hello())
            await world.event(NodeGreeted)
        assert await until(lambda: world.counters.get("transport_disconnects_total") == 1)
        assert world.counters["transport_disconnects_without_a_word_total"] == 3

    with caplog.at_level(logging.INFO, "maze_head.transport"):
        scenario(check)()
    assert [vars(record)["http"] for record in caplog.records] == ["http://localhost:8000"]


@scenario
async def test_captured_output_is_pulled_past_the_core(world: World) -> None:
    async with world.member() as (peer, link):
        pulling = asyncio.create_task(world.transport.pull(link, 9, 1, 100, 50))
        pull = await peer.hear()
        assert pull == LogPull(1, 9, 1, 100, 50)
        chunk = LogChunk(1, 9, 1, 100, b"text", end=False)
        await peer.say(chunk, SESSION, 1)
        assert await pulling == chunk
        assert world.events == []


@scenario
async def test_a_pull_ends_with_its_link(world: World) -> None:
    async with world.member() as (peer, link):
        pulling = asyncio.create_task(world.transport.pull(link, 9, 1, 0, 50))
        await peer.hear()
    assert await pulling is None
    assert await world.transport.pull(link, 9, 1, 0, 50) is None


def test_a_pull_that_is_not_answered_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "PULL_SECONDS", 0.01)

    async def check(world: World) -> None:
        async with world.member() as (_, link):
            assert await world.transport.pull(link, 9, 1, 0, 50) is None

    scenario(check)()


@scenario
async def test_strangers_beyond_the_limit_make_room_and_greeted_ones_are_told(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maze_head.links.MAX_STRANGERS", 1)
        with Peer(zmq.DEALER, world.endpoint) as first, Peer(zmq.DEALER, world.endpoint) as second:
            await first.say(make_hello())
            link = (await world.event(NodeGreeted)).link
            await second.say(make_hello("node-b"))
            assert (await world.event(LinkLost)).link == link
