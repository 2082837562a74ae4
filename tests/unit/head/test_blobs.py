"""The blob port over real sockets: nodes ask it and it asks nodes, files come and go, and disks refuse."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import zmq

from maze_head import blobs as blobs_module
from maze_head.blobdir import BlobDirectory
from maze_head.blobfile import BlobMissing, NoRoomForBlob
from maze_head.blobs import BlobPort
from maze_head.core.effects import DropObjects, KeepObject, ObjectPlace
from maze_head.core.events import ObjectKept, ObjectUnkept
from maze_head.sockets import bind, open_socket
from maze_protocol.limits import CHUNK, MIB
from maze_protocol.messages import Heartbeat
from maze_protocol.tickets import make_ticket, prove_session, session_secret
from maze_protocol.transfers import BlobHello, Chunk, Denied, Fetch, Unknown
from maze_protocol.values import ObjectRef
from support.peer_nodes import pattern
from support.zmq_peers import Peer, until, zmq_context

SECRET = b"secret of the head"
SIZE = 2 * CHUNK + 5
DATA = pattern(1, SIZE)
REF = ObjectRef(7, 1, SIZE, 9, (("n1", "", b"ticket"),))
KEEP = KeepObject(3, 4, 1, REF)


class Port:
    """A blob port and what it told the core."""

    def __init__(self, directory: BlobDirectory, endpoint: str, router: Any) -> None:
        self.endpoint = endpoint
        self.told: list[ObjectKept | ObjectUnkept] = []
        self.places: dict[tuple[int, int], ObjectPlace] = {}
        self.bugs: list[BaseException] = []
        self.directory = directory
        self.port = BlobPort(router, SECRET, directory, self.told.append, self._locate, self.bugs.append)

    async def _locate(self, lease: int, output: int) -> ObjectPlace | None:
        return self.places.get((lease, output))


def with_port(state_dir: Path, check: Callable[[Port], Awaitable[None]]) -> None:
    """Run a test against a port, whose thread must not have failed."""

    async def run() -> None:
        directory = BlobDirectory(state_dir)
        directory.prepare(())
        async with zmq_context() as context:
            router = open_socket(context, zmq.ROUTER, 8 * MIB)
            endpoint = f"tcp://127.0.0.1:{bind(router, '127.0.0.1', 0, '--blob-port')}"
            port = Port(directory, endpoint, router)
            try:
                await check(port)
            finally:
                await port.port.close()
            assert not port.bugs

    asyncio.run(run())


def hello(node: str = "n1", session: int = 5, secret: bytes = SECRET) -> BlobHello:
    return BlobHello(node, session, prove_session(session_secret(secret, session), session))


async def serve(peer: Peer, data: bytes = DATA, pieces: int = -1) -> Fetch:
    """Answer what the head asks of a node, for ever or so many times; return the last request."""
    while True:
        fetch = await peer.hear()
        assert isinstance(fetch, Fetch)
        if pieces == 0:
            return fetch
        pieces -= 1
        piece = data[fetch.offset : fetch.offset + fetch.length]
        await peer.say(Chunk(fetch.request, fetch.offset, len(data), zlib.crc32(piece)), payloads=[piece])


def ask(request: int, lease: int = 7, hash_: bytes = b"", node: str = "n1", offset: int = 0) -> Fetch:
    ticket = make_ticket(SECRET, lease, 1, hash_, "n1", 1e11)
    return Fetch(request, lease, 1, offset, 10, ticket, hash_, node)


def put(port: Port, data: bytes = DATA) -> None:
    incoming = port.directory.begin_output(3, 4, 1, len(data))
    os.pwrite(incoming.fd, data, 0)
    incoming.commit()


def test_an_object_that_is_to_be_kept_is_pulled_from_its_node_into_a_file(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP, KEEP])
            serving = asyncio.create_task(serve(node))
            await until(lambda: port.told)
            serving.cancel()
        assert port.told == [ObjectKept(3, 4, 1, SIZE, 9)]
        assert (tmp_path / "blobs/3/4-1").read_bytes() == DATA
        assert [path.name for path in (tmp_path / "blobs/3").iterdir()] == ["4-1"]
        assert port.port.counters()["objects_fetched_total"] == 1

    with_port(tmp_path, check)


def test_the_head_shows_the_ticket_and_its_name(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP])
            fetch = await serve(node, pieces=0)
        assert (fetch.lease, fetch.output, fetch.ticket, fetch.node) == (7, 1, b"ticket", "")

    with_port(tmp_path, check)


def test_what_no_holder_has_is_told(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP])
            for _ in range(3):
                fetch = await node.hear()
                await node.say(Unknown(fetch.request))
            await until(lambda: port.told)
        assert port.told == [ObjectUnkept(3, 4, 1, "a holder does not have it")]
        assert not list((tmp_path / "blobs/3").iterdir())

    with_port(tmp_path, check)


def test_runs_that_are_dropped_get_nothing_any_more(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP])
            await serve(node, pieces=1)
            port.port.obey([DropObjects((3,))])
            await until(lambda: not list((tmp_path / "blobs/3").iterdir()))
        put(port)
        port.port.remove_runs((3,))
        await until(lambda: not (tmp_path / "blobs/3").exists())
        assert not port.told

    with_port(tmp_path, check)


def test_a_disk_that_refuses_is_tried_again_and_no_holder_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [NoRoomForBlob("no room"), NoRoomForBlob("no room")]
    begin = BlobDirectory.begin_output

    def refusing(self: BlobDirectory, *arguments: int) -> Any:
        if refusals:
            raise refusals.pop()
        return begin(self, *arguments)

    monkeypatch.setattr(BlobDirectory, "begin_output", refusing)
    monkeypatch.setattr(blobs_module, "AGAIN", 0.01)

    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP])
            serving = asyncio.create_task(serve(node))
            await until(lambda: port.told)
            serving.cancel()
        assert port.told == [ObjectKept(3, 4, 1, SIZE, 9)]

    with_port(tmp_path, check)
    assert [record.message for record in caplog.records if "no room" in record.message] == [
        "runs wait until their outputs can be kept: no room"
    ]


def test_nodes_get_what_is_in_the_directory(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        put(port)
        port.places[7, 1] = ObjectPlace(3, 4, 1, None, kept=True)
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            await node.say(ask(1, offset=CHUNK))
            decoded = await node.hear_frames()
        assert decoded[2] == DATA[CHUNK : CHUNK + 10]

    with_port(tmp_path, check)


def test_what_is_not_there_is_brought_from_another_node_first(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        port.places[7, 1] = ObjectPlace(3, 4, 1, REF, kept=False)
        with Peer(zmq.DEALER, port.endpoint) as holder, Peer(zmq.DEALER, port.endpoint) as node:
            await holder.say(hello("n1"))
            await node.say(hello("n2"))
            ticket = make_ticket(SECRET, 7, 1, b"", "n2", 1e11)
            await node.say(Fetch(1, 7, 1, 0, 10, ticket, b"", "n2"))
            serving = asyncio.create_task(serve(holder))
            frames = await node.hear_frames()
            serving.cancel()
        assert frames[2] == DATA[:10]
        assert (tmp_path / "blobs/3/4-1").exists()

    with_port(tmp_path, check)


def test_uploads_are_served_by_their_hash(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        name = blake2b(b"0123456789abc", digest_size=32).digest()
        upload = port.directory.begin_upload(name, 13)
        upload.write(b"0123456789abc")
        upload.finish()
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            await node.say(Fetch(1, 0, 0, 0, 10, b"", name, "n1"))
            assert (await node.hear_frames())[2] == b"0123456789"
            await node.say(Fetch(2, 0, 0, 0, 10, b"", bytes(32), "n1"))
            assert await node.hear() == Unknown(2)

    with_port(tmp_path, check)


def test_whoever_has_shown_no_session_is_not_heard_and_nobody_asks_as_another(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say_frames([b"garbage"])
            await node.say(Heartbeat(1.0))
            await node.say(ask(1))
            await node.say(hello(secret=b"guessed"))
            await node.say(ask(2))
            await node.say(hello())
            await node.say(ask(3, node="n2"))
            await node.say(ask(4, lease=8))
            assert isinstance(denied := await node.hear(), Denied)
            assert (denied.request, await node.hear()) == (3, Unknown(4))

    with_port(tmp_path, check)


def test_a_newer_session_is_the_one_that_is_asked(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as old, Peer(zmq.DEALER, port.endpoint) as new:
            await old.say(hello(session=5))
            port.port.obey([KEEP])
            await serve(old, pieces=0)
            await new.say(hello(session=6))
            serving = asyncio.create_task(serve(new))
            await until(lambda: port.told)
            serving.cancel()
            await old.say(hello(session=5))
            await old.say(ask(1))
            await new.say(ask(2, lease=8))
            assert await new.hear() == Unknown(2)
        assert isinstance(port.told[0], ObjectKept)

    with_port(tmp_path, check)


def test_all_who_want_an_output_wait_for_the_same_transfer(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        place = ObjectPlace(3, 4, 1, REF, kept=False)
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            asked = [asyncio.create_task(port.port.ensure_output(place)) for _ in range(3)]
            serving = asyncio.create_task(serve(node))
            assert set(await asyncio.gather(*asked)) == {tmp_path / "blobs/3/4-1"}
            serving.cancel()
        assert port.port.counters()["objects_fetched_total"] == 1
        assert await port.port.ensure_output(ObjectPlace(3, 4, 1, None, kept=False)) == tmp_path / "blobs/3/4-1"
        with pytest.raises(BlobMissing):
            await port.port.ensure_output(ObjectPlace(3, 5, 1, None, kept=False))

    with_port(tmp_path, check)


def test_runs_that_share_a_result_get_it_one_after_the_other(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP, KeepObject(5, 4, 1, REF)])
            serving = asyncio.create_task(serve(node))
            await until(lambda: len(port.told) == 2)
            serving.cancel()
        assert (tmp_path / "blobs/5/4-1").read_bytes() == (tmp_path / "blobs/3/4-1").read_bytes() == DATA

    with_port(tmp_path, check)


def test_what_is_there_for_an_earlier_run_is_linked_and_outlives_it(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        put(port)
        port.port.obey([KeepObject(5, 4, 1, ObjectRef(7, 1, SIZE, 9), like=3)])
        await until(lambda: port.told)
        assert port.told == [ObjectKept(5, 4, 1, SIZE, 9)]
        port.directory.drop_runs([3])
        assert (tmp_path / "blobs/5/4-1").read_bytes() == DATA

    with_port(tmp_path, check)


def test_what_went_with_the_earlier_run_is_had_from_holders_or_not_at_all(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KeepObject(5, 4, 1, REF, like=3), KeepObject(6, 4, 1, ObjectRef(7, 1, SIZE, 9), like=3)])
            serving = asyncio.create_task(serve(node))
            await until(lambda: len(port.told) == 2)
            serving.cancel()
        assert {type(told): told.run_no for told in port.told} == {ObjectKept: 5, ObjectUnkept: 6}

    with_port(tmp_path, check)


def test_a_head_that_stops_leaves_nothing_half_done(tmp_path: Path) -> None:
    async def check(port: Port) -> None:
        with Peer(zmq.DEALER, port.endpoint) as node:
            await node.say(hello())
            port.port.obey([KEEP])
            await serve(node, pieces=1)

    with_port(tmp_path, check)
    assert not list((tmp_path / "blobs/3").iterdir())
