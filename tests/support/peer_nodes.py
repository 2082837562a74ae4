"""Nodes of which only the store and the transfers are real, without a head.

`Lone` lives on the loop of the test; `serve` is the entry point of a process that can be killed.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from maze._daemon.curve import ClientSide
from maze._daemon.keys import KeyPair
from maze_node.config import Settings
from maze_node.identity import HeadAddress
from maze_node.peers import Peers
from maze_node.store import ObjectStore, Room
from maze_protocol.messages import Welcome
from maze_protocol.tickets import make_ticket
from maze_protocol.values import Holder, ObjectKey, ObjectRef, key_of

HEAD = HeadAddress("tcp://127.0.0.1:9")
"""A head that nobody asks for anything: what counts is which way packets would go."""
SECRET = b"secret of the holder"


def make_welcome(secret: bytes, session: int = 1, blob_endpoint: str = "") -> Welcome:
    """Return the beginning of a session."""
    return Welcome(1, 3, session, 1, b"", 1.0, 3.0, 10.0, 60.0, secret=secret, blob_endpoint=blob_endpoint)


def ticket_for(key: ObjectKey, consumer: str, secret: bytes = SECRET, seconds: float = 3600.0) -> bytes:
    """Return a ticket of a holder's session."""
    return make_ticket(secret, *key, consumer, time.time() + seconds)


class Store(ObjectStore):
    """The real store, which a test fills and reads."""

    def __init__(self) -> None:
        super().__init__(1 << 40, tempfile.gettempdir(), lambda _: None)
        self.aborted = 0

    def abort(self, room: Room) -> None:
        """Give room back."""
        self.aborted += 1
        super().abort(room)

    def put(self, key: ObjectKey, data: bytes) -> None:
        """Make an object of bytes."""
        room = self.create(len(data))
        os.pwrite(room.fd, data, room.offset)
        self.commit(room, key)

    def get(self, key: ObjectKey) -> bytes:
        """Return all of an object."""
        found = self.open(key)
        assert found is not None
        fd, offset, size = found
        return os.pread(fd, size, offset)


class Lone:
    """One node's transfers, on the loop of whoever makes it; with CURVE if it is given a pair."""

    def __init__(self, name: str, secret: bytes = b"", pair: KeyPair | None = None, **settings: Any) -> None:
        self.name = name
        self.key = pair.public if pair else ""
        head = HEAD._replace(side=ClientSide(pair, KeyPair.make().public) if pair else None)
        self.store = Store()
        self._waiting: dict[ObjectKey, asyncio.Future[str]] = {}
        self._failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.peers = Peers(Settings(**settings), name, self.store, self._told, self._fail)
        self.endpoint = self.peers.introduce(head)
        if secret:
            self.peers.welcome(make_welcome(secret), head)

    async def __aenter__(self) -> Lone:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.peers.close()
        self.store.close()

    def holder_for(self, key: ObjectKey, consumer: str) -> Holder:
        """Return this node as one who has an object."""
        return (self.endpoint, self.key, ticket_for(key, consumer))

    def vouch(self, *keys: str) -> None:
        """Be told whom the head vouches for, and wait until that counts."""
        self.peers.vouch(keys)
        counts = threading.Event()
        self.peers._exchange.call(counts.set)
        assert counts.wait(20)

    async def fetch(self, key: ObjectKey, size: int, *holders: Holder) -> str:
        """Fetch an object; return "" or why it cannot be had."""
        ref = ObjectRef(key.lease, key.output, size, 0, holders, key.hash)
        self._waiting[key_of(ref)] = future = asyncio.get_running_loop().create_future()
        self.peers.fetch(ref)
        await asyncio.wait((future, self._failed), return_when=asyncio.FIRST_COMPLETED)
        return self._failed.result() if self._failed.done() else future.result()

    def _told(self, key: ObjectKey, reason: str, on_disk: bool) -> None:
        future = self._waiting.pop(key)
        if not future.done():
            future.set_result(reason)

    def _fail(self, error: BaseException) -> None:
        self._failed.set_result(f"bug: {error!r}")


def serve(pipe: Any, objects: dict[ObjectKey, tuple[int, int]], slow: Callable[[], None] | None = None) -> None:
    """Hold objects, each told by (seed, size), until the pipe closes; say first where."""

    async def until_closed() -> None:
        async with Lone("holder", SECRET) as node:
            for key, (seed, size) in objects.items():
                node.store.put(key, pattern(seed, size))
            pipe.send(node.endpoint)
            closed = asyncio.Event()
            asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
            await closed.wait()

    asyncio.run(until_closed())


def pattern(seed: int, size: int) -> bytes:
    """Return bytes of which each MiB differs."""
    block = bytes((seed * 31 + position * 7) % 251 for position in range(4096))
    pieces = [block[number % 4096 :] + block[: number % 4096] for number in range(size // 4096 + 1)]
    return b"".join(pieces)[:size]
