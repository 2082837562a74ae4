"""What the loop of a node sees of transfers: which address it serves at, whom it asks, what becomes of room."""

from __future__ import annotations

import asyncio
import logging
import os
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest

from maze._daemon.curve import ClientSide
from maze._daemon.keys import KeyPair
from maze_node import peers as peers_module
from maze_node.peers import complete
from maze_protocol.messages import Fetch
from maze_protocol.tickets import prove_session
from maze_protocol.transfers import BlobHello, Chunk, Denied, Unknown
from maze_protocol.values import ObjectKey, ObjectRef
from support.peer_nodes import HEAD, SECRET, Lone, make_welcome, pattern, ticket_for
from support.zmq_peers import BlobHost

KEY = ObjectKey(7, 1)
DATA = pattern(3, 3_000_000)


def on_loop(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())


@pytest.mark.parametrize(
    ("endpoint", "whole"),
    [
        ("tcp://:8002", "tcp://10.0.0.1:8002"),
        ("tcp://h:8002", "tcp://h:8002"),
    ],
)
def test_a_host_that_is_missing_is_the_one_of_the_head(endpoint: str, whole: str) -> None:
    assert complete(endpoint, "tcp://10.0.0.1:8001") == whole
    assert complete("tcp://:1", "tcp://[::1]:8001") == "tcp://[::1]:1"


def test_what_a_node_has_another_one_gets() -> None:
    async def check() -> None:
        async with Lone("n1", SECRET) as holder, Lone("n2") as node:
            holder.store.put(KEY, DATA)
            assert await node.fetch(KEY, len(DATA), holder.holder_for(KEY, "n2")) == ""
            assert node.store.get(KEY) == DATA
            assert node.peers.counters()["objects_bytes_in_total"] == len(DATA)

    on_loop(check)


async def fetch_in_vain(node: Lone, holder: Lone) -> None:
    """Ask the holder, who does not answer: the head is left to be asked, and that is not there."""
    going = asyncio.create_task(node.fetch(KEY, len(DATA), holder.holder_for(KEY, node.name)))
    await asyncio.wait((going,), timeout=0.3)
    assert not going.done()
    node.peers.cancel(KEY)
    assert await going


def test_with_curve_nodes_that_the_head_vouches_for_fetch_from_each_other() -> None:
    async def check() -> None:
        one, other = KeyPair.make(), KeyPair.make()
        async with Lone("n1", SECRET, one) as holder, Lone("n2", pair=other) as node:
            holder.store.put(KEY, DATA)
            await fetch_in_vain(node, holder)
            for each in (holder, node):
                each.vouch(one.public, other.public)
            assert await node.fetch(KEY, len(DATA), holder.holder_for(KEY, "n2")) == ""
            assert node.store.get(KEY) == DATA

    on_loop(check)


@pytest.mark.parametrize("known", [False, True], ids=["a stranger", "a stranger that was known"])
def test_who_is_not_vouched_for_gets_nothing_though_its_ticket_is_good(known: bool) -> None:
    async def check() -> None:
        one, other = KeyPair.make(), KeyPair.make()
        async with Lone("n1", SECRET, one) as holder, Lone("n2", pair=other) as node:
            holder.store.put(KEY, DATA)
            holder.vouch(one.public, *([other.public] if known else []))
            node.vouch(one.public, other.public)
            if known:
                assert await node.fetch(KEY, len(DATA), holder.holder_for(KEY, "n2")) == ""
                holder.vouch(one.public)
            before = holder.peers.counters()["objects_bytes_out_total"] if known else 0
            await fetch_in_vain(node, holder)
            assert holder.peers.counters().get("objects_bytes_out_total", 0) == before

    on_loop(check)


def test_who_speaks_without_curve_is_not_heard_by_a_node_with_it() -> None:
    async def check() -> None:
        pair = KeyPair.make()
        async with Lone("n1", SECRET, pair) as holder, Lone("n2") as node:
            holder.store.put(KEY, DATA)
            holder.vouch(pair.public, "")
            await fetch_in_vain(node, holder)
            assert "objects_bytes_out_total" not in holder.peers.counters()

    on_loop(check)


