"""Tokens on every route: without one nothing is served, before an upgrade and before the body; scopes hold."""

from __future__ import annotations

import asyncio
import logging
import re

import msgspec
import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from aiohttp.test_utils import make_mocked_request

from maze._daemon.access import bearer
from maze_head.api.access import OPEN, require
from maze_head.api.app import OPENAPI_PATH
from maze_head.api.failures import BURST
from maze_head.api.routes import ROUTES, Route, scopes
from maze_head.tokens import ADMIN, NODE_JOIN, READ, SCOPES, SUBMIT
from maze_protocol.http import RunRequest
from maze_protocol.streams import Submit
from support.api_double import RUN_TEXT, WORKFLOW_TEXT, Served, asynchronous, serving
from support.tokens import TEXTS

NEED_NONE = {"/api/v1/livez", "/api/v1/readyz"}
READERS = {"/api/v1/event-keys"}
"""Makes something, and only for who reads."""
UPGRADE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip
SOCKETS = ["/api/v1/events", f"/api/v1/runs/{RUN_TEXT}/events", f"/get_workflow_res/{WORKFLOW_TEXT}/{RUN_TEXT}"]


def real(path: str) -> str:
    """Return a path with something in the place of each parameter."""
    return re.sub(r"\{\w+\}", "x", path)


async def ask(
    head: Served, method: str, path: str, shown: dict[str, str] | None = None, **headers: str
) -> tuple[int, str]:
    """Return the status and the code of an answer, by a client that shows nothing by itself."""
    url = f"http://127.0.0.1:{head.port}{path}"
    async with ClientSession() as http, http.request(method, url, headers=(shown or {}) | headers) as response:
        body = await response.json() if method != "HEAD" and response.status >= 400 else {}
        return response.status, body.get("error", {}).get("code", "")


@asynchronous
async def test_every_route_of_the_router_needs_a_token_but_two() -> None:
    async with serving() as head:
        asked = 0
        for route in head.app.router.routes():
            assert route.resource is not None
            path = route.resource.canonical
            if path in NEED_NONE:
                assert (await ask(head, route.method, path))[0] == 200
                continue
            asked += 1
            for headers in ({}, UPGRADE):
                status, code = await ask(head, route.method, real(path), **headers)
                assert status == 401, (route.method, path)
                assert code == ("" if route.method == "HEAD" else "unauthorized")
    assert asked == len(ROUTES) + 1 - len(NEED_NONE)


@asynchronous
async def test_a_token_without_the_scope_is_refused_on_every_route_that_needs_more() -> None:
    async with serving() as head:
        for route in ROUTES:
            for scope in SCOPES:
                if route.scope == OPEN or (allowed := route.scope in RIGHTS[scope]):
                    continue
                status, code = await ask(head, route.method, real(route.path), bearer(TEXTS[scope]))
                assert not allowed
                assert status == 403, (route, scope)
                assert code == ("" if route.method == "HEAD" else "insufficient_scope")


RIGHTS = {READ: {READ}, SUBMIT: {READ, SUBMIT}, ADMIN: set(SCOPES), NODE_JOIN: {NODE_JOIN}}


def test_what_changes_anything_needs_more_than_reading() -> None:
    for route in ROUTES:
        reads = route.method in ("GET", "HEAD") or route.path in READERS
        assert route.scope in ((OPEN, READ) if reads else (SUBMIT, ADMIN, NODE_JOIN)) or route.scope == ADMIN, route
    assert {route.path for route in ROUTES if route.scope == OPEN} == NEED_NONE


@pytest.mark.parametrize("path", SOCKETS)
@asynchronous
async def test_a_websocket_is_refused_before_the_upgrade(path: str) -> None:
    async with serving() as head, ClientSession(f"http://127.0.0.1:{head.port}") as http:
        for shown, status in (({}, 401), (bearer("x" * 43), 401), (bearer(TEXTS[NODE_JOIN]), 403)):
            with pytest.raises(WSServerHandshakeError) as caught:
                await http.ws_connect(path, headers=shown)
            assert caught.value.status == status


