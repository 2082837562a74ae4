"""Bytes that are no request, and refusals before any handler: the one error body, and no noise."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest
from aiohttp import WSMsgType, web

from maze._daemon.access import bearer
from maze_head.api import connection
from maze_head.api.call import TRAFFIC
from maze_head.tokens import ADMIN, READ, Token, TokenBook, digest_of
from maze_protocol.http import ErrorBody, ErrorDetail
from support.api_double import asynchronous, running, serving
from support.tokens import LINE, TEXTS

HEAD = b"Host: localhost\r\n"
POST = b"POST /api/v1/workflows HTTP/1.1\r\nContent-Type: application/json\r\n" + HEAD
ZMTP = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00NULL" + bytes(48)
TLS = bytes.fromhex("1603010200010001fc0303") + bytes(range(256))


async def said(port: int, sent: bytes) -> bytes:
    """Send bytes and return all that comes until the head hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(-1), 10)
    writer.close()
    await writer.wait_closed()
    return answer


def error_of(answer: bytes) -> tuple[int, ErrorDetail]:
    """Return status and error of the last answer of a connection."""
    head, _, body = answer[answer.rindex(b"HTTP/1.") :].partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    return int(head.split()[1]), msgspec.json.decode(body, type=ErrorBody).error


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"\x00\xff\xfe rubbish\r\n\r\n", "Invalid method"),
        (b"G@T / HTTP/1.1\r\n" + HEAD + b"\r\n", "Invalid method"),
        (b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n", "status line"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", "8190 bytes"),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 9_000 + b"\r\n\r\n", "8190 bytes"),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\r\n" * 300 + b"\r\n", "Too many headers"),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\x1b[31m\x00\r\n\r\n", "Invalid header value"),
        (b"GET / HTTP/1.1\r\n\r\n", "'Host'"),
        (b"GET http://[::1/ HTTP/1.1\r\n" + HEAD + b"\r\n", "URL"),
        (b"GET /\xff HTTP/1.1\r\n" + HEAD + b"\r\n", "Invalid char in url path"),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length"),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "Content-Length"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", "chunk size"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "no HTTP request"),
        (TLS, "TLS"),
        (ZMTP, "ZeroMQ"),
    ],
)
@asynchronous
async def test_bytes_that_are_no_request_get_the_one_body(
    sent: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as head:
        status, error = error_of(await said(head.port, sent))
        assert (status, error.code) == (400, "bad_http")
        assert told in error.message
        assert error.message.isascii()
        assert error.request_id.startswith("req_")
        assert (head.app[TRAFFIC].requests_total, head.app[TRAFFIC].refused_total) == (1, 1)
    # The event loop's own complaints about a busy machine are not meant.
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG and each.name != "asyncio"]


@pytest.mark.parametrize("path", [b"POST /api/v1/workflows", b"PUT /api/v1/values/" + b"0" * 64])
@asynchronous
async def test_a_body_that_breaks_off_in_rubbish_is_not_waited_for(path: bytes) -> None:
    async with serving() as head:
        reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
        fields = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + LINE.encode() + HEAD
        writer.write(path + b" HTTP/1.1\r\n" + fields + b"\r\n")
        while not head.app[TRAFFIC].requests_total:
            await asyncio.sleep(0.01)
        writer.write(b"5\r\n{\r\nzz\r\n\r\n")
        answer = await asyncio.wait_for(reader.readline(), 10)
        assert answer.split()[1] in (b"400", b"411")
        writer.close()
        await writer.wait_closed()


@asynchronous
async def test_rubbish_behind_a_request_ends_the_connection() -> None:
    async with serving() as head:
        good = b"GET /api/v1/livez HTTP/1.1\r\n" + HEAD + b"\r\n"
        assert error_of(await said(head.port, good + b"\x00rubbish\r\n\r\n"))[1].code == "bad_http"


@pytest.mark.parametrize("path", [b"/api/v1/workflows", b"/nothing", b"/openapi.json"])
@asynchronous
async def test_what_nobody_fulfils_is_417(path: bytes) -> None:
    async with serving() as head:
        ask = b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\nExpect: \x80miracles\r\n" + HEAD + b"\r\n"
        status, error = error_of(await said(head.port, ask))
    assert (status, error.code) == (417, "expectation_failed")


@asynchronous
async def test_a_failure_outside_of_all_middlewares_is_found_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def expect(request: web.Request) -> None:
        raise KeyError("secret")

    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler, expect_handler=expect)
    async with running(app) as (port, _):
        status, error = error_of(await said(port, b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n" + HEAD + b"\r\n"))
        assert app[TRAFFIC].failed_total == 1
    assert (status, error.code) == (500, "internal_error")
    assert "secret" not in error.message
    assert error.request_id in caplog.text
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    "sent", [b"", b"GET /api/v1/livez HTT", b"GET /api/v1/livez HTTP/1.1\r\nHost: localhost\r\nX: "]
)
def test_who_takes_long_to_ask_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving() as head:
            assert await said(head.port, sent) == b""
            assert head.app[TRAFFIC].connections_slow_total == 1

    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.1)
    check()


def test_the_second_request_of_a_connection_has_to_be_quick_too_and_its_body_has_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynchronous
    async def check() -> None:
        async with serving() as head:
            reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
            writer.write(POST + LINE.encode() + b"Content-Length: 2\r\n\r\n{")
            assert await waits(reader, 0.3)
            writer.write(b"}")
            assert (await reader.readline()).startswith(b"HTTP/1.1 ")
            assert await waits(reader, 0.3, to_the_end=True)
            writer.write(b"GET /api")
            await asyncio.wait_for(reader.read(-1), 10)
            writer.close()
            await writer.wait_closed()
            assert head.app[TRAFFIC].connections_slow_total == 1

    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.1)
    check()


async def waits(reader: asyncio.StreamReader, seconds: float, *, to_the_end: bool = False) -> bool:
    """Tell whether the connection is open and, after what has come, silent for so long."""
    while True:
        try:
            data = await asyncio.wait_for(reader.read(4096), seconds)
        except TimeoutError:
            return True
        if not data or not to_the_end:
            return False


@asynchronous
async def test_a_revoked_token_ends_what_is_being_done_with_it() -> None:
    good = [Token(digest_of(text), scope, scope) for scope, text in TEXTS.items()]
    async with serving() as head:
        readers = {
            scope: await head.http.ws_connect("/api/v1/events", headers=bearer(TEXTS[scope])) for scope in (READ, ADMIN)
        }
        connection.cut_revoked(head.app, TokenBook(good))
        connection.cut_revoked(head.app, TokenBook(token for token in good if token.scope != READ))
        assert (await readers[READ].receive(10)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        await readers[ADMIN].ping()
        assert not readers[ADMIN].closed
        await readers[ADMIN].close()


@asynchronous
async def test_connections_that_say_nothing_make_room() -> None:
    async with serving() as head:
        head.app[connection.CROWD]._limit = 3
        opened = [await asyncio.open_connection("127.0.0.1", head.port) for _ in range(4)]
        assert await asyncio.wait_for(opened[0][0].read(-1), 10) == b""
        assert head.app[TRAFFIC].connections_dropped_total == 1
        for _, writer in opened:
            writer.close()
            await writer.wait_closed()
