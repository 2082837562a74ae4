"""How nodes of other machines join, and how readers are let in: bodies of the HTTP API, and the text of a join token.

A join token is all that a new machine needs: where the head answers over HTTP, the public key by which it will know the
head, and a token that lets one node join, once. `maze1-` and then base64 (RFC 4648, for URLs, without padding) of JSON.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from maze_protocol.keys import is_key

__all__ = [
    "BadJoinToken", "EventKeyBody", "EventKeyRequest", "JoinToken", "NodeKeyBody", "NodeKeyList", "NodeKeyRequest",
    "pack_join_token", "unpack_join_token",
]  # fmt: skip

PREFIX: Final = "maze1-"
MAX_LENGTH: Final = 4096


class NodeKeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Who wants to join, and by which public key it will say who it is."""

    node_id: str
    key: str


class NodeKeyBody(msgspec.Struct):
    """A node that is authorised. Where the head is, is told to who joins only."""

    node_id: str
    key: str
    endpoint: str = ""
    head_key: str = ""


class NodeKeyList(msgspec.Struct):
    """All nodes that are authorised, by id."""

    nodes: list[NodeKeyBody]


class EventKeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """By which public key somebody will subscribe."""

    key: str


class EventKeyBody(msgspec.Struct):
    """Where to subscribe, and which key the head has there; the subscriber's own counts for so many seconds."""

    endpoint: str
    head_key: str
    expires_in: float


class JoinToken(msgspec.Struct, frozen=True):
    """What a join token says."""

    url: str
    head_key: str
    token: str


class BadJoinToken(ValueError):
    """A text that is no join token."""


def pack_join_token(told: JoinToken) -> str:
    """Return a join token as text."""
    return PREFIX + urlsafe_b64encode(msgspec.json.encode(told)).decode().rstrip("=")


def unpack_join_token(text: str) -> JoinToken:
    """Return what a join token says.

    Raises:
        BadJoinToken: it is none, or only a part of one.
    """
    body = text.strip().removeprefix(PREFIX)
    if len(body) > MAX_LENGTH or not text.strip().startswith(PREFIX):
        raise BadJoinToken(f"a join token begins with {PREFIX}")
    try:
        told = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=JoinToken)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise BadJoinToken("the join token is damaged: copy all of it") from error
    if not is_key(told.head_key):
        raise BadJoinToken("the join token is damaged: copy all of it")
    return told
