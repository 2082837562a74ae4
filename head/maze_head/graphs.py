"""Reads saved graphs for the core, large ones off the loop. No decisions: the core orders and is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from maze_head.core.contents import Contents
from maze_head.core.effects import ReadGraph
from maze_head.core.events import GraphRead
from maze_protocol.limits import KIB

__all__ = ["GraphReader"]

THREAD_FROM: Final = 64 * KIB
"""About five milliseconds of work."""


class Graphs(Protocol):
    """The hub, as it is read here."""

    def graph(self, workflow_id: bytes, version: int) -> Awaitable[bytes]: ...


class GraphReader:
    """Carries out `ReadGraph`; each is answered by one `GraphRead`."""

    def __init__(
        self, graphs: Graphs, feed: Callable[[GraphRead], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._graphs = graphs
        self._feed = feed
        self._failed = failed
        self._reading: set[asyncio.Task[None]] = set()

    def read(self, order: ReadGraph) -> None:
        """Read a graph whose row is committed."""
        task = asyncio.get_running_loop().create_task(self._read(order))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def close(self) -> None:
        """Give up what is being read."""
        reading = list(self._reading)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _read(self, order: ReadGraph) -> None:
        try:
            contents = await self._contents(order)
        except Exception as error:  # noqa: BLE001 -- task entry point: a command waits for what should be on disk
            self._failed(error)
            return
        self._feed(GraphRead(order.workflow_id, order.version, contents))

    async def _contents(self, order: ReadGraph) -> Contents | None:
        try:
            body = await self._graphs.graph(order.workflow_id, order.version)
        except LookupError:  # its workflow was removed meanwhile
            return None
        if len(body) < THREAD_FROM:
            return Contents.read(body)
        return await asyncio.to_thread(Contents.read, body)
