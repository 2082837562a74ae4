"""The middlewares in their order, on requests that reach no handler."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maze_protocol.http import MSGPACK_TYPE, ErrorBody
from support.api_double import asynchronous, serving


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "unknown_path"),
        ("GET", "/", {}, 404, "unknown_path"),
        ("PATCH", "/api/v1/info", {}, 405, "method_not_allowed"),
        ("HEAD", "/api/v1/info", {}, 405, None),
        ("OPTIONS", "/api/v1/info", {"Origin": "http://evil.example"}, 403, "origin_not_allowed"),
        ("GET", "/nothing", {"Host": "evil.example"}, 421, "host_not_allowed"),
        ("GET", "/openapi.json", {"Host": "evil.example"}, 421, "host_not_allowed"),
    ],
)
@asynchronous
async def test_refusals_before_any_handler_have_the_one_body(
    method: str, path: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    async with serving() as head, head.http.request(method, path, headers=headers) as response:
        assert response.status == status
        assert "Access-Control-Allow-Origin" not in response.headers
        if code is not None:
            assert msgspec.json.decode(await response.read(), type=ErrorBody).error.code == code


@asynchronous
async def test_errors_come_in_the_format_that_was_asked_for() -> None:
    async with serving() as head, head.http.get("/nothing", headers={"Accept": MSGPACK_TYPE}) as response:
        assert response.content_type == MSGPACK_TYPE
        body: Any = msgspec.msgpack.decode(await response.read())
        assert body["error"]["code"] == "unknown_path"


@asynchronous
async def test_answers_come_in_the_format_that_was_asked_for() -> None:
    async with serving() as head, head.http.get("/api/v1/info", headers={"Accept": MSGPACK_TYPE}) as response:
        assert msgspec.msgpack.decode(await response.read())["name"] == "maze"
