"""One request to a head over HTTP, for the daemons' own commands: standard library only.

Rules. What is sent and answered is JSON. Redirects are not followed, for they would carry the token along. `MAZE_CA`
names a file with the certificates that https is checked against, as it does for the SDK.
"""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

from maze._daemon.access import bearer, tls_context
from maze._daemon.errors import HeadRefused, HeadUnreachable

__all__ = ["ask"]

PREFIX: Final = "/api/v1"
SECONDS: Final = 15.0
_MAX_BYTES: Final = 1 << 24


def ask(url: str, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer of the head at `url` to one request below /api/v1.

    Raises:
        HeadUnreachable: nobody answers, or no Maze head.
        HeadRefused: the head says no.
    """
    headers = bearer(token) | ({} if body is None else {"Content-Type": "application/json"})
    try:
        with closing(_connection(url)) as connection:
            connection.request(method, PREFIX + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            status, text = response.status, response.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HeadUnreachable(url, str(error) or type(error).__name__) from error
    return _read(url, status, text)


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=tls_context(url))
    return http.client.HTTPConnection(host, port, timeout=SECONDS)


def _read(url: str, status: int, text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
        if status < 300 and isinstance(answer, dict):
            return answer
        told = answer["error"]
        raise HeadRefused(status, str(told["code"]), str(told["message"]), str(told.get("hint", "")))
    except (ValueError, TypeError, KeyError) as error:
        raise HeadUnreachable(url, f"another server answers there: HTTP {status}") from error
