"""A small client of the HTTP API v1 for the commands: standard library only, so that a command starts at once.

Rules. The only module of the commands that opens a socket. It knows paths, JSON and the error body; what answers mean
is for the commands. Every failure is a click exception with the exit code and the words that the user sees.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import click

from maze._daemon.access import Access, bearer, find_access, tls_context
from maze._daemon.connection import find_url
from maze._daemon.errors import SecretUnusable
from maze._daemon.options import EXIT_UNREACHABLE, option

__all__ = ["ApiError", "Head", "HeadUnreachable", "own_url_option", "url_option"]

CONNECT_SECONDS: Final = 10.0
PREFIX: Final = "/api/v1"

url_option = option("--url", metavar="URL", help="The head.  [default: the connection file's, http://localhost:8000]")
# Not from a variable: MAZE_URL is the group's to read.
own_url_option = option("--url", metavar="URL", allow_from_autoenv=False, help="The head.")
"""For subcommands, which may have it behind them, too."""


class HeadUnreachable(click.ClickException):
    """Nobody answers, or somebody who is no Maze head."""

    exit_code = EXIT_UNREACHABLE

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no Maze head answers at {url} ({reason}).\n"
            "Start one with `maze up`, name another with MAZE_URL, "
            "or run a script with a head of its own: `maze run SCRIPT`."
        )


class ApiError(click.ClickException):
    """The head refused a request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class Head:
    """The head at one URL, over one kept-alive connection."""

    def __init__(self, url: str | None = None, timeout: float = CONNECT_SECONDS) -> None:
        self.url = (url or find_url()).rstrip("/")
        access = _access(self.url)
        self._base, self._connection = _connection(access.url, timeout)
        self._shown = bearer(access.token)

    @classmethod
    def find(cls, url: str | None) -> Head:
        """Return the head that answers at `url`, or where commands look when it is None.

        Raises:
            HeadUnreachable: nobody answers there, or no Maze head.
        """
        head = cls(url)
        head.info()
        return head

    def info(self) -> dict[str, Any]:
        """Return what the head says about itself.

        Raises:
            HeadUnreachable: nobody answers, or no Maze head.
        """
        try:
            answer = self.get("/info")
        except ApiError as error:
            if error.status in (401, 403):
                raise
            raise HeadUnreachable(self.url, f"another server answers there: HTTP {error.status}") from error
        if not isinstance(answer, dict) or answer.get("name") != "maze":
            raise HeadUnreachable(self.url, "another server answers there")
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer to a GET below /api/v1."""
        return self._json("GET", path, query)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON answer to a POST below /api/v1."""
        return self._json("POST", path, {}, json.dumps(body).encode())

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON answer to a PUT below /api/v1."""
        return self._json("PUT", path, {}, json.dumps(body).encode())

    def delete(self, path: str, **query: Any) -> Any:
        """Return the JSON answer to a DELETE below /api/v1."""
        return self._json("DELETE", path, query)

    def raw(self, path: str, **query: Any) -> tuple[bytes, http.client.HTTPMessage]:
        """Return body and headers of a GET whose answer is not JSON."""
        _, body, headers = self._exchange("GET", path, query)
        return body, headers

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _json(self, method: str, path: str, query: dict[str, Any], data: bytes | None = None) -> Any:
        status, body, _ = self._exchange(method, path, query, data)
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise ApiError(status, "", f"{self.url} did not answer in JSON") from error

    def _exchange(
        self, method: str, path: str, query: dict[str, Any], data: bytes | None = None
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        given = {key: value for key, value in query.items() if value is not None}
        # Names of limits and projects may hold a slash: who puts one into a path quotes it.
        target = self._base + PREFIX + quote(path, safe="/%") + (f"?{urlencode(given)}" if given else "")
        try:
            headers = self._shown | {"Accept": "application/json"}
            if data is not None:
                headers["Content-Type"] = "application/json"
            self._connection.request(method, target, data, headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise HeadUnreachable(self.url, str(error) or type(error).__name__) from error
        if response.status >= 400:
            raise _refusal(response.status, body)
        return response.status, body, response.headers


def _access(url: str) -> Access:
    try:
        return find_access(url)
    except SecretUnusable as error:
        raise click.UsageError(f"no token for the head at {url}: {error}") from error
    except ValueError:
        return Access(url)  # no URL, as will be told


def _connection(url: str, timeout: float) -> tuple[str, http.client.HTTPConnection]:
    """Return the path that the URL starts with, and an unopened connection to its host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise click.UsageError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError(f"{url!r} is not a URL of the form http://HOST:PORT")
    path = parts.path.rstrip("/")
    if parts.scheme == "http":
        return path, http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    try:
        context = tls_context(url)
    except SecretUnusable as error:
        raise click.UsageError(str(error)) from error
    return path, http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=context)


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        error = json.loads(body)["error"]
        message = error["message"] + (f"\n{error['hint']}" if error.get("hint") else "")
        return ApiError(status, error["code"], message)
    except (ValueError, KeyError, TypeError):
        return ApiError(status, "", f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}")
