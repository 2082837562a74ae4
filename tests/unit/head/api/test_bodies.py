"""Bodies: rows 3 to 14 of the catalogue of bad input, on the parser itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from maze_head.api import bodies
from maze_head.api.bodies import parse, parse_json
from maze_head.api.errors import Malformed, status_of
from maze_head.core.errors import Invalid, Rejected
from maze_protocol.http import EditRequest, RunRequest, TaskBody
from support.api_double import asynchronous, serving
from support.tokens import LINE


def refused(data: bytes, kind: type[Any] = RunRequest, *, msgpack: bool = False) -> Rejected:
    with pytest.raises(Rejected) as caught:
        parse(data, kind, msgpack=msgpack)
    return caught.value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b'{"a": 1} x', "bad_json"),
        (b"[1,]", "bad_json"),
        (b'{"workflow_id": "\xff"}', "bad_encoding"),
        (b'"\xed\xa0\x80"', "bad_encoding"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 50_000, "too_deep"),
        (b'{"a": NaN}', "not_finite_number"),
        (b'{"a": -Infinity}', "not_finite_number"),
        (b'{"a": 1e999}', "not_finite_number"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number_too_long"),
        (b'{"a": 18446744073709551616}', "number_too_long"),
        (b'{"a": "\\ud800"}', "bad_unicode"),
        (b'{"\\uDFFF": 1}', "bad_unicode"),
        (b'{"a": 1, "b": 2, "a": 3}', "duplicate_key"),
        (b'[{"a": {"x": 1, "x": 1}}]', "duplicate_key"),
    ],
)
def test_unreadable_json_is_400_with_its_own_code(data: bytes, code: str) -> None:
    error = refused(data)
    assert (error.code, status_of(error)) == (code, 400)


def test_bad_json_tells_line_and_column() -> None:
    assert "line 2, column 7" in refused(b'{"a": 1,\n "b": x}').message


def test_good_json_of_every_kind_passes() -> None:
    value = {"a": [1, -1, 2**63, -(2**63), 1.5, True, None, "é\U0001f600"], "": {}}
    assert parse_json(json.dumps(value).encode()) == value


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    ("body", "field", "what"),
    [
        ({}, "$", "workflow_id"),
        ({"workflow_id": 1}, "$.workflow_id", "int"),
        ({"workflow_id": "w", "priority": True}, "$.priority", "bool"),
        ({"workflow_id": "w", "priority": 1.5}, "$.priority", "float"),
        ({"workflow_id": "w", "fail_fast": 1}, "$.fail_fast", "int"),
        ({"workflow_id": "w", "typo": 1}, "$", "typo"),
        ([], "$", "array"),
    ],
)
@pytest.mark.parametrize("msgpack", [False, True])
def test_a_wrong_field_is_422_with_its_path(body: Any, field: str, what: str, msgpack: bool) -> None:
    data = msgspec.msgpack.encode(body) if msgpack else msgspec.json.encode(body)
    error = refused(data, msgpack=msgpack)
    assert isinstance(error, Invalid)
    assert (error.field, error.code) == (field, "invalid_body")
    assert what in error.message


def test_a_path_leads_into_operations() -> None:
    body = {"ops": [{"op": "del_task", "task_id": "t"}, {"op": "add_task", "task": {"task_id": "t", "name": 3}}]}
    assert refused(msgspec.json.encode(body), EditRequest).field == "$.ops[1].task.name"


def test_resources_take_no_bool() -> None:
    body = {"task_id": "t", "name": "n", "resources": {"cpu": True}}
    assert "bool" in refused(msgspec.json.encode(body), TaskBody).message


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81", b"\x80\x80", b"\xdd\xff\xff\xff\xff"])
def test_garbage_instead_of_msgpack_is_400(data: bytes) -> None:
    error = refused(data, msgpack=True)
    assert status_of(error) in (400, 422)
    assert error.code in ("bad_msgpack", "invalid_body")


@pytest.mark.parametrize("data", [b"\x81\xa1\xff\x01", b"\x81\xa2\xc3\x28\x01"])
def test_texts_of_msgpack_that_are_no_utf8_are_400(data: bytes) -> None:
    error = refused(data, msgpack=True)
    assert (status_of(error), error.code) == (400, "bad_encoding")


def test_deep_msgpack_is_400() -> None:
    data = b"\x81\xa1a" * 100_000 + b"\x80"
    with pytest.raises(Malformed) as caught:
        parse(data, dict[str, Any], msgpack=True)
    assert caught.value.code == "too_deep"


def test_bytes_are_base64_in_json() -> None:
    body = {"codes": [{"hash": "", "kind": "pickle", "python": [3, 11], "body": "%%%"}]}
    error = refused(msgspec.json.encode(body), EditRequest)
    assert error.field == "$.codes[0].body"
    assert "base64" in error.message


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving() as head:
            reader, writer = await asyncio.open_connection("127.0.0.1", head.port)
            fields = f"Host: localhost\r\n{LINE}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
            writer.write(f"POST /api/v1/workflows HTTP/1.1\r\n{fields}{{".encode())
            assert (await asyncio.wait_for(reader.readline(), 20)).split()[1] == b"408"
            writer.close()
            await writer.wait_closed()

    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.05)
    check()
