"""Reading graphs for the core: each order is answered once, whatever the journal does."""

from __future__ import annotations

import asyncio

from maze_head.core.effects import ReadGraph
from maze_head.core.events import GraphRead
from maze_head.graphs import GraphReader

W = b"w" * 16


class Shelves:
    """A hub with one graph, and a disk that fails for another."""

    def __init__(self) -> None:
        self.stuck = asyncio.Event()

    async def graph(self, workflow_id: bytes, version: int) -> bytes:
        if version == 2:
            raise LookupError("the journal holds no such row")
        if version == 3:
            raise OSError("the disk is gone")
        if version == 4:
            await self.stuck.wait()
        return b"body"


async def read(version: int) -> tuple[list[GraphRead], list[BaseException]]:
    fed: list[GraphRead] = []
    failures: list[BaseException] = []
    reader = GraphReader(Shelves(), fed.append, failures.append)
    reader.read(ReadGraph(W, version))
    while not fed and not failures and version != 4:
        await asyncio.sleep(0)
    await reader.close()
    return fed, failures


def test_what_is_there_is_fed() -> None:
    assert asyncio.run(read(1)) == ([GraphRead(W, 1, b"body")], [])


def test_what_is_not_there_is_told() -> None:
    assert asyncio.run(read(2)) == ([GraphRead(W, 2, None)], [])


def test_a_disk_that_fails_is_the_owners_business() -> None:
    fed, (failure,) = asyncio.run(read(3))
    assert fed == []
    assert isinstance(failure, OSError)


def test_closing_gives_up_what_is_being_read() -> None:
    assert asyncio.run(read(4)) == ([], [])
