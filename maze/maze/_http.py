"""HTTP to the head: one connection pool per head and process, used on the loop thread only.

Every request of the SDK is idempotent (ids are the client's), so a request whose answer was lost is sent again. What
answers is probed once, so that anything but a Maze head is told as such. At exit unsent edits are sent, briefly, and
sockets are closed. A forked child forgets the connections without closing them: they are its parent's.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import logging
import os
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from maze._address import STARTING
from maze._daemon.access import Access, access_by, bearer, find_access, tls_context
from maze._daemon.errors import DaemonError
from maze._event_socket import EventSocket
from maze._loop import call, stop_loop
from maze._version import __version__
from maze.errors import (
    AccessError,
    AddressError,
    HeadUnavailableError,
    NotAMazeHeadError,
    ProtocolMismatchError,
    RequestError,
)
from maze_protocol.cluster import InfoBody
from maze_protocol.http import MSGPACK_TYPE, ErrorBody

if TYPE_CHECKING:
    from maze._websocket import WebSocket

__all__ = ["Connection", "close_connection", "connection", "own_head", "path"]

Body = TypeVar("Body")
logger = logging.getLogger("maze")

PROBE_SECONDS: Final = 5.0
START_SECONDS: Final = 60.0
"""How long a head may take that was started together with this process."""
RETRY_SECONDS: Final = 5.0
BUSY_SECONDS: Final = 60.0
"""How long a head may say 'not now' (429, 503) before that becomes an error."""
EXIT_SECONDS: Final = 2.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=60.0)
_AGENT: Final = {"User-Agent": f"maze/{__version__}"}
_NO_ACCESS: Final = {"unauthorized", "insufficient_scope", "too_many_failures"}
_ACCESS_HINT: Final = (
    "set MAZE_TOKEN or MAZE_TOKEN_FILE, or name a head of this user by MAZE_CONNECTION_FILE or MAZE_STATE_DIR"
)
_HINT: Final = (
    "start one with `maze up`, run a script with a head of its own with `maze run SCRIPT`, or use MaClient.local()"
)


def path(*parts: str) -> str:
    """Return the path of an API resource, its parts quoted."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


