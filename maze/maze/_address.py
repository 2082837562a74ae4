"""Which head a client talks to. No I/O but reading a small file.

An explicit URL is used as given. Only the omitted argument gives way to `MAZE_URL` and then to the connection file
of a head on this machine; a `str` subclass tells the two apart, while the signature shows the documented default.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from maze.errors import AddressError

__all__ = ["DEFAULT_URL", "STARTING", "resolve"]

STARTING: Final = "MAZE_STARTING"
"""Variable with the URL of a head that started together with this process: its first answer may take a while."""


class _OmittedUrl(str):
    """The default of `server_url`; equal to its text."""

    __slots__ = ()


DEFAULT_URL: Final[str] = _OmittedUrl("http://localhost:8000")


def resolve(server_url: str) -> str:
    """Return the URL to use, without a trailing slash.

    Raises:
        AddressError: not an HTTP URL; the hint shows what was probably meant.
    """
    if not isinstance(server_url, str):
        raise AddressError(f"server_url must be a string, not {type(server_url).__name__}", code="bad_address")
    if isinstance(server_url, _OmittedUrl):
        from maze._daemon.connection import find_url

        server_url = find_url()
    text = server_url.strip().rstrip("/")
    if not _is_http(text):
        bare = text.partition("://")[2] or text
        raise AddressError(
            f"{server_url!r} is not the URL of a Maze head", code="bad_address", hint=f"did you mean 'http://{bare}'?"
        )
    return text


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an unclosed bracket
        return False
