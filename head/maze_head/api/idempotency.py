"""`Idempotency-Key`: the id of a request whose body brings none, so that every POST can be repeated without harm.

The key and the route give the id of the workflow, task, edit or run that the request makes, always the same one. So
the core recognises a repetition by the id, as it does those of clients that make ids; and it does so after a restart,
too, since the ids are in the journal. Nothing else is kept, save which bodies came lately: a key that comes again with
another body is a mistake of the client's, and it is told as long as this head remembers.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from maze_head.api.errors import Malformed
from maze_head.core.errors import Invalid

__all__ = ["HEADER", "KEY_LENGTH", "Keyed", "Repeats", "keyed"]

HEADER: Final = "Idempotency-Key"
KEY_LENGTH: Final = 255
REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request with a key."""

    id: bytes
    digest: bytes
    """Of the body."""

    @property
    def edit_id(self) -> str:
        """Return the id of the edit that the request makes."""
        return f"key_{self.id.hex()}"


async def keyed(request: web.Request) -> Keyed | None:
    """Return the id that the request's key stands for on this route, or None without a key.

    Raises:
        Malformed: no printable ASCII, or too long.
    """
    key = request.headers.get(HEADER)
    if key is None or request.method == "GET":
        return None
    if not 0 < len(key) <= KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise Malformed("bad_idempotency_key", f"{HEADER} must be 1 to {KEY_LENGTH} printable ASCII characters")
    place = f"{request.method} {request.path}\n{key}".encode("utf-8", "surrogateescape")
    return Keyed(_hash(place), _hash(await request.read()))


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


class Repeats:
    """The bodies of keyed requests that were answered lately."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, bytes] = OrderedDict()

    def check(self, request: Keyed) -> None:
        """Refuse a key that came with another body.

        Raises:
            Invalid: it did.
        """
        if self._digests.get(request.id, request.digest) != request.digest:
            message = f"this {HEADER} came with another body before"
            raise Invalid("idempotency_mismatch", message, hint="a new request needs a new key")

    def keep(self, request: Keyed) -> None:
        """Remember a request that was carried out."""
        self._digests[request.id] = request.digest
        if len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)