@asynchronous
async def test_a_token_is_refused_before_its_body_is_read() -> None:
    async with serving() as head:
        reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
        writer.write(b"POST /api/v1/workflows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"401"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic " + TEXTS[ADMIN],
        TEXTS[ADMIN],
        "Bearer " + TEXTS[ADMIN] + "x",
        "Bearer \xff",
    ],
)
@asynchronous
async def test_what_is_no_good_token_is_refused(shown: str) -> None:
    async with serving() as head:
        assert await ask(head, "GET", "/api/v1/info", {"Authorization": shown}) == (401, "unauthorized")


@asynchronous
async def test_the_scheme_is_read_as_the_standard_says() -> None:
    async with serving() as head:
        assert (await ask(head, "GET", "/api/v1/limits", {"Authorization": f"bearer {TEXTS[READ]}"}))[0] != 401


@asynchronous
async def test_a_token_in_the_url_is_none() -> None:
    async with serving() as head:
        for name in ("token", "access_token", "authorization"):
            assert (await ask(head, "GET", f"/api/v1/info?{name}={TEXTS[ADMIN]}"))[0] == 401


@asynchronous
async def test_nobody_learns_without_a_token_what_is_served() -> None:
    async with serving() as head:
        assert await ask(head, "GET", "/nothing") == (401, "unauthorized")
        assert await ask(head, "PATCH", "/api/v1/workflows") == (401, "unauthorized")
        assert await ask(head, "GET", OPENAPI_PATH) == (401, "unauthorized")
        assert (await ask(head, "GET", "/nothing", bearer(TEXTS[ADMIN])))[1] == "unknown_path"


@asynchronous
async def test_the_refusal_says_how_to_give_a_token_and_nothing_of_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    secret = "s3cret" * 7
    with caplog.at_level(logging.DEBUG):
        async with serving() as head, head.http.get("/api/v1/info", headers=bearer(secret)) as response:
            text = await response.text()
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="maze"'
    for word in ("Authorization: Bearer", "MAZE_TOKEN", "MAZE_TOKEN_FILE", "maze-head token create"):
        assert word in text
    assert secret not in text + caplog.text


@asynchronous
async def test_who_fails_again_and_again_is_put_off_while_good_tokens_are_served() -> None:
    async with serving() as head:
        url = f"http://127.0.0.1:{head.port}/nothing"
        async with ClientSession() as http:
            statuses = []
            for _ in range(BURST + 30):
                async with http.get(url) as response:
                    statuses.append(response.status)
        assert statuses[:BURST] == [401] * BURST
        assert statuses[-1] == 429
        assert (await ask(head, "GET", "/nothing", bearer(TEXTS[READ])))[0] in (403, 404)


@asynchronous
async def test_the_originals_routes_are_open_if_the_operator_says_so() -> None:
    async with serving(seed_open=True) as head:
        for route in ROUTES:
            status, _ = await ask(head, route.method, real(route.path))
            assert (status == 401) == (not route.seed and route.path not in NEED_NONE), route
        # Pages of others are kept out of them all the same.
        assert await ask(head, "POST", "/create_workflow", Origin="http://evil.example") == (403, "origin_not_allowed")


def test_a_route_that_the_table_does_not_know_needs_an_admin() -> None:
    assert scopes([], seed_open=False) == {("GET", OPENAPI_PATH): READ}


def test_a_route_cannot_be_written_without_a_scope() -> None:
    with pytest.raises(TypeError):
        Route("GET", "/x", handler=None, request=None, response=None, summary="")  # type: ignore[call-arg,arg-type]


@asynchronous
async def test_a_reader_of_the_event_socket_may_not_submit() -> None:
    request = msgspec.msgpack.encode(Submit(1, RunRequest(WORKFLOW_TEXT, RUN_TEXT)))
    async with serving() as head, head.http.ws_connect("/api/v1/events", headers=bearer(TEXTS[READ])) as socket:
        await socket.send_bytes(request)
        answer = msgspec.msgpack.decode((await socket.receive()).data)
    assert {"insufficient_scope", 403} <= set(answer.values()), answer


def test_require_lets_pass_what_needed_no_token() -> None:
    require(make_mocked_request("GET", "/"), ADMIN)
