"""Objects from process to process over real sockets: large ones, from holders that die, hang, or know nothing."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from maze_node.peerlinks import PeerLinks
from maze_protocol import fetching
from maze_protocol.limits import MIB
from maze_protocol.transfers import Chunk
from maze_protocol.values import ObjectKey
from support.peer_nodes import HEAD, SECRET, Lone, make_welcome, pattern, serve, ticket_for
from support.zmq_peers import BlobHost, until

SPAWN = multiprocessing.get_context("spawn")
KEY = ObjectKey(7, 0)
TICKET = ticket_for(KEY, "n2")


@contextmanager
def holder(size: int = 0, key: ObjectKey = KEY) -> Iterator[tuple[str, Any]]:
    """Start a process that has an object; yield where it serves, and the process."""
    near, far = SPAWN.Pipe()
    process = SPAWN.Process(target=serve, args=(far, {key: (1, size)}))
    process.start()
    try:
        yield near.recv(), process
    finally:
        process.kill()
        process.join()
        near.close()
        far.close()


async def relay(head: BlobHost, data: bytes) -> None:
    """Play a head that has an object."""
    while True:
        link, fetch = await head.hear()
        piece = data[fetch.offset : fetch.offset + fetch.length]
        await head.say(link, Chunk(fetch.request, fetch.offset, len(data), zlib.crc32(piece)), piece)


def test_a_large_object_travels_whole() -> None:
    async def check(endpoint: str) -> None:
        async with Lone("n2") as node:
            assert await node.fetch(KEY, 256 * MIB, (endpoint, "", TICKET)) == ""
            assert node.store.get(KEY) == pattern(1, 256 * MIB)

    with holder(256 * MIB) as (endpoint, _):
        asyncio.run(check(endpoint))


def test_when_a_holder_dies_on_the_way_the_next_one_goes_on_where_it_was() -> None:
    size = 128 * MIB

    async def check(first: str, process: Any, second: str) -> None:
        async with Lone("n2") as node:
            going = asyncio.create_task(node.fetch(KEY, size, (first, "", TICKET), (second, "", TICKET)))
            await until(lambda: node.peers.counters().get("objects_bytes_in_total", 0) >= 4 * MIB)
            process.kill()
            assert await going == ""
            assert node.store.get(KEY) == pattern(1, size)
            assert node.peers.counters()["objects_bytes_in_total"] == size, "every piece was taken once"

    with holder(size) as (first, process), holder(size) as (second, _):
        asyncio.run(check(first, process, second))


@pytest.mark.parametrize("fate", ["killed", "stopped"])
def test_when_no_other_holder_is_left_the_head_goes_on(fate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.Origin.__new__, "__defaults__", (b"", True, 1.0))
    data = pattern(1, 64 * MIB)

    async def check(endpoint: str, process: Any) -> None:
        with BlobHost() as head:
            async with Lone("n2") as node:
                node.peers.welcome(make_welcome(SECRET, 1, head.endpoint), HEAD)
                await head.hear()
                relaying = asyncio.create_task(relay(head, data))  # a slow holder may be left before its end, too
                going = asyncio.create_task(node.fetch(KEY, len(data), (endpoint, "", TICKET)))
                await until(lambda: node.peers.counters().get("objects_bytes_in_total", 0) >= 4 * MIB)
                os.kill(process.pid, signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
                assert await going == ""
                relaying.cancel()
                assert node.store.get(KEY) == data

    with holder(len(data)) as (endpoint, process):
        asyncio.run(check(endpoint, process))


def test_damaged_pieces_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    receive, damaged = PeerLinks.receive, []

    def damaging(self: PeerLinks, ready: Any) -> Iterator[Any]:
        for heard in receive(self, ready):
            if isinstance(heard.message, Chunk) and len(damaged) < 2:
                damaged.append(heard.message.offset)
                heard = heard._replace(payload=b"\1" + bytes(heard.payload)[1:])
            yield heard

    monkeypatch.setattr(PeerLinks, "receive", damaging)

    async def check(endpoint: str) -> None:
        async with Lone("n2") as node:
            assert await node.fetch(KEY, 16 * MIB, (endpoint, "", TICKET)) == ""
            assert node.store.get(KEY) == pattern(1, 16 * MIB)

    with holder(16 * MIB) as (endpoint, _):
        asyncio.run(check(endpoint))
    assert len(damaged) == 2


def test_who_denies_or_knows_nothing_is_passed_over() -> None:
    async def check(stranger: str, endpoint: str) -> None:
        async with Lone("n2") as node:
            wrong = (endpoint, "", ticket_for(KEY, "n3"))
            assert await node.fetch(KEY, 2 * MIB, wrong, (stranger, "", TICKET), (endpoint, "", TICKET)) == ""
            assert node.store.get(KEY) == pattern(1, 2 * MIB)

    with holder(key=ObjectKey(8, 0)) as (stranger, _), holder(2 * MIB) as (endpoint, _):
        asyncio.run(check(stranger, endpoint))
