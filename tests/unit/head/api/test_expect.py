"""Who may go on, and who is not even asked to send a body."""

from __future__ import annotations

import asyncio

import pytest

from support.api_double import asynchronous, serving
from support.tokens import LINE

BODY = b"{}"
TOKEN = LINE.strip().encode()


def asking(path: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    fields = (b"Host: localhost", b"Content-Type: application/json", b"Content-Length: 2", b"Connection: close")
    return b"\r\n".join([b"POST " + path + b" HTTP/" + version, *fields, *headers, b"", b""])


@asynchronous
async def test_a_client_that_waits_for_it_is_told_to_go_on() -> None:
    async with serving() as head:
        reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
        writer.write(asking(b"/api/v1/runs", b"Expect: 100-Continue", TOKEN))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.readline()).startswith(b"HTTP/1.1 422 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (asking(b"/api/v1/runs", b"Expect: 100-continue", b"Origin: http://evil.example"), b"403"),
        (asking(b"/api/v1/runs", b"Expect: 100-continue"), b"401"),
        (asking(b"/api/v1/runs", b"Expect: miracles"), b"417"),
    ],
)
@asynchronous
async def test_others_are_refused_before_they_send_anything(sent: bytes, status: bytes) -> None:
    async with serving() as head:
        reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
        writer.write(sent)
        assert (await reader.readline()).split()[1] == status
        writer.close()
        await writer.wait_closed()


@asynchronous
async def test_an_old_client_is_not_told_what_it_would_not_understand() -> None:
    async with serving() as head:
        reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
        writer.write(asking(b"/api/v1/runs", b"Expect: 100-continue", TOKEN, version=b"1.0") + BODY)
        assert (await reader.readline()).split()[1] == b"422"
        writer.close()
        await writer.wait_closed()
