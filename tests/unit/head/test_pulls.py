"""Pulls of captured output: each ends once, with its own chunk or with the loss of its link."""

from __future__ import annotations

import asyncio

from maze_head.pulls import LogPulls
from maze_protocol.messages import LogChunk


def chunk(request: int) -> LogChunk:
    return LogChunk(request, 1, 1, 0, b"text", end=True)


def test_a_chunk_reaches_who_asked() -> None:
    async def check() -> None:
        pulls = LogPulls()
        (first, one), (second, two) = pulls.begin(b"a"), pulls.begin(b"a")
        pulls.deliver(b"a", chunk(second))
        pulls.deliver(b"a", chunk(second))
        assert (one.done(), await two) == (False, chunk(second))
        pulls.deliver(b"a", chunk(first))
        assert await one == chunk(first)
        pulls.end(first)
        pulls.end(first)
        assert len(pulls) == 1

    asyncio.run(check())


def test_a_chunk_of_another_link_or_for_nobody_is_dropped() -> None:
    async def check() -> None:
        pulls = LogPulls()
        request, future = pulls.begin(b"a")
        pulls.deliver(b"b", chunk(request))
        pulls.deliver(b"a", chunk(99))
        assert not future.done()
        future.cancel()

    asyncio.run(check())


def test_a_lost_link_ends_its_pulls_only() -> None:
    async def check() -> None:
        pulls = LogPulls()
        _, mine = pulls.begin(b"a")
        _, other = pulls.begin(b"b")
        pulls.lose(b"a")
        pulls.lose(b"a")
        assert (await mine, other.done()) == (None, False)
        other.cancel()

    asyncio.run(check())
