"""The holder's half of a transfer: whose piece is sent next. Pure; the shell opens, reads and sends.

Rules
* Tickets are checked before anything else is done for a FETCH, with the secret of this session or the one before.
  Where uploads are open (at the head, to nodes that have shown their session), knowing the hash of one is enough.
* An object is opened when it is first asked for (the shell may take its time to find it), and closed when nobody has
  asked for it for a while. Nothing is read before it can be sent: `take` gives one piece at a time. An object may be
  on its way here itself: what has come of it is served, and the rest when it comes.
* Turns go round among the transfers, where a transfer is one object on one link: whoever asks for much waits longer
  and nobody else does. What a link has waiting is bounded; the surplus is dropped and will be asked for again.
* Nothing that a consumer says raises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from maze_protocol.fetching import Link
from maze_protocol.limits import CHUNK
from maze_protocol.tickets import check_ticket
from maze_protocol.transfers import Denied, Fetch, Unknown
from maze_protocol.values import ObjectKey

__all__ = ["Close", "Effect", "Find", "Piece", "Say", "Serving"]

MAX_WAITING: Final = 64
"""Pieces that one link may have waiting; twice what a consumer asks of everybody together."""
IDLE: Final = 10.0
"""Seconds after which an object that nobody asks for is closed."""
SECRETS: Final = 2


def _always(key: ObjectKey, offset: int, length: int) -> bool:
    return True


class Find(NamedTuple):
    """Open this object; answered by `found` or `missing`, now or later."""

    key: ObjectKey


class Close(NamedTuple):
    """Close this object."""

    key: ObjectKey


class Say(NamedTuple):
    """Answer without bytes."""

    link: Link
    message: Unknown | Denied


class Piece(NamedTuple):
    """Read this and send it as the answer to `request`."""

    link: Link
    request: int
    key: ObjectKey
    offset: int
    length: int
    total: int


Effect = Find | Close | Say


@dataclass(slots=True)
class _Object:
    asked_at: float
    size: int | None = None
    """None: it is being looked for."""


@dataclass(slots=True)
class _Transfer:
    link: Link
    key: ObjectKey
    waiting: dict[int, Fetch] = field(default_factory=dict)
    """By request, in the order in which they came."""


class Serving:
    """All that one process gives to others."""

    def __init__(self, *secrets: bytes, open_uploads: bool = False) -> None:
        """Begin; tickets are made with one of these secrets, and uploads need none if they are open."""
        self._open_uploads = open_uploads
        self._secrets: deque[bytes] = deque(secrets, SECRETS)
        self._objects: dict[ObjectKey, _Object] = {}
        self._transfers: dict[tuple[Link, ObjectKey], _Transfer] = {}
        self._ring: deque[tuple[Link, ObjectKey]] = deque()
        self._waiting: dict[Link, int] = {}
        self.waiting = 0
        """How many pieces are to be sent."""

    def trust(self, secret: bytes) -> None:
        """Take tickets made with this secret, too; of older ones only the last."""
        if secret not in self._secrets:
            self._secrets.append(secret)

    def hear(self, link: Link, fetch: Fetch, now: float, wall: float) -> list[Effect]:
        """Take a request; `wall` is the time by which tickets expire."""
        key = ObjectKey(fetch.lease, fetch.output, fetch.hash)
        if not self._may(fetch, key, wall):
            return [Say(link, Denied(fetch.request, "the ticket is not valid here"))]
        known = self._objects.get(key)
        if known is not None:
            known.asked_at = now
            return self._queue(link, key, fetch, known.size)
        self._objects[key] = _Object(now)
        return [*self._queue(link, key, fetch, None), Find(key)]

    def found(self, key: ObjectKey, size: int, now: float) -> list[Effect]:
        """The object is open; its pieces can be read."""
        known = self._objects.get(key)
        if known is None or known.size is not None:
            return []
        known.size, known.asked_at = size, now
        effects: list[Effect] = []
        for transfer in self._transfers_of(key):
            beyond = [fetch for fetch in transfer.waiting.values() if not _within(fetch, size)]
            for fetch in beyond:
                self._drop(transfer, fetch.request)
            effects += [_refuse(transfer.link, fetch) for fetch in beyond]
        return effects

    def missing(self, key: ObjectKey) -> list[Effect]:
        """The object is not here, or cannot be read any more."""
        known = self._objects.pop(key, None)
        if known is None:
            return []
        effects: list[Effect] = []
        for transfer in self._transfers_of(key):
            effects += [Say(transfer.link, Unknown(request)) for request in transfer.waiting]
            for request in list(transfer.waiting):
                self._drop(transfer, request)
        return [*effects, Close(key)] if known.size is not None else effects

    def lost(self, link: Link) -> None:
        """Forget what a link asked for."""
        for transfer in [each for each in self._transfers.values() if each.link == link]:
            for request in list(transfer.waiting):
                self._drop(transfer, request)

    def take(
        self, can_send: Callable[[Link], bool], is_there: Callable[[ObjectKey, int, int], bool] = _always
    ) -> Piece | None:
        """Return the piece whose turn it is, of those that can be sent.

        Args:
            can_send: tells of a link whether it can send now.
            is_there: tells of an open object whether `length` bytes from `offset` on are there.
        """
        for _ in range(len(self._ring)):
            place = self._ring[0]
            self._ring.rotate(-1)
            transfer = self._transfers[place]
            size = self._objects[transfer.key].size
            fetch = None
            if size is not None and can_send(transfer.link):
                key = transfer.key
                there = (each for each in transfer.waiting.values() if is_there(key, each.offset, each.length))
                fetch = next(there, None)
            if fetch is not None and size is not None:
                self._drop(transfer, fetch.request)
                return Piece(transfer.link, fetch.request, transfer.key, fetch.offset, fetch.length, size)
        return None

    def tick(self, now: float) -> list[Effect]:
        """Close what nobody asks for; called now and then."""
        wanted = {key for _, key in self._transfers}
        idle = [
            key
            for key, known in self._objects.items()
            if known.size is not None and now - known.asked_at > IDLE and key not in wanted
        ]
        for key in idle:
            del self._objects[key]
        return [Close(key) for key in idle]

    def _may(self, fetch: Fetch, key: ObjectKey, wall: float) -> bool:
        if self._open_uploads and not key.lease and key.hash:
            return True
        return any(check_ticket(secret, fetch.ticket, *key, fetch.node, wall) for secret in self._secrets)

    def _queue(self, link: Link, key: ObjectKey, fetch: Fetch, size: int | None) -> list[Effect]:
        if not 0 < fetch.length <= CHUNK or (size is not None and not _within(fetch, size)):
            return [_refuse(link, fetch)]
        transfer = self._transfers.get((link, key))
        if transfer is not None and fetch.request in transfer.waiting:
            return []
        if self._waiting.get(link, 0) >= MAX_WAITING:
            return []
        if transfer is None:
            transfer = self._transfers[link, key] = _Transfer(link, key)
            self._ring.append((link, key))
        transfer.waiting[fetch.request] = fetch
        self._waiting[link] = self._waiting.get(link, 0) + 1
        self.waiting += 1
        return []

    def _drop(self, transfer: _Transfer, request: int) -> None:
        del transfer.waiting[request]
        self.waiting -= 1
        self._waiting[transfer.link] -= 1
        if not self._waiting[transfer.link]:
            del self._waiting[transfer.link]
        if not transfer.waiting:
            del self._transfers[transfer.link, transfer.key]
            self._ring.remove((transfer.link, transfer.key))

    def _transfers_of(self, key: ObjectKey) -> list[_Transfer]:
        return [transfer for transfer in self._transfers.values() if transfer.key == key]


def _within(fetch: Fetch, size: int) -> bool:
    return fetch.offset + fetch.length <= size


def _refuse(link: Link, fetch: Fetch) -> Say:
    return Say(link, Denied(fetch.request, "there is no such piece"))