class Connection:
    """The connection pool to one head. All methods run on the loop thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.info: InfoBody | None = None
        self._access: Access | None = None
        self._session: aiohttp.ClientSession | None = None
        self.events = EventSocket(self)
        """The socket on which all streams of events of this process come."""

    async def request(
        self, method: str, where: str, reply: type[Body], body: msgspec.Struct | None = None, **query: str
    ) -> Body:
        """Send a request and return its answer.

        Raises:
            HeadUnavailableError: nobody answers, also not after a few seconds if somebody did before.
            NotAMazeHeadError: something else answers.
            RequestError: the head refuses.
        """
        await self.probe()
        data = None if body is None else msgspec.msgpack.encode(body)
        give_up = _Patience()
        while True:
            try:
                status, headers, answer = await self._exchange(method, where, data, query)
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                await give_up.wait(RETRY_SECONDS, self.unreachable(error))
                continue
            if status < 300:
                return self._decode(answer, reply, status)
            refusal = self.refusal(status, answer)
            if status == 401 and self.renew_access():
                continue
            if status not in {429, 503} or isinstance(refusal, AccessError):
                raise refusal
            await give_up.wait(BUSY_SECONDS, refusal, _seconds(headers.get("Retry-After")))

    def exchange(self, method: str, where: str, **options: Any) -> Any:
        """Open a request whose body or answer does not fit memory; errors are aiohttp's, as for `websocket`."""
        options["headers"] = {**options.get("headers", {}), **bearer(self.access.token)}
        return self._pool().request(method, self.access.url + where, allow_redirects=False, **options)

    async def websocket(self, where: str, **query: str) -> WebSocket:
        """Open a stream of events; errors are aiohttp's, since the reader decides what they mean."""
        from maze._websocket import WebSocket, handshake  # commands that only ask start without the library

        headers = {**bearer(self.access.token), **handshake()}
        return WebSocket(
            await self._pool().get(
                self.access.url + where, params=query, headers=headers, allow_redirects=False, read_until_eof=False
            )
        )

    @property
    def access(self) -> Access:
        """Return where the head is asked, and the token that is shown to it.

        Raises:
            AccessError: the file that should hold the token cannot be used.
        """
        if self._access is None:
            self._access = _find_access(self.url)
        return self._access

    def renew_access(self) -> bool:
        """Look once more for the token of a head that refused ours; tell whether there is another one now."""
        before, self._access = self._access, None
        return self.access != before

    async def probe(self) -> InfoBody:
        """Make sure, once, that a Maze head of our API version answers.

        Raises:
            HeadUnavailableError, NotAMazeHeadError, ProtocolMismatchError: it doesn't.
        """
        if self.info is None:
            try:
                async with asyncio.timeout(self._probe_seconds):
                    status, _, answer = await self._exchange("GET", path("info"), None, {})
                    if status == 401 and self.renew_access():
                        status, _, answer = await self._exchange("GET", path("info"), None, {})
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError) as error:
                raise self._not_maze("it closed the connection without an answer") from error
            except aiohttp.ClientResponseError as error:
                raise self._not_maze("what it says is not HTTP") from error
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                raise self.unreachable(error) from error
            self.info = self._check(status, answer)
        return self.info

    async def minor(self, *, anew: bool = False) -> int:
        """Return the second number of the head's API version: how much of what came to v1 later it takes.

        Args:
            anew: ask again, for another head may have taken its place.
        """
        if anew:
            self.info = None
        text = (await self.probe()).api.partition(".")[2]
        return int(text) if text.isdecimal() else 0

    async def close(self) -> None:
        """Close all sockets; the next request opens new ones."""
        await self.events.close()
        if self._session is not None:
            await self._session.close()
        self._session = None

    def unreachable(self, error: BaseException) -> HeadUnavailableError:
        """Say that nobody answers, and what to do about it."""
        why = f"no answer within {self._probe_seconds:.0f} s" if isinstance(error, TimeoutError) else _why(error)
        before = "" if self.info is None else "; it answered before"
        message = f"no Maze head answers at {self.url} ({why}{before})"
        return HeadUnavailableError(message, code="head_unavailable", hint=_HINT)

    def refusal(self, status: int, answer: bytes) -> RequestError | NotAMazeHeadError:
        """Return what an answer above 299 means."""
        try:
            detail = msgspec.msgpack.decode(answer, type=ErrorBody).error
        except msgspec.DecodeError:
            return self._not_maze(f"HTTP {status} without an error body of Maze")
        if detail.code in _NO_ACCESS:
            return self.no_access(detail.message, status, detail.code, detail.hint)
        return RequestError(
            detail.message, status=status, code=detail.code, hint=detail.hint, field=detail.field, op=detail.op
        )

    def no_access(self, why: str, status: int, code: str, hint: str = "") -> AccessError:
        """Say that the head does not let us, and which token it was shown."""
        shown = f"it was shown the token of {self.access.source}" if self.access.token else "it was shown no token"
        message = f"the head at {self.url} refuses: {why} ({shown})"
        return AccessError(message, status=status, code=code, hint=hint or _ACCESS_HINT)

    @property
    def _probe_seconds(self) -> float:
        return START_SECONDS if os.environ.get(STARTING) == self.url else PROBE_SECONDS

    def _check(self, status: int, answer: bytes) -> InfoBody:
        if status in {401, 403, 429}:
            raise self.refusal(status, answer)
        info = self._decode(answer, InfoBody, status)
        if status != 200 or info.name != "maze":
            raise self._not_maze(f"HTTP {status}")
        if info.api.partition(".")[0] not in {"v1", "1"}:
            raise ProtocolMismatchError(
                f"the head at {self.url} (Maze {info.version}) speaks API {info.api}, this client v1",
                code="api_version",
                hint=f"install the same version of Maze on both sides; this one is {__version__}",
            )
        return info

    def _decode(self, answer: bytes, reply: type[Body], status: int) -> Body:
        try:
            return msgspec.msgpack.decode(answer, type=reply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._not_maze(f"HTTP {status}, and not what a head would say") from error

    def _not_maze(self, why: str) -> NotAMazeHeadError:
        return NotAMazeHeadError(
            f"something answers at {self.url}, but it is not a Maze head: {why}",
            code="not_a_maze_head",
            hint="check host and port; `maze doctor` looks for a head on this machine",
        )

    async def _exchange(
        self, method: str, where: str, data: bytes | None, query: dict[str, str]
    ) -> tuple[int, Any, bytes]:
        headers = {"Accept": MSGPACK_TYPE, **bearer(self.access.token)}
        if data is not None:
            headers["Content-Type"] = MSGPACK_TYPE
        # A stream, because aiohttp warns of large bodies that come as bytes.
        stream = None if data is None else io.BytesIO(data)
        async with self._pool().request(
            method, self.access.url + where, data=stream, params=query, headers=headers, allow_redirects=False
        ) as response:
            return response.status, response.headers, await response.read()

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = _tls_context(self.access.url) or True
            connector = aiohttp.TCPConnector(limit=0, resolver=_Resolver(), keepalive_timeout=30.0, ssl=tls)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=_TIMEOUT,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_AGENT,
            )
        return self._session


