"""One HTTP connection, where aiohttp would answer by itself: bytes that are no HTTP, and refusals before any handler.

Such answers get the one error body, too, and a line in the log at level debug only: whoever sends rubbish shall
neither read our parser's thoughts nor fill our disk with tracebacks.

A request's line and headers must be there HEADER_SECONDS after their first byte, the first one's after the connection
was opened; crowd.py says how many connections there may be, and `cut_revoked` ends those of tokens that are gone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from functools import partial
from typing import Any, Final

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from maze_head.api.call import TRAFFIC, Traffic
from maze_head.api.crowd import Crowd
from maze_head.api.errors import Malformed, from_http, from_rejected, internal_error, shown
from maze_head.api.expect import with_expectation
from maze_head.core.errors import Rejected
from maze_head.tokens import Token, TokenFinding

__all__ = ["CROWD", "Connection", "Site", "cut_revoked"]

logger = logging.getLogger(__name__)

IDLE_SECONDS: Final = 75.0
OPTIONS: Final[dict[str, Any]] = {"access_log": None, "auto_decompress": False, "keepalive_timeout": IDLE_SECONDS}
"""Compressed bodies are refused, so they need not be inflated first."""
HEADER_SECONDS: Final = 10.0
_ZMTP: Final = r"\x00\x01\x7f"
"""The end of the signature in a ZMTP greeting, as the parser quotes it."""


class Connection(web.RequestHandler):
    """The protocol of one connection."""

    __slots__ = ("_crowd", "_deadline", "_traffic")

    def __init__(self, server: web.Server, traffic: Traffic, crowd: Crowd[Connection], **options: Any) -> None:
        super().__init__(server, **options)
        self._traffic = traffic
        self._crowd = crowd
        self._deadline: asyncio.TimerHandle | None = None

    def admit(self, token: Token | None) -> bool:
        """Note that a request was admitted, by this token; False if it has too many connections."""
        return self._crowd.admit(self, token)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        super().connection_made(transport)
        self._expect_headers()
        peer = transport.get_extra_info("peername") or ("",)
        for other in self._crowd.arrive(self, str(peer[0]), self._loop.time()):
            self._traffic.connections_dropped_total += 1
            other.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._headers_came()
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; while they are the beginning of a request they have to be quick."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._headers_came()
            self._tell_of_a_broken_body()
        elif self._deadline is None and self._current_request is None and not self._messages:
            self._expect_headers()

    def _tell_of_a_broken_body(self) -> None:
        """Wake who waits for more of a body: what came instead is neither that nor another request."""
        request = self._current_request
        broken = bool(self._messages) and not isinstance(self._messages[-1][0], RawRequestMessage)
        if broken and request is not None and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("its framing is broken"))

    def _expect_headers(self) -> None:
        self._deadline = self._loop.call_later(HEADER_SECONDS, self._too_slow)

    def _headers_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._traffic.connections_slow_total += 1
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer bytes that are no request, or a failure outside of all middlewares; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer has been sent, there is no place for another one")
        self._traffic.requests_total += 1
        if isinstance(exc, HttpProcessingError):
            self._traffic.refused_total += 1
            logger.debug("bytes that are no request: %s", shown(message or ""))
            response = from_rejected(request, unreadable(message or ""))
        else:
            self._traffic.failed_total += 1
            response = internal_error(request, exc)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that aiohttp made before any middleware gets our body."""
        if isinstance(resp, web.HTTPException):
            refusal = from_http(request, resp)
            resp = resp if refusal is None else from_rejected(request, refusal)
        return await super().finish_response(request, resp, start_time)


def unreadable(said: str) -> Rejected:
    """Return the refusal for bytes that aiohttp's parser did not understand, by what it said."""
    if said.startswith("Received HTTPS"):
        return Malformed("bad_http", "this is TLS, and this port speaks plain HTTP", hint="use http:// and ws://")
    if _ZMTP in said:
        return Malformed(
            "bad_http", "this is ZeroMQ, and this is the HTTP port", hint="nodes connect to the port of --node-port"
        )
    # Behind the first colon it quotes what it got; a URL that it cannot read is all that it says.
    what = said.partition("\n")[0].partition(":")[0].rstrip(". ")
    what = what if " " in what and what.isprintable() else "its URL cannot be read"
    return Malformed("bad_http", f"this is no HTTP request: {what[:100]}")


CROWD: Final[web.AppKey[Crowd[Connection]]] = web.AppKey("CROWD", Crowd)
"""Where an application keeps its connections."""


def cut_revoked(app: web.Application, tokens: TokenFinding) -> None:
    """End the connections of tokens that are good no more, whatever is being done on them."""
    for connection, token in app[CROWD].of_tokens():
        if not tokens.holds(token):
            connection.force_close()


class Site(web.BaseSite):
    """Serves an application on a bound socket, each connection by a Connection."""

    __slots__ = ("_socket", "_tls")

    def __init__(self, runner: web.AppRunner, bound: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(runner)
        self._socket = bound
        self._tls = tls

    @property
    def name(self) -> str:
        """Return where it listens, for aiohttp's own lists."""
        return str(self._socket.getsockname())

    async def start(self) -> None:
        """Begin to accept connections."""
        await super().start()
        loop = asyncio.get_running_loop()
        runner = self._runner
        assert isinstance(runner, web.AppRunner), "given to __init__"
        assert runner.server is not None, "set up before it is given to a site"
        runner.server.request_handler = partial(with_expectation, runner.server.request_handler)
        shared = runner.app[TRAFFIC], runner.app[CROWD]
        factory = partial(Connection, runner.server, *shared, loop=loop, **OPTIONS)
        shaking = None if self._tls is None else HEADER_SECONDS
        self._server = await loop.create_server(
            factory, sock=self._socket, backlog=self._backlog, ssl=self._tls, ssl_handshake_timeout=shaking
        )
