"""The store of the node with real descriptors: what is in memory, what is on disk, what is closed when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from maze_node.bodies import MAPPED, is_in_memory, read_body, write_body
from maze_node.core.events import ObjectSpilled
from maze_node.store import ObjectStore
from maze_protocol.values import ObjectKey
from support.loops import on_loop

ONE, TWO = ObjectKey(1, 0), ObjectKey(2, 0)


class Bench:
    def __init__(self, directory: Path, budget: int = 1 << 24) -> None:
        self.events: asyncio.Queue[object] = asyncio.Queue()
        self.store = ObjectStore(budget, str(directory), self.events.put_nowait)

    def put(self, key: ObjectKey, body: bytes) -> None:
        room = self.store.create(len(body))
        os.pwrite(room.fd, body, room.offset)
        self.store.commit(room, key)

    def get(self, key: ObjectKey) -> bytes:
        found = self.store.open(key)
        assert found is not None
        descriptor, offset, size = found
        return bytes(read_body(os.dup(descriptor), offset, size))

    async def spill(self, *keys: ObjectKey) -> None:
        for key in keys:
            self.store.spill(key)
        for key in keys:
            assert await asyncio.wait_for(self.events.get(), 20) == ObjectSpilled(key, done=True)


@asynccontextmanager
async def opened(directory: Path, **options: int) -> AsyncIterator[Bench]:
    before = len(os.listdir("/proc/self/fd"))
    bench = Bench(directory, **options)
    yield bench
    bench.store.close()
    assert len(os.listdir("/proc/self/fd")) == before, "nothing is left open"


@on_loop
async def test_an_object_is_sealed_and_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        bench.put(ONE, b"x" * 5000)
        assert bench.get(ONE) == b"x" * 5000
        assert bench.store.open(TWO) is None
        descriptor = bench.store.places([ONE])[0][0]
        assert is_in_memory(descriptor)
        with pytest.raises(OSError, match="not permitted"):
            os.pwrite(descriptor, b"y", 0)


@on_loop
async def test_what_does_not_fit_into_the_budget_is_on_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, budget=6000) as bench:
        bench.put(ONE, b"x" * 5000)
        bench.put(TWO, b"y" * 5000)
        kinds = [is_in_memory(descriptor) for descriptor, _ in bench.store.places([ONE, TWO])]
        assert kinds == [True, False]
        assert bench.get(TWO) == b"y" * 5000
        bench.store.forget([ONE])
        room = bench.store.create(5000)
        assert not room.on_disk
        bench.store.abort(room)


@on_loop
async def test_large_objects_move_to_files_of_their_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        body = os.urandom(MAPPED + 17)
        bench.put(ONE, body)
        await bench.spill(ONE)
        assert not is_in_memory(bench.store.places([ONE])[0][0])
        assert bench.get(ONE) == body
        assert list(tmp_path.iterdir()) == []


@on_loop
async def test_small_objects_share_a_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        bodies = {ObjectKey(lease, 0): os.urandom(4000 + lease) for lease in range(1, 20)}
        for key, body in bodies.items():
            bench.put(key, body)
        await bench.spill(*bodies)
        assert len({descriptor for descriptor, _ in bench.store.places(bodies)}) == 1
        assert {key: bench.get(key) for key in bodies} == bodies
        first, *rest = bodies
        bench.store.forget(rest)
        assert bench.get(first) == bodies[first]


@on_loop
async def test_what_is_let_go_while_it_moves_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        bench.put(ONE, b"x" * (4 * MAPPED))
        bench.store.spill(ONE)
        bench.store.forget([ONE])
        assert await asyncio.wait_for(bench.events.get(), 20) == ObjectSpilled(ONE, done=True)
        assert bench.store.open(ONE) is None


@on_loop
async def test_a_disk_that_refuses_leaves_the_object_where_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "nowhere") as bench:
        bench.put(ONE, b"x" * 5000)
        bench.store.spill(ONE)
        assert await asyncio.wait_for(bench.events.get(), 20) == ObjectSpilled(ONE, done=False)
        assert bench.get(ONE) == b"x" * 5000


@on_loop
async def test_what_workers_made_is_adopted_and_renamed(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        pieces = [b"ab", memoryview(b"c")]
        made = [write_body(pieces, 3, str(tmp_path), on_disk=on_disk)[0] for on_disk in (False, True)]
        bench.store.adopt(7, [0, 2], [3, 3], made)
        bench.store.rename(7, 9)
        assert bench.store.open(ObjectKey(7, 0)) is None
        assert [bench.get(ObjectKey(9, number)) for number in (0, 2)] == [b"abc", b"abc"]