def _find_access(url: str) -> Access:
    own = _own.get(url)
    try:
        return find_access(url) if own is None else access_by(url, own)
    except DaemonError as error:
        raise AccessError(f"no token for the head at {url}: {error}", code="unusable_token") from error


def _tls_context(url: str) -> ssl.SSLContext | None:
    try:
        return tls_context(url)
    except DaemonError as error:
        raise AddressError(f"{url} cannot be asked: {error}", code="unusable_certificates") from error


class _Resolver(ThreadedResolver):
    """Looks names up in a thread, or right here once the interpreter exits and starts no threads any more."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            return await super().resolve(host, port, family)
        except RuntimeError:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=kind,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST,
                )
                for kind, _, proto, _, address in found
            ]


class _Patience:
    """Waits longer and longer, until it doesn't."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.pause = 0.0

    async def wait(self, limit: float, error: Exception, asked: float = 0.0) -> None:
        if _leaving or time.monotonic() - self.began >= limit:
            raise error
        # The first repetition comes at once: a kept-alive connection that the head had just closed.
        await asyncio.sleep(max(self.pause, min(asked, 5.0)))
        self.pause = min(1.0, self.pause * 2 or 0.1)


def _why(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        return f"its certificate is not trusted here: {error}; MAZE_CA names a file of those that are"
    os_error = getattr(error, "os_error", None) or error
    if isinstance(os_error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(os_error, socket.gaierror):
        return "the host name is unknown"
    return getattr(os_error, "strerror", None) or str(error) or type(error).__name__


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdigit() else 0.0


# -- one per head and process ------------------------------------------------------------------------------------

_lock = threading.Lock()
_connections: dict[str, Connection] = {}
_own: dict[str, Path] = {}
"""By URL: the token files of heads that this process started, whatever the environment says of others."""
_leaving = False
"""The process is at its end: nothing is tried twice any more."""
_inherited: list[Connection] = []
"""Connections of parent processes: kept, so that no destructor touches the parent's sockets."""


def connection(url: str) -> Connection:
    """Return the process's connection to a head; for use on the loop thread."""
    with _lock:
        known = _connections.get(url)
        if known is None:
            known = _connections[url] = Connection(url)
        return known


def own_head(url: str, token_file: Path | None) -> None:
    """Tell where the token of a head is that this process started; with None, that the head is gone."""
    _own.pop(url, None)
    if token_file is not None:
        _own[url] = token_file


def close_connection(url: str) -> None:
    """Close the sockets to a head; a later request opens new ones."""
    with _lock:
        known = _connections.pop(url, None)
    if known is not None:
        call(known.close())


def _at_exit() -> None:
    """Send what is unsent and close what is open; nobody is left to tell an error to but the log."""
    from maze._remote import flush, pickle_functions
    from maze._shared import unsent

    global _leaving
    _leaving = True
    deadline = time.monotonic() + EXIT_SECONDS
    for state in unsent():
        try:
            pickle_functions(state)
            call(flush(state), max(0.0, deadline - time.monotonic()))
        except Exception as error:  # noqa: BLE001 -- process exit: the edits are lost either way, so say so and go on
            why = str(error) or type(error).__name__
            logger.warning("edits of workflow %s were not sent: %s", state.workflow_id, why)
    with _lock:
        opened = list(_connections.values())
        _connections.clear()
    for known in opened:
        with contextlib.suppress(TimeoutError):
            call(known.close(), EXIT_SECONDS)
    stop_loop(EXIT_SECONDS)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_connections.values())
    _connections.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
