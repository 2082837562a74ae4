"""Uploads over HTTP: whole, in parts, broken off, at the same time, and wrong in every way."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import random
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from maze_head.api import uploads
from maze_protocol.limits import MAX_OBJECT, MIB
from support.api_double import WORKFLOW_TEXT, Served, asynchronous, serving
from support.tokens import LINE

DATA = random.Random(7).randbytes(2 * MIB + 12_345)
HASH = blake2b(DATA, digest_size=32).hexdigest()
URL = f"/api/v1/values/{HASH}"


async def answer_of(response: ClientResponse) -> tuple[int, Any]:
    body = await response.json()
    return response.status, body.get("error", {}).get("code") or (body["offset"], body["complete"])


async def put(head: Served, data: bytes, query: str = "", url: str = URL, **headers: str) -> tuple[int, Any]:
    async with head.http.put(url + query, data=io.BytesIO(data), headers=headers) as response:
        return await answer_of(response)


async def look(head: Served) -> tuple[int, str | None, str | None]:
    async with head.http.head(URL) as response:
        return response.status, response.headers.get("Upload-Offset"), response.headers.get("Upload-Complete")


def kept(head: Served) -> bytes:
    file = head.blobs.open_upload(bytes.fromhex(HASH))
    assert file is not None
    with file:
        return file.readall()  # type: ignore[attr-defined,no-any-return]  # a raw file


def written(head: Served) -> int:
    """Return how far the file of an upload has been written."""
    parts = list(Path(head.directory).rglob("*.part"))
    data = parts[0].read_bytes() if parts else b""
    return len(data.rstrip(b"\0"))


@asynchronous
async def test_a_value_is_brought_once() -> None:
    async with serving() as head:
        assert await look(head) == (404, None, None)
        assert await put(head, DATA) == (201, (len(DATA), True))
        assert kept(head) == DATA
        assert await look(head) == (200, str(len(DATA)), "true")
        assert await put(head, b"anything") == (201, (len(DATA), True))


@asynchronous
async def test_an_empty_value() -> None:
    async with serving() as head:
        empty = blake2b(b"", digest_size=32).hexdigest()
        assert await put(head, b"", url=f"/api/v1/values/{empty}") == (201, (0, True))


@asynchronous
async def test_a_value_in_parts() -> None:
    async with serving() as head:
        half, size = len(DATA) // 2, len(DATA)
        first = {"Content-Range": f"bytes 0-{half - 1}/{size}"}
        assert await put(head, DATA[:half], **first) == (202, (half, False))
        assert await look(head) == (200, str(half), "false")
        async with head.http.put(
            URL, data=io.BytesIO(DATA), headers={"Content-Range": f"bytes 0-{size - 1}/{size}"}
        ) as response:
            assert response.headers["Upload-Offset"] == str(half)
            assert await answer_of(response) == (409, "wrong_offset")
        assert await put(head, DATA[half:], f"?offset={half}") == (201, (size, True))
        assert kept(head) == DATA


@asynchronous
async def test_what_came_before_a_client_went_away_stays() -> None:
    async with serving() as head:
        _, writer = await asyncio.open_connection("127.0.0.1", head.port)
        writer.write(f"PUT {URL} HTTP/1.1\r\nHost: localhost\r\n{LINE}Content-Length: {len(DATA)}\r\n\r\n".encode())
        writer.write(DATA[: 2 * MIB])
        await writer.drain()
        while written(head) < MIB:
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        while (found := await look(head))[0] != 200:
            await asyncio.sleep(0.01)
        offset = int(found[1] or 0)
        assert MIB <= offset <= 2 * MIB
        assert await put(head, DATA[offset:], f"?offset={offset}") == (201, (len(DATA), True))
        assert kept(head) == DATA


@asynchronous
async def test_clients_that_bring_the_same_do_not_disturb_each_other() -> None:
    async with serving() as head:
        answers = await asyncio.gather(*(put(head, DATA) for _ in range(5)))
        assert answers == [(201, (len(DATA), True))] * 5
        assert kept(head) == DATA


@asynchronous
async def test_other_bytes_than_were_announced_are_dropped() -> None:
    async with serving() as head:
        assert await put(head, DATA[:-1] + b"?") == (422, "wrong_hash")
        assert await look(head) == (404, None, None)
        assert await put(head, DATA) == (201, (len(DATA), True))


@pytest.mark.parametrize(
    ("url", "headers", "expected"),
    [
        ("/api/v1/values/xyz", {}, (400, "bad_hash")),
        (URL.replace(HASH, HASH.upper()), {}, (400, "bad_hash")),
        (f"{URL}00", {}, (400, "bad_hash")),
        (f"{URL}?offset=5", {}, (409, "wrong_offset")),
        (f"{URL}?offset=-5", {}, (400, "bad_query")),
        (f"{URL}?offset=x", {}, (400, "bad_query")),
        (f"{URL}?offset={MAX_OBJECT}", {}, (413, "too_large")),
        (URL, {"Content-Range": "bytes 5-7/100"}, (409, "wrong_offset")),
        (URL, {"Content-Range": "bytes 0-3/100"}, (400, "bad_range")),
        (URL, {"Content-Range": "bytes 0-2/2"}, (400, "bad_range")),
        (URL, {"Content-Range": "bytes 2-0/100"}, (400, "bad_range")),
        (URL, {"Content-Range": "bytes */100"}, (400, "bad_range")),
        (URL, {"Content-Range": "lines 0-2/3"}, (400, "bad_range")),
        (URL, {"Content-Range": f"bytes 0-2/{MAX_OBJECT + 1}"}, (413, "too_large")),
        (URL, {"Content-Encoding": "gzip"}, (415, "encoding_not_supported")),
    ],
)
def test_what_is_refused(url: str, headers: dict[str, str], expected: tuple[int, str]) -> None:
    @asynchronous
    async def check() -> None:
        async with serving() as head:
            assert await put(head, b"abc", url=url, **headers) == expected
            assert await put(head, DATA) == (201, (len(DATA), True)), "the next one is not harmed"

    check()


@asynchronous
async def test_a_body_of_unknown_length_is_refused() -> None:
    async def parts() -> Any:
        yield DATA

    async with serving() as head, head.http.put(URL, data=parts()) as response:
        assert await answer_of(response) == (400, "length_required")


def test_a_client_that_sends_nothing_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving() as head:
            reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
            writer.write(
                f"PUT {URL} HTTP/1.1\r\nHost: localhost\r\n{LINE}Content-Length: {len(DATA)}\r\n\r\nabc".encode()
            )
            assert b"408" in await reader.readline()
            writer.close()
            await writer.wait_closed()
            assert await look(head) == (200, "3", "false")

    monkeypatch.setattr(uploads, "BODY_TIMEOUT", 0.05)
    check()


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, (507, "disk_full")), (errno.EIO, (503, "disk_refuses"))]
)
def test_a_disk_that_does_not_take_it(number: int, expected: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> int:
        raise OSError(number, os.strerror(number))

    @asynchronous
    async def check() -> None:
        async with serving() as head:
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", full)
                assert await put(head, DATA) == expected
            assert await look(head) == (404, None, None)
            assert await put(head, DATA) == (201, (len(DATA), True))

    check()


@asynchronous
async def test_a_task_whose_value_was_not_brought_is_refused_by_its_number_and_place() -> None:
    inputs = {"x": {"upload": {"codec": 0, "hash": HASH, "size": len(DATA)}}}
    first = {"op": "add_task", "task": {"task_id": f"task_{1:032x}", "name": "t"}}
    whole = {"op": "add_task", "task": {"task_id": f"task_{2:032x}", "name": "t", "inputs": inputs}}
    short = {"op": "add_alike", "like": 0, "task_id": f"task_{2:032x}", "inputs": inputs}
    async with serving() as head:
        url = f"/api/v1/workflows/{WORKFLOW_TEXT}/edits"
        for op, field in ((whole, "$.ops[1].task.inputs.x.upload"), (short, "$.ops[1].inputs.x.upload")):
            async with head.http.post(url, json={"ops": [first, op]}) as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"], error["op"], error["field"]) == (422, "unknown_upload", 1, field)
