"""From what went wrong to what a client is told: one table of classes, one body, one middleware.

Handlers raise; nothing else in this package builds an error response, save the original's routes, which answer the
same statuses with the original's body. A class decides the status; a few codes have a status of their own.

Rejected (core/errors.py)
+-- Malformed            the request cannot be read at all
+-- Unauthorized         no token, or none that is good
+-- Forbidden            a page of another origin asks, or the token does not allow it
+-- Misdirected          addressed to a name that is not ours
+-- NoSuchPath           the path is not in the table of routes
+-- MethodNotAllowed     the path is, the method is not
+-- NotSatisfiable       a range of which no byte exists
+-- WrongOffset          an upload that does not go on where it stopped
+-- TooManyFailures      no good token, again and again
+-- TooSlow              the body did not arrive in time
+-- TooLarge             more than a limit allows
+-- Unsupported          content type or encoding
+-- Unexpected           an `Expect` that nobody fulfils
`-- NotServed            a route of the original that Maze does not have
"""

from __future__ import annotations

import logging
import os
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from maze_head.core.errors import Conflict, Gone, Invalid, NotFound, Rejected, Unavailable
from maze_protocol.http import MSGPACK_TYPE, ErrorBody, ErrorDetail
from maze_protocol.limits import MAX_REQUEST_BODY

__all__ = [
    "STATUS", "STATUS_OF_CODE", "Forbidden", "Malformed", "MethodNotAllowed", "Misdirected", "NoSuchPath",
    "NotSatisfiable", "NotServed", "TooLarge", "TooManyFailures", "TooSlow", "Unauthorized", "Unexpected",
    "Unsupported", "WrongOffset", "catch_errors", "error_response", "from_http", "from_rejected", "internal_error",
    "seed_refusal", "shown", "status_of", "wants_msgpack",
]  # fmt: skip

logger = logging.getLogger(__name__)


class Malformed(Rejected):
    """The request cannot be read."""


class Unauthorized(Rejected):
    """Who asks has shown no good token."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(code, message, hint=hint)
        self.headers = {"WWW-Authenticate": 'Bearer realm="maze"'}


class TooManyFailures(Unauthorized):
    """And that too often."""


class Forbidden(Rejected):
    """Not from there, or not with that token."""


class Misdirected(Rejected):
    """Not under that name."""


class NoSuchPath(Rejected):
    """No route has this path."""


class MethodNotAllowed(Rejected):
    """The route has other methods; `allow` names them."""

    def __init__(self, code: str, message: str, allow: str) -> None:
        super().__init__(code, message, hint=f"allowed: {allow}")
        self.headers = {"Allow": allow}


class NotSatisfiable(Rejected):
    """No byte of that range exists; there are `size`."""

    def __init__(self, code: str, message: str, size: int) -> None:
        super().__init__(code, message)
        self.headers = {"Content-Range": f"bytes */{size}"}


class WrongOffset(Rejected):
    """The upload goes on at `offset`."""

    def __init__(self, code: str, message: str, offset: int) -> None:
        super().__init__(code, message, hint=f"go on at byte {offset}")
        self.headers = {"Upload-Offset": str(offset)}


class TooSlow(Rejected):
    """The body did not arrive in time."""


class TooLarge(Rejected):
    """More than a limit allows."""


class Unsupported(Rejected):
    """Content of a kind that is not read here."""


class Unexpected(Rejected):
    """A client waits for what will not come."""


class NotServed(Rejected):
    """The original had this; Maze does not."""


STATUS: Final[dict[type[Rejected], int]] = {
    Malformed: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    NoSuchPath: 404,
    MethodNotAllowed: 405,
    TooSlow: 408,
    Conflict: 409,
    WrongOffset: 409,
    Gone: 410,
    TooLarge: 413,
    Unsupported: 415,
    NotSatisfiable: 416,
    Unexpected: 417,
    Misdirected: 421,
    Invalid: 422,
    TooManyFailures: 429,
    NotServed: 501,
    Unavailable: 503,
}
STATUS_OF_CODE: Final[dict[str, int]] = {
    "bad_id": 400,
    "invalid_id": 400,
    "bad_name": 400,
    "too_many_pending": 429,
    "disk_full": 507,
    "too_large": 413,
    "unknown_output": 422,
}
"""Codes of the core whose status is not that of their class."""
RETRY_AFTER: Final = {429: "1", 503: "1", 507: "5"}
INTERNAL: Final = "internal_error"
GONE_AWAY: Final = 499
"""For the counters; nobody gets it."""


def status_of(error: Rejected) -> int:
    """Return the HTTP status of a refusal."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def wants_msgpack(request: web.BaseRequest) -> bool:
    """Tell whether the client asked for MessagePack."""
    return MSGPACK_TYPE in request.headers.get("Accept", "")


