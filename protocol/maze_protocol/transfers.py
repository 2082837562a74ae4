"""The messages by which objects travel: asked for in pieces, from whoever holds them (ADR 0022).

The rules are those of messages.py, where they are part of the one union of all messages. Either side of a connection
may ask: a node asks nodes and the head, the head asks a node over the connection which that node opened.
"""

from __future__ import annotations

import msgspec

from maze_protocol.bounds import Count, Token

__all__ = ["BlobHello", "BlobOffer", "Chunk", "Denied", "Fetch", "Unknown"]


class Fetch(msgspec.Struct, array_like=True, frozen=True, tag=48):
    """Ask a holder for a piece of an object."""

    request: Count
    lease: Token
    output: Count
    offset: Count
    length: Count
    ticket: bytes = b""
    hash: bytes = b""
    """Of an upload (lease 0)."""
    node: str = ""
    """Who asks: the ticket is for no other."""


class Chunk(msgspec.Struct, array_like=True, frozen=True, tag=49):
    """A piece of an object; its bytes are the first payload frame."""

    request: Count
    offset: Count
    total: Count
    crc: Count


class Unknown(msgspec.Struct, array_like=True, frozen=True, tag=50):
    """This node does not hold that object (any more)."""

    request: Count


class Denied(msgspec.Struct, array_like=True, frozen=True, tag=51):
    """The ticket is not valid here."""

    request: Count
    reason: str = ""


class BlobOffer(msgspec.Struct, array_like=True, frozen=True, tag=52):
    """A node offers an object for the head's blob directory."""

    lease: Token
    output: Count
    size: Count
    crc: Count


class BlobHello(msgspec.Struct, array_like=True, frozen=True, tag=53):
    """A node opens its connection for objects to the head; from now on the head may fetch over it, too."""

    node: str
    session: Token
    proof: bytes
    """HMAC of the session's number under its secret (tickets.py)."""
