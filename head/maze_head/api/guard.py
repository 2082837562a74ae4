"""Who may talk to the head from a browser: Host and Origin, checked on every request and upgrade.

A web page can make its visitor's browser send requests to a loopback port. The Origin header gives it away, and
where DNS rebinding hides the origin, the Host header does: it names the attacker's domain. Lists of what is
allowed, never of what is forbidden. Programs send no Origin, and an address in Host cannot be rebound. A page that
another program of this machine serves is of another origin, too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from maze_head.api.errors import Forbidden, Misdirected

__all__ = ["guard", "host_allowed", "origin_allowed"]


def _name(netloc: str) -> str:
    """Return the host of `host:port`, lower case, without brackets; empty if it cannot be read."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def host_allowed(host: str, names: Collection[str]) -> bool:
    """Tell whether a Host header names this head: localhost, any address, or one of `names`."""
    name = _name(host)
    return name == "localhost" or name in names or _address(name) is not None


def origin_allowed(origin: str, host: str, origins: Collection[str]) -> bool:
    """Tell whether a page of `origin` may call: one that came from this very address, or from one of `origins`."""
    scheme, mark, netloc = origin.lower().partition("://")
    if not mark or scheme not in ("http", "https"):
        return False
    return netloc == host.lower() or f"{scheme}://{netloc}" in origins


def guard(names: Collection[str], origins: Collection[str] = ()) -> Middleware:
    """Make the middleware for a head that is also known under `names`, and may be called by pages of `origins`."""
    allowed = frozenset(name.lower() for name in names)
    pages = frozenset(origin.lower().rstrip("/") for origin in origins)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "localhost")
        if not host_allowed(host, allowed):
            raise Misdirected(
                "host_not_allowed", f"this head is not called {host[:100]!a}", hint="maze-head --allow-host NAME"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not origin_allowed(origin, host, pages):
            raise Forbidden(
                "origin_not_allowed",
                f"pages of {origin[:100]!a} may not call this head",
                hint="maze-head --allow-origin URL",
            )
        return await handler(request)

    return check