def test_with_curve_a_node_may_be_reached_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(peers_module, "address_towards", lambda _: "192.0.2.1")

    async def check() -> None:
        async with Lone("n1", pair=KeyPair.make()):
            pass

    on_loop(check)
    assert "cannot listen on 192.0.2.1" in caplog.text, "it is nobody's address, but it was tried"


def test_a_bug_at_the_door_ends_the_node() -> None:
    async def check() -> None:
        pair = KeyPair.make()
        async with Lone("n1", SECRET, pair) as holder, Lone("n2", pair=pair) as node:
            holder.vouch(pair.public)
            node.vouch(pair.public)
            holder.peers._links._vouched = None  # type: ignore[assignment]  # the bug
            going = asyncio.create_task(node.fetch(KEY, len(DATA), holder.holder_for(KEY, "n2")))
            async with asyncio.timeout(20):
                assert "TypeError" in await asyncio.shield(holder._failed)
            node.peers.cancel(KEY)
            await going

    on_loop(check)


def test_a_node_that_got_another_key_serves_nobody_until_it_is_started_again() -> None:
    async def check() -> None:
        async with Lone("n1", SECRET, KeyPair.make()) as node:
            assert node.endpoint
            side = ClientSide(KeyPair.make(), KeyPair.make().public)
            assert node.peers.introduce(HEAD._replace(side=side)) == ""

    on_loop(check)


def test_a_broadcast_that_goes_as_a_chain_costs_the_first_holder_one_copy() -> None:
    async def check() -> None:
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Lone(f"n{number}", SECRET)) for number in range(4)]
            nodes[0].store.put(KEY, DATA)
            going = [
                asyncio.create_task(node.fetch(KEY, len(DATA), before.holder_for(KEY, node.name)))
                for before, node in pairwise(nodes)
            ]
            assert await asyncio.gather(*going) == ["", "", ""]
            assert all(node.store.get(KEY) == DATA for node in nodes)
            assert nodes[0].peers.counters()["objects_bytes_out_total"] == len(DATA)

    on_loop(check)


def test_a_node_without_a_port_gets_but_gives_nothing() -> None:
    async def check() -> None:
        async with Lone("n1", SECRET) as holder, Lone("n2", peer_port=None) as node:
            assert node.endpoint == ""
            holder.store.put(KEY, DATA)
            assert await node.fetch(KEY, len(DATA), holder.holder_for(KEY, "n2")) == ""

    on_loop(check)


def test_beyond_this_machine_nobody_is_served_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(peers_module, "address_towards", lambda _: "192.0.2.1")

    async def check() -> None:
        async with Lone("n1") as closed, Lone("n2", insecure=True) as elsewhere:
            assert (closed.endpoint, elsewhere.endpoint) == ("", "")

    on_loop(check)
    words = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "only --insecure lets" in words[0]
    assert "cannot listen on 192.0.2.1" in words[1], "it is nobody's address"


def test_others_are_told_the_address_that_was_given() -> None:
    async def check() -> None:
        async with Lone("n1", advertise="node1.cluster") as node:
            assert node.endpoint.startswith("tcp://node1.cluster:")

    on_loop(check)


