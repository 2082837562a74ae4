"""Large literals on their way to a head that has the real routes and a real directory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any

import pytest
from aiohttp import web

from maze import _fetch
from maze._fetch import Place
from maze._graph import AddEdge, AddTask, InputSpec, Literal
from maze._http import close_connection
from maze._loop import bridge
from maze._remote_value import RemoteValue
from maze._upload import bring, literals_of
from maze._values import encode
from maze.errors import HeadUnavailableError, RequestError, ValueExpiredError
from maze_head.api import uploads
from maze_head.blobfile import NoRoomForBlob
from support.api_double import Served, asynchronous, serving
from support.drafts import task_of
from support.tokens import ADMIN, TEXTS
from support.value_server import GONE, serving_values

DATA = random.Random(3).randbytes(3 * 2**20)
Bodies = Callable[[web.Request], AsyncGenerator[bytes, None]]


@asynccontextmanager
async def uploading() -> AsyncIterator[tuple[Served, str]]:
    async with serving() as head:
        url = f"http://127.0.0.1:{head.port}"
        try:
            yield head, url
        finally:
            await asyncio.to_thread(close_connection, url)


def stored(head: Served, data: bytes = DATA) -> bytes | None:
    file = head.blobs.open_upload(blake2b(data, digest_size=32).digest())
    if file is None:
        return None
    with file:
        return file.read()


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK know the token of the server."""
    monkeypatch.setenv("MAZE_TOKEN", TEXTS[ADMIN])


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the head lose the connection of an upload after so many bytes, once for each number; return the numbers."""
    cuts: list[int] = []
    whole: Bodies = uploads._body

    async def body(request: web.Request) -> AsyncGenerator[bytes, None]:
        room = cuts.pop(0) if cuts else None
        async for data in whole(request):
            yield data if room is None else data[:room]
            if room is not None:
                room -= len(data)
                if room <= 0:
                    raise ConnectionAbortedError("cut")

    monkeypatch.setattr(uploads, "_body", body)
    return cuts


@asynchronous
async def test_a_literal_is_sent_once_and_its_bytes_are_let_go() -> None:
    async with uploading() as (head, url):
        literal = Literal(len(DATA), DATA)
        await bridge(bring(url, [literal]))
        assert stored(head) == DATA
        assert (literal.digest, literal.sent, literal.body) == (blake2b(DATA, digest_size=32).hexdigest(), True, b"")
        head.blobs.begin_upload = None  # type: ignore[assignment,method-assign]  # no byte of it is taken again
        await bridge(bring(url, [Literal(len(DATA), DATA)]))


def test_an_upload_goes_on_where_it_broke_off(bodies: list[int]) -> None:
    @asynchronous
    async def check() -> None:
        async with uploading() as (head, url):
            bodies[:] = [1_500_000, 0, 700_000]
            await bridge(bring(url, [Literal(len(DATA), DATA)]))
            assert stored(head) == DATA
            assert not bodies

    check()


def test_a_head_that_takes_nothing_for_a_minute_is_given_up(bodies: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with uploading() as (_, url):
            bodies[:] = [0] * 50
            with pytest.raises(HeadUnavailableError):
                await bridge(bring(url, [Literal(len(DATA), DATA)]))

    monkeypatch.setattr(_fetch, "RECONNECT_SECONDS", 0.0)
    check()


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with uploading() as (head, url):
            with monkeypatch.context() as patch:
                patch.setattr(head.blobs, "begin_upload", _full)
                with pytest.raises(HeadUnavailableError, match="no room"):
                    await bridge(bring(url, [Literal(len(DATA), DATA)]))

    monkeypatch.setattr(_fetch, "RECONNECT_SECONDS", 0.0)
    check()


def _full(*args: Any) -> None:
    raise NoRoomForBlob("no room")


@asynchronous
async def test_bytes_that_are_not_what_their_hash_says_are_refused() -> None:
    async with uploading() as (_, url):
        with pytest.raises(RequestError) as caught:
            await bridge(bring(url, [Literal(len(DATA), DATA, digest="ab" * 32)]))
        assert caught.value.code == "wrong_hash"


@asynchronous
async def test_a_value_of_another_run_is_brought_without_being_decoded() -> None:
    codec, body = encode({"a": DATA})
    async with serving_values(y=body) as other, uploading() as (head, url):
        other.faults = [1_000_000]
        source = RemoteValue(Place(other.url, "run_1", "task_1", "y"), codec, len(body), "dict")
        literal = Literal(source.size, source=source)
        await bridge(bring(url, [literal]))
        assert stored(head, body) == body
        assert literal.digest == blake2b(body, digest_size=32).hexdigest()
        other.faults = [GONE]
        with pytest.raises(ValueExpiredError):
            await bridge(bring(url, [Literal(source.size, source=source)]))


def test_the_literals_of_operations_are_found_once() -> None:
    one, two, three = Literal(1), Literal(2), Literal(3, sent=True)
    inputs = {"a": InputSpec((), 0, None, one), "b": InputSpec((), 0, b"x"), "c": InputSpec((("t", "y"),))}
    more = {"a": InputSpec((), 0, None, two), "b": InputSpec((), 0, None, one), "c": InputSpec((), 0, None, three)}
    ops = [AddTask(task_of("t1", "t1", inputs=inputs)), AddEdge("t1", "t2"), AddTask(task_of("t2", "t2", inputs=more))]
    assert literals_of(ops) == [one, two]