def error_response(request: web.BaseRequest, status: int, detail: ErrorDetail) -> web.Response:
    """Build the one error body, in the format that the client reads."""
    detail.request_id = detail.request_id or new_request_id()
    body = ErrorBody(detail)
    headers = {"Maze-Request-Id": detail.request_id}
    if status in RETRY_AFTER:
        headers["Retry-After"] = RETRY_AFTER[status]
    if wants_msgpack(request):
        return web.Response(
            status=status, body=msgspec.msgpack.encode(body), content_type=MSGPACK_TYPE, headers=headers
        )
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)


def new_request_id() -> str:
    """Make the id under which a failure is found in the log; only failures need one."""
    return f"req_{os.urandom(8).hex()}"


def from_rejected(request: web.BaseRequest, error: Rejected) -> web.Response:
    """Answer a refusal."""
    detail = ErrorDetail(error.code, error.message, error.hint, error.field, error.op)
    response = error_response(request, status_of(error), detail)
    if isinstance(error, MethodNotAllowed | NotSatisfiable | Unauthorized | WrongOffset):
        response.headers.update(error.headers)
    if isinstance(error, TooManyFailures):
        response.force_close()
    return response


def from_http(request: web.BaseRequest, error: web.HTTPException) -> Rejected | None:
    """Translate what aiohttp itself raises for a request; None for what is no refusal."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowed(
            "method_not_allowed", f"{request.method} is not allowed on {shown(request.path)}", allow
        )
    if isinstance(error, web.HTTPNotFound):
        return NoSuchPath("unknown_path", f"nothing is served at {shown(request.path)}", hint="see /openapi.json")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("too_large", f"the body is larger than {MAX_REQUEST_BODY} bytes")
    if isinstance(error, web.HTTPExpectationFailed):
        expected = shown(request.headers.get("Expect", ""))
        return Unexpected("expectation_failed", f"{expected} cannot be expected here", hint="Expect: 100-continue")
    if error.status >= 400:
        return Malformed("bad_request", error.text or error.reason)
    return None


def seed_refusal(error: Rejected) -> web.Response:
    """Answer a refusal on the original's wire: the same status, the original's body."""
    body = msgspec.json.encode({"detail": error.message})
    return web.Response(status=status_of(error), body=body, content_type="application/json")


def shown(text: str) -> str:
    """Return what a client sent as text that cannot hurt a log or a terminal, and is not endless."""
    return ascii(text[:200])


@web.middleware
async def catch_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure of a handler into its answer; nothing raised below gets past here."""
    try:
        return await handler(request)
    except Rejected as error:
        return from_rejected(request, error)
    except web.HTTPException as error:
        refusal = from_http(request, error)
        if refusal is None:
            raise
        return from_rejected(request, refusal)
    except ConnectionError:
        return _unheard(request)
    except web.RequestPayloadError as error:
        return from_rejected(request, Malformed("bad_http", f"the body cannot be read: {error}"))
    except Exception:  # noqa: BLE001 -- request boundary: a bug becomes a 500 that can be found in the log
        return internal_error(request)


def _unheard(request: web.Request) -> web.Response:
    """End the connection of a client that is gone or got half an answer; raised, it would be logged as our fault."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=GONE_AWAY)


def internal_error(request: web.BaseRequest, error: BaseException | None = None) -> web.Response:
    """Answer for a bug; `error`, or what is being handled, goes to the log and to nobody else."""
    request_id = new_request_id()
    where = f"{shown(request.method)} {shown(request.path)}"
    logger.error("request %s failed: %s", request_id, where, exc_info=error or True)
    message = "the head failed on this request; its log tells more"
    return error_response(request, 500, ErrorDetail(INTERNAL, message, request_id=request_id))