def test_a_port_that_is_taken_leaves_the_head_to_relay(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async with Lone("n1") as first:
            port = int(first.endpoint.rpartition(":")[2])
            async with Lone("n2", peer_port=port) as second:
                assert second.endpoint == ""

    on_loop(check)
    assert "objects go through the head" in caplog.text


def test_no_room_here_is_told_and_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    async def check() -> None:
        async with Lone("n2") as node:
            monkeypatch.setattr(node.store, "create", refuse)
            reason = await node.fetch(KEY, 5, ("tcp://127.0.0.1:1", "", b""))
            assert reason == "there is no room for 5 bytes: No space left on device"

    on_loop(check)


def test_a_fetch_that_fails_or_is_cancelled_gives_its_room_back() -> None:
    async def check() -> None:
        async with Lone("n2") as node:
            fetching = asyncio.create_task(node.fetch(KEY, 5))
            await asyncio.sleep(0)
            node.peers.cancel(KEY)
            assert await fetching == "it is not wanted any more"
            assert node.store.aborted == 1
            pending = asyncio.create_task(node.fetch(KEY, 5))
            await asyncio.sleep(0)
        assert node.store.aborted == 2
        pending.cancel()

    on_loop(check)


def test_one_fetch_of_an_object_at_a_time() -> None:
    async def check() -> None:
        async with Lone("n2") as node:
            fetching = asyncio.create_task(node.fetch(KEY, 5))
            await asyncio.sleep(0)
            node.peers.fetch(ObjectRef(*KEY[:2], 5, 0))
            node.peers.cancel(KEY)
            assert await fetching
            assert node.store.aborted == 1

    on_loop(check)


def test_the_head_is_the_last_to_be_asked_and_is_shown_the_session_first() -> None:
    async def check() -> None:
        with BlobHost() as head:
            async with Lone("n1", SECRET) as holder, Lone("n2") as node:
                node.peers.welcome(make_welcome(SECRET, 9, head.endpoint), HEAD)
                link, hello = await head.hear()
                assert hello == BlobHello("n2", 9, prove_session(SECRET, 9))
                fetching = asyncio.create_task(
                    node.fetch(KEY, 5, holder.holder_for(KEY, "n2"), ("", "", b"ticket of the head"))
                )
                _, fetch = await head.hear()
                assert (fetch.ticket, fetch.node, fetch.length) == (b"ticket of the head", "n2", 5)
                await head.say(link, Chunk(fetch.request, 0, 5, zlib.crc32(b"hello")), b"hello")
                assert await fetching == ""
                assert node.store.get(KEY) == b"hello"

    on_loop(check)


def test_the_head_may_ask_over_the_connection_that_the_node_opened() -> None:
    async def check() -> None:
        with BlobHost() as head:
            async with Lone("n1", peer_port=None) as node:
                node.store.put(KEY, b"hello world")
                node.peers.welcome(make_welcome(SECRET, 9, head.endpoint), HEAD)
                link, _ = await head.hear()
                await head.say(link, Fetch(1, *KEY[:2], 6, 5, ticket_for(KEY, "")))
                frames = await head.hear_frames()
                assert frames[-1] == b"world"
                await head.say(link, Fetch(2, *KEY[:2], 6, 5, ticket_for(KEY, "n3")))
                assert isinstance((await head.hear())[1], Denied)
                await head.say(link, Fetch(3, 8, 0, 6, 5, ticket_for(ObjectKey(8, 0), "")))
                assert (await head.hear())[1] == Unknown(3)

    on_loop(check)


def test_a_connection_to_the_head_that_is_lost_is_made_anew() -> None:
    async def check() -> None:
        async with Lone("n1") as node:
            with BlobHost() as head:
                node.peers.welcome(make_welcome(SECRET, 9, head.endpoint), HEAD)
                await head.hear()
            with BlobHost(head.endpoint) as again:
                assert isinstance((await again.hear())[1], BlobHello)
                node.peers.leave("the session is over")
                node.peers.welcome(make_welcome(SECRET, 10, again.endpoint), HEAD)
                assert (await again.hear())[1].session == 10

    on_loop(check)


def test_an_address_that_is_none_is_passed_over() -> None:
    async def check() -> None:
        async with Lone("n1", SECRET) as holder, Lone("n2") as node:
            holder.store.put(KEY, DATA)
            nonsense = ("nonsense", "", b"")
            assert await node.fetch(KEY, len(DATA), nonsense, holder.holder_for(KEY, "n2")) == ""

    on_loop(check)


def test_a_bug_on_the_thread_reaches_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Lone("n2") as node:
            monkeypatch.setattr(node.peers._links, "tick", None)
            assert (await node.fetch(KEY, 5)).startswith("bug: TypeError")

    on_loop(check)
