"""Reading graphs for the core: each order is answered once, whatever the journal does."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from maze_head import graphs
from maze_head.core.contents import Contents
from maze_head.core.effects import ReadGraph
from maze_head.core.events import GraphRead
from maze_head.graphs import GraphReader
from support.graphs import make_graph

W = b"w" * 16
GRAPH = make_graph(3, [(0, 2)])


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
        return b"damaged" if version == 5 else GRAPH.encode()


async def read(version: int) -> tuple[list[GraphRead], list[BaseException]]:
    fed: list[GraphRead] = []
    failures: list[BaseException] = []
    reader = GraphReader(Shelves(), fed.append, failures.append)
    reader.read(ReadGraph(W, version))
    while not fed and not failures and version != 4:
        await asyncio.sleep(0)
    await reader.close()
    return fed, failures


@pytest.mark.parametrize(("least", "here"), [(1 << 20, True), (1, False)])
def test_what_is_there_is_fed_and_read_in_a_thread_if_it_is_large(
    monkeypatch: pytest.MonkeyPatch, least: int, here: bool
) -> None:
    seen: list[bool] = []

    class Noted(Contents):
        @classmethod
        def read(cls, body: bytes) -> Contents:
            seen.append(threading.current_thread() is threading.main_thread())
            return Contents.read(body)

    monkeypatch.setattr(graphs, "THREAD_FROM", least)
    monkeypatch.setattr(graphs, "Contents", Noted)
    (fed,), failures = asyncio.run(read(1))
    assert (fed.workflow_id, fed.version, failures) == (W, 1, [])
    assert fed.contents is not None
    assert list(fed.contents.tasks) == GRAPH.ids
    assert fed.contents.edges() == [(GRAPH.ids[0], GRAPH.ids[2])]
    assert seen == [here]


def test_a_damaged_graph_is_the_owners_business() -> None:
    fed, (failure,) = asyncio.run(read(5))
    assert fed == []
    assert isinstance(failure, msgspec.DecodeError)


def test_what_is_not_there_is_told() -> None:
    assert asyncio.run(read(2)) == ([GraphRead(W, 2, None)], [])


def test_a_disk_that_fails_is_the_owners_business() -> None:
    fed, (failure,) = asyncio.run(read(3))
    assert fed == []
    assert isinstance(failure, OSError)


def test_closing_gives_up_what_is_being_read() -> None:
    assert asyncio.run(read(4)) == ([], [])
