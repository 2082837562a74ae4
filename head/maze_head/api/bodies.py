"""Request bodies: read within limits, parsed strictly, checked against their struct. Responses: encoded.

JSON goes through the standard parser, not msgspec's: it tells line and column, and its hooks catch what msgspec
lets pass or names badly (duplicate keys, NaN, integers past 64 bit). Those hooks also let other threads run in
the middle of a large body. Bulk comes as MessagePack, which msgspec decodes. Every refusal here is Malformed
(400: not readable), Invalid (422: readable, and wrong), TooLarge, TooSlow or Unsupported.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from maze_head.api.errors import Malformed, TooLarge, TooSlow, Unsupported, wants_msgpack
from maze_head.core.errors import Invalid
from maze_protocol.http import MSGPACK_TYPE
from maze_protocol.limits import KIB, MAX_REQUEST_BODY

__all__ = ["BODY_TIMEOUT", "THREAD_FROM", "json_response", "load", "parse", "parse_json", "read_body", "respond"]

BODY_TIMEOUT: Final = 30.0
THREAD_FROM: Final = 256 * KIB
JSON_TYPE: Final = "application/json"
INT64: Final = range(-(2**63), 2**64)
_PATH = re.compile(r" - at `(.+)`\Z", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

Body = TypeVar("Body")


async def read_body(request: web.Request, kind: type[Body]) -> Body:
    """Read and parse the body of a request.

    Raises:
        Rejected: any of the refusals of this module.
    """
    if request.content_type not in (JSON_TYPE, MSGPACK_TYPE):
        raise Unsupported(
            "unsupported_media_type", f"Content-Type must be {JSON_TYPE} or {MSGPACK_TYPE}, not {request.content_type}"
        )
    return await load(request, kind, msgpack=request.content_type == MSGPACK_TYPE)


async def load(request: web.Request, kind: type[Body], *, msgpack: bool) -> Body:
    """Read and parse a body whose format is known; large ones are parsed in a thread."""
    data = await _read(request)
    if len(data) >= THREAD_FROM:
        return await asyncio.to_thread(parse, data, kind, msgpack=msgpack)
    return parse(data, kind, msgpack=msgpack)


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_REQUEST_BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError as error:
        raise TooSlow("body_timeout", f"the body did not arrive within {BODY_TIMEOUT:.0f} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error


def _too_large() -> TooLarge:
    return TooLarge("too_large", f"the body is larger than {MAX_REQUEST_BODY} bytes", hint="send it in parts")


def parse(data: bytes, kind: type[Body], *, msgpack: bool) -> Body:
    """Return the body as a `kind`.

    Raises:
        Malformed: neither JSON nor MessagePack, or too deep.
        Invalid: a field is missing, unknown or of the wrong type; `field` is its path.
    """
    try:
        if msgpack:
            return msgspec.msgpack.decode(data, type=kind)
        return msgspec.convert(parse_json(data), kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except msgspec.DecodeError as error:
        raise Malformed("bad_msgpack", f"the body is not MessagePack: {error}") from error
    except UnicodeDecodeError as error:  # of MessagePack: texts of JSON were decoded before
        raise Malformed("bad_encoding", f"a text of the body is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise _too_deep() from error


def _invalid(text: str) -> Invalid:
    """Split msgspec's text into what is wrong and where."""
    found = _PATH.search(text)
    what = text[: found.start()] if found else text
    path = found[1] if found else "$"
    return Invalid("invalid_body", f"{path}: {what}", field=path)


def _too_deep() -> Malformed:
    return Malformed("too_deep", "the body is nested too deeply")


def parse_json(data: bytes) -> Any:
    """Parse JSON of the strict kind: UTF-8, unique keys, finite numbers, integers of 64 bits, whole characters."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("bad_encoding", f"the body is not UTF-8: byte {error.start}") from error
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite, parse_int=_int64
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed("bad_json", f"the body is not JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _SURROGATE.search(data) is not None:
        _check_characters(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Malformed("duplicate_key", f"an object has the key {twice[:80]!a} twice")
    return made


def _refuse(literal: str) -> float:
    raise Malformed("not_finite_number", f"{literal} is not JSON")


def _finite(literal: str) -> float:
    number = float(literal)
    if number in (float("inf"), float("-inf")):
        raise Malformed("not_finite_number", f"{literal[:40]} is out of range for a float")
    return number


def _int64(literal: str) -> int:
    if len(literal) > 20 or (number := int(literal)) not in INT64:
        raise Malformed("number_too_long", f"integer of {len(literal)} digits does not fit 64 bits")
    return number


def _check_characters(value: object) -> None:
    """Refuse lone surrogates: a text with one cannot be encoded again, by us or by anybody."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise Malformed("bad_unicode", "a text holds half of a surrogate pair") from error


def respond(request: web.Request, body: object, status: int = 200) -> web.Response:
    """Encode a response in the format that the client reads."""
    if wants_msgpack(request):
        return web.Response(status=status, body=msgspec.msgpack.encode(body), content_type=MSGPACK_TYPE)
    return json_response(body, status)


def json_response(body: object, status: int = 200) -> web.Response:
    """Encode a response as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type=JSON_TYPE)
