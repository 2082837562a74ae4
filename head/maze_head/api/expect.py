"""`Expect: 100-continue`: a client is told to go on only after all refusals that need no body.

aiohttp would say so before any middleware, to strangers, too, and fails on other expectations that are no UTF-8.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from maze_head.api.errors import Unsupported

__all__ = ["go_on", "go_on_later", "with_expectation"]

GO_ON: Final = "100-continue"
PLAIN: Final = "identity"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def with_expectation(handler: Handler, request: web.BaseRequest) -> web.StreamResponse:
    """Handle a request whose expectation can be fulfilled.

    Raises:
        HTTPExpectationFailed: any other than to be told to go on.
    """
    if request.headers.get("Expect", GO_ON).lower() != GO_ON:
        raise web.HTTPExpectationFailed
    return await handler(request)  # type: ignore[arg-type]  # aiohttp's own type of an application's handler


async def go_on_later(request: web.Request) -> None:
    """Take the place of aiohttp's own answer on a route: say nothing yet."""


@web.middleware
async def go_on(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell a client that waits for it to send its body, unless it is compressed; the innermost middleware.

    Raises:
        Unsupported: nobody here inflates anything, so no bomb goes off, and no route can forget it.
    """
    if request.headers.get("Content-Encoding", PLAIN).lower() != PLAIN:
        raise Unsupported("encoding_not_supported", "compressed bodies are not read here", hint="send it as it is")
    if request.headers.get("Expect") and request.version >= (1, 1):
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # of the answer itself nothing was sent
    return await handler(request)
