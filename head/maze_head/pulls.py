"""Pulls of captured output that wait for their chunk. These never pass the core: they change nothing.

A pull ends with its LogChunk, with the loss of its link, or after a few seconds; the last two yield None.
"""

from __future__ import annotations

import asyncio
from typing import Final

from maze_protocol.messages import LogChunk

__all__ = ["PULL_SECONDS", "LogPulls"]

PULL_SECONDS: Final = 5.0


class LogPulls:
    """Open pulls by request number."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, tuple[bytes, asyncio.Future[LogChunk | None]]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, link: bytes) -> tuple[int, asyncio.Future[LogChunk | None]]:
        """Return a fresh request number and the future of its chunk."""
        self._last += 1
        future: asyncio.Future[LogChunk | None] = asyncio.get_running_loop().create_future()
        self._open[self._last] = (link, future)
        return self._last, future

    def end(self, request: int) -> None:
        """Forget a pull."""
        self._open.pop(request, None)

    def deliver(self, link: bytes, chunk: LogChunk) -> None:
        """Hand a chunk to who waits for it; one that nobody waits for, or of another link, is dropped."""
        holder, future = self._open.get(chunk.request, (b"", None))
        if future is not None and holder == link and not future.done():
            future.set_result(chunk)

    def lose(self, link: bytes) -> None:
        """End all pulls of a link that is gone."""
        for holder, future in self._open.values():
            if holder == link and not future.done():
                future.set_result(None)
