"""Bodies and ranges of them, against RFC 9110."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, web

from maze_head.api.errors import NotSatisfiable, catch_errors
from maze_head.api.pieces import PIECE, FileBody, MemoryBody, Sent, range_of, send
from support.api_double import asynchronous, running


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bytes=0-", range(10)),
        ("bytes=3-5", range(3, 6)),
        (" bytes=3-3 ", range(3, 4)),
        ("bytes=3-99999999999999999", range(3, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-99", range(10)),
    ],
)
def test_a_range_is_what_exists_of_it(text: str, wanted: range) -> None:
    assert range_of(text, 10) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes=-", "bytes=5-3", "bytes=0-1,3-4", "lines=0-1", "bytes=x-1", "bytes=٣-", "bytes=1-" + "9" * 99],
)
def test_what_is_no_range_is_ignored(text: str) -> None:
    assert range_of(text, 10) is None


@pytest.mark.parametrize(("text", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_range_of_nothing_is_refused_with_the_size(text: str, size: int) -> None:
    with pytest.raises(NotSatisfiable) as caught:
        range_of(text, size)
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}


def app_of(body: Sent, stop: asyncio.Event | None = None) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await send(request, body, {"Maze-Codec": "1"}, stop or asyncio.Event())

    app = web.Application(middlewares=[catch_errors])
    app.router.add_route("*", "/", handle)
    return app


def file_of(path: Path, data: bytes) -> FileBody:
    path.write_bytes(data)
    return FileBody(path.open("rb", buffering=0))


@asynchronous
async def test_a_body_whole_in_part_and_its_headers_alone(tmp_path: Path) -> None:
    data = bytes(range(256)) * (PIECE // 256 * 2 + 3)  # more than two pieces
    for body in (MemoryBody(data), file_of(tmp_path / "blob", data)):
        async with running(app_of(body)) as (_, http):
            async with http.get("/") as response:
                assert (response.status, await response.read()) == (200, data)
                tag = response.headers["ETag"]
                assert (response.headers["Accept-Ranges"], response.headers["Maze-Codec"]) == ("bytes", "1")
            async with http.get("/", headers={"Range": f"bytes={PIECE - 5}-", "If-Range": tag}) as response:
                assert (response.status, await response.read()) == (206, data[PIECE - 5 :])
                assert response.headers["Content-Range"] == f"bytes {PIECE - 5}-{len(data) - 1}/{len(data)}"
            async with http.get("/", headers={"Range": "bytes=5-", "If-Range": '"other"'}) as response:
                assert (response.status, response.content_length) == (200, len(data))
            async with http.get("/", headers={"Range": f"bytes={len(data)}-"}) as response:
                assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{len(data)}")
                assert (await response.json())["error"]["code"] == "range_not_satisfiable"
            async with http.head("/") as response:
                assert (response.status, response.content_length, response.headers["ETag"]) == (200, len(data), tag)
        body.close()


@asynchronous
async def test_an_answer_that_cannot_be_completed_is_no_complete_answer(tmp_path: Path) -> None:
    body = file_of(tmp_path / "blob", bytes(3 * PIECE))
    (tmp_path / "blob").write_bytes(bytes(PIECE))  # a disk that loses what it had
    async with running(app_of(body)) as (_, http):
        with pytest.raises(ClientPayloadError):
            async with http.get("/") as response:
                await response.read()
    body.close()


@asynchronous
async def test_a_head_that_stops_keeps_nobody_waiting() -> None:
    stop = asyncio.Event()
    stop.set()
    async with running(app_of(MemoryBody(bytes(PIECE)), stop)) as (_, http):
        with pytest.raises(ClientPayloadError):
            async with http.get("/") as response:
                await response.read()


@asynchronous
async def test_an_empty_body_has_a_size_and_a_tag() -> None:
    async with running(app_of(MemoryBody(b""))) as (_, http), http.get("/") as response:
        assert (response.status, response.content_length, await response.read()) == (200, 0, b"")
