"""What a handler gets: the request, its parsed body, and typed access to ids and query parameters.

Handlers never look into the raw request for these; a malformed id or number is refused in one way everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from maze_head.api.encoder import EventEncoder
from maze_head.api.errors import Malformed
from maze_head.api.idempotency import Keyed, Repeats
from maze_head.api.services import Services
from maze_head.api.views import RunViews
from maze_head.core.events import Command
from maze_protocol.ids import parse_id

__all__ = ["TRAFFIC", "Call", "Shared", "Traffic", "make_id"]


@dataclass
class Traffic:
    """Counters of the API itself, for /metrics; plain numbers, one event loop."""

    requests_total: int = 0
    refused_total: int = 0
    failed_total: int = 0
    streams_open: int = 0
    frames_sent_total: int = 0
    streams_lagged_total: int = 0
    unauthorized_total: int = 0
    """Requests without a good token."""
    connections_slow_total: int = 0
    """Connections that were ended because a request's headers did not come."""
    connections_dropped_total: int = 0
    """Connections that were ended because there were too many."""


TRAFFIC: Final = web.AppKey("TRAFFIC", Traffic)
"""Where an application keeps its counters, for what happens beside its handlers."""


@dataclass(frozen=True)
class Shared:
    """What all calls share."""

    services: Services
    encoder: EventEncoder
    views: RunViews
    traffic: Traffic
    unsaved: dict[str, str] = field(default_factory=dict)
    """Names of tasks that the original's client has added and not defined yet; it tells them only once."""
    repeats: Repeats = field(default_factory=Repeats)

    def call(self, request: web.Request, body: object, key: Keyed | None = None) -> Call:
        """Return what the handler of this request gets."""
        shared = (self.services, self.encoder, self.views, self.traffic, self.unsaved, self.repeats)
        return Call(*shared, request=request, body=body, key=key)


@dataclass(frozen=True)
class Call(Shared):
    """One request to one handler."""

    request: web.Request = field(kw_only=True)
    body: Any = field(kw_only=True)
    key: Keyed | None = field(kw_only=True, default=None)

    def new_id(self) -> bytes:
        """Return the id of what this request makes, if its body brings none."""
        return make_id() if self.key is None else self.key.id

    @property
    def edit_id(self) -> str:
        """Return the id of the edit that this request makes, empty if it cannot be repeated."""
        return "" if self.key is None else self.key.edit_id

    def ask(self, make: Callable[[int], Command]) -> Awaitable[Any]:
        """Ask the core; its refusals propagate to the error middleware."""
        return self.services.driver.ask(make)

    def path(self, name: str) -> str:
        """Return a part of the path as text."""
        return self.request.match_info[name]

    def id(self, name: str, kind: str) -> bytes:
        """Return an id from the path.

        Raises:
            Malformed: not an id of that kind.
        """
        return raw_id(self.path(name), kind)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number from the query string.

        Raises:
            Malformed: not a number, or outside low..high.
        """
        text = self.request.query.get(name, "")
        if not text:
            return default
        try:
            number = int(text) if len(text) <= 20 and text.isascii() else low - 1
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise Malformed("bad_query", f"{name} must be a number from {low} to {high}, not {text[:40]!a}")
        return number

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words from the query string; the first is the default.

        Raises:
            Malformed: another word.
        """
        text = self.request.query.get(name, allowed[0])
        if text not in allowed:
            raise Malformed("bad_query", f"{name} must be one of {', '.join(allowed)}, not {text[:40]!a}")
        return text


def raw_id(text: str, kind: str) -> bytes:
    """Return the 16 bytes of an id that a client sent.

    Raises:
        Malformed: not an id of that kind.
    """
    try:
        return parse_id(text, kind)
    except ValueError as error:
        raise Malformed("bad_id", str(error)) from error


def make_id() -> bytes:
    """Make the id of a thing whose creator brought none."""
    return os.urandom(16)
