"""From what went wrong to what a client is told."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

import maze_head
from maze_head.api import errors
from maze_head.api.errors import STATUS, STATUS_OF_CODE, catch_errors, status_of
from maze_head.core import errors as core_errors
from maze_head.core.errors import Conflict, Invalid, NotFound, Rejected, Unavailable
from maze_head.core.state import EXPIRED, REMOVED
from maze_protocol.http import MSGPACK_TYPE, ErrorBody
from support.api_double import asynchronous, running

DOCS = Path(__file__).parents[4] / "docs" / "api.md"


def refusals() -> set[type[Rejected]]:
    """Return every class of refusal that the head defines."""
    defined = [kind for module in (errors, core_errors) for kind in vars(module).values() if inspect.isclass(kind)]
    return {kind for kind in defined if issubclass(kind, Rejected) and kind is not Rejected}


def codes() -> set[str]:
    """Return every code that the head's source gives to a refusal."""
    names = {kind.__name__ for kind in refusals()}
    found: set[str] = set()
    for path in Path(maze_head.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found | {errors.INTERNAL}


def test_every_class_of_refusal_has_one_status() -> None:
    assert refusals() == set(STATUS)


def test_a_code_may_have_a_status_of_its_own() -> None:
    assert status_of(NotFound("unknown_run", "")) == 404
    assert status_of(NotFound("unknown_output", "")) == 422
    assert status_of(Unavailable("too_many_pending", "")) == 429
    assert status_of(Invalid("too_large", "")) == 413


def documented() -> dict[str, int]:
    """Return the codes of the table in docs/api.md with their statuses."""
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", DOCS.read_text().partition("## Errors")[2], re.M)
    found = {code: int(status) for status, cells in rows for code in re.findall(r"`([a-z]+_[a-z_]+)`", cells)}
    del found["request_id"]  # named there, and no code
    return found


def test_every_documented_code_is_given_by_the_head() -> None:
    words = {
        node.value
        for path in Path(maze_head.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    made = {f"{kind}_{how}" for kind in ("run", "workflow") for how in (EXPIRED, REMOVED)}  # of lookups.refuse_gone
    assert sorted(documented().keys() - words - made) == []


def test_codes_with_a_status_of_their_own_are_documented_with_it() -> None:
    table = documented()
    assert {code: table.get(code) for code in STATUS_OF_CODE} == STATUS_OF_CODE


def test_every_code_is_documented() -> None:
    text = DOCS.read_text()
    assert len(codes()) > 30
    assert sorted(code for code in codes() if f"`{code}`" not in text) == []


def app_of(error: BaseException) -> web.Application:
    async def handler(request: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[catch_errors])
    app.router.add_get("/", handler)
    return app


async def answer(error: BaseException, accept: str = "*/*") -> tuple[int, ErrorBody, dict[str, str]]:
    async with running(app_of(error)) as (_, http), http.get("/", headers={"Accept": accept}) as response:
        data = await response.read()
        decode = msgspec.msgpack.decode if response.content_type == MSGPACK_TYPE else msgspec.json.decode
        return response.status, decode(data, type=ErrorBody), dict(response.headers)


@pytest.mark.parametrize("accept", ["*/*", MSGPACK_TYPE])
@asynchronous
async def test_a_refusal_says_all_it_knows(accept: str) -> None:
    refusal = Conflict("cycle", "a -> b -> a", hint="cut it", field="$.ops[3]", op=3)
    status, body, headers = await answer(refusal, accept)
    error = body.error
    assert status == 409
    assert (error.code, error.message, error.hint, error.field, error.op) == (
        "cycle", "a -> b -> a", "cut it", "$.ops[3]", 3,
    )  # fmt: skip
    assert error.request_id == headers["Maze-Request-Id"]


@asynchronous
async def test_come_back_later_says_when() -> None:
    _, _, headers = await answer(Unavailable("too_many_pending", "full"))
    assert headers["Retry-After"] == "1"


@asynchronous
async def test_a_bug_is_a_500_that_tells_nothing_but_where_to_look(caplog: pytest.LogCaptureFixture) -> None:
    status, body, _ = await answer(KeyError("secret"))
    assert (status, body.error.code) == (500, "internal_error")
    assert "secret" not in body.error.message
    assert body.error.request_id in caplog.text
    assert "secret" in caplog.text


@asynchronous
async def test_refusals_of_aiohttp_get_our_body() -> None:
    status, body, _ = await answer(web.HTTPBadRequest(text="odd"))
    assert (status, body.error.code, body.error.message) == (400, "bad_request", "odd")
