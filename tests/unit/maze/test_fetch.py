"""Downloads from a server that breaks off, refuses and changes its mind."""

from __future__ import annotations

import os

import pytest

from maze import _fetch
from maze._fetch import Place, fetch, fetch_bytes
from maze._loop import bridge
from maze.errors import HeadUnavailableError, RequestError, UnknownRunError, ValueExpiredError
from maze_head.core.errors import Gone
from support.api_double import asynchronous
from support.value_server import GONE, NOT_NOW, ValueServer, serving_values

DATA = os.urandom(300_000)


def place(server: ValueServer, key: str = "y") -> Place:
    return Place(server.url, "run_1", "task_1", key)


@asynchronous
async def test_bytes_arrive_as_they_are() -> None:
    async with serving_values(y=DATA) as server:
        assert await bridge(fetch_bytes(place(server))) == DATA
        assert server.ranges == [""]


@asynchronous
async def test_names_are_quoted() -> None:
    async with serving_values(**{"a/b ü?": b"x"}) as server:
        assert await bridge(fetch_bytes(place(server, "a/b ü?"))) == b"x"


@asynchronous
async def test_a_download_that_breaks_off_goes_on_where_it_stopped() -> None:
    async with serving_values(y=DATA) as server:
        server.faults = [100_000, 50_000, NOT_NOW, 0]
        assert await bridge(fetch_bytes(place(server))) == DATA
        assert server.ranges[:2] == ["", f"bytes=100000-{(1 << 62) - 1}"]
        assert server.ranges[2:] == [f"bytes=150000-{(1 << 62) - 1}"] * 3


@asynchronous
async def test_other_bytes_are_read_from_their_beginning() -> None:
    async with serving_values(y=DATA) as server:
        other = os.urandom(200_000)
        server.faults = [100_000, other]
        assert await bridge(fetch_bytes(place(server))) == other


class Rest:
    """A sink for a part."""

    def __init__(self) -> None:
        self.data = b""

    async def begin(self, size: int) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


@asynchronous
async def test_a_part_is_the_right_part_though_the_bytes_change() -> None:
    async with serving_values(y=DATA) as server:
        other, sink = os.urandom(200_000), Rest()
        server.faults = [100_000, other]
        await bridge(fetch(place(server), sink, range(5, 1 << 62)))
        assert sink.data == other[5:]
        await bridge(fetch(place(server), sink, range(3)))
        assert sink.data == other[:3]


@asynchronous
async def test_refusals_are_told_as_what_they_are() -> None:
    async with serving_values(y=DATA) as server:
        server.faults = [GONE]
        with pytest.raises(ValueExpiredError, match="keep=True") as caught:
            await bridge(fetch_bytes(place(server)))
        assert (caught.value.run_id, caught.value.task_id) == ("run_1", "task_1")
        server.faults = [Gone("run_removed", "removed")]
        with pytest.raises(UnknownRunError):
            await bridge(fetch_bytes(place(server)))
        with pytest.raises(RequestError, match="no z"):
            await bridge(fetch_bytes(place(server, "z")))


def test_a_head_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values(y=DATA) as server:
            server.faults = [10, *[NOT_NOW] * 50]
            with pytest.raises(HeadUnavailableError):
                await bridge(fetch_bytes(place(server)))

    monkeypatch.setattr(_fetch, "RECONNECT_SECONDS", 0.0)
    check()
