"""Tickets: who may fetch which object from whom, proved without asking the head. Pure; standard library only.

The head gives each session of a node a secret, by which it signs tickets for objects that this node holds; the node
checks them alone. A ticket names the object and the one consumer it was made for, and expires. The holder also takes
tickets of its session before: orders may be under way when a session ends.

    ticket = expiry (8 bytes, big-endian, seconds since 1970) + the first 16 bytes of
             HMAC-SHA256(secret, "ticket" + expiry + lease (8) + output (8) + hash + consumer)
"""

from __future__ import annotations

import hmac
import struct
from typing import Final

__all__ = ["check_ticket", "make_ticket", "prove_session", "session_secret"]

_EXPIRY: Final = struct.Struct(">Q")
_OBJECT: Final = struct.Struct(">QQ")
_SIGNATURE: Final = 16
_SLACK: Final = 60
"""Seconds by which the clocks of two machines may differ."""


def session_secret(head_secret: bytes, session: int) -> bytes:
    """Return the secret of a session, which only the head and that node know."""
    return _sign(head_secret, b"session", _EXPIRY.pack(session))


def prove_session(secret: bytes, session: int) -> bytes:
    """Return what a node says to show that a session is its own, on another connection."""
    return _sign(secret, b"prove", _EXPIRY.pack(session))


def make_ticket(secret: bytes, lease: int, output: int, hash_: bytes, consumer: str, expires: float) -> bytes:
    """Return the ticket by which one node may fetch one object.

    Args:
        secret: of the holder's session.
        lease: the producing lease, 0 for an upload.
        output: the number of the output.
        hash_: the content hash of an upload, else empty.
        consumer: the id of the node that fetches.
        expires: wall-clock time after which the ticket is nothing worth.
    """
    expiry = _EXPIRY.pack(int(expires))
    return expiry + _signature(secret, expiry, lease, output, hash_, consumer)


def check_ticket(
    secret: bytes, ticket: bytes, lease: int, output: int, hash_: bytes, consumer: str, now: float
) -> bool:
    """Tell whether a ticket was made with this secret for this object and this consumer, and has not expired."""
    expiry, signature = ticket[: _EXPIRY.size], ticket[_EXPIRY.size :]
    if len(expiry) < _EXPIRY.size or _EXPIRY.unpack(expiry)[0] + _SLACK < now:
        return False
    return hmac.compare_digest(signature, _signature(secret, expiry, lease, output, hash_, consumer))


def _signature(secret: bytes, expiry: bytes, lease: int, output: int, hash_: bytes, consumer: str) -> bytes:
    told = b"".join((expiry, _OBJECT.pack(lease, output), hash_, consumer.encode()))
    return _sign(secret, b"ticket", told)[:_SIGNATURE]


def _sign(secret: bytes, purpose: bytes, told: bytes) -> bytes:
    return hmac.digest(secret, purpose + told, "sha256")
