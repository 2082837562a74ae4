"""Encoded events joined to what is sent at once: arrays for readers of one run, maps for those of many. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from maze_head.api.render import JSON
from maze_protocol.streams import Events

__all__ = ["FRAME_BYTES", "framed", "numbered"]

FRAME_BYTES: Final = 1024 * 1024
_encode: Final = msgspec.msgpack.Encoder().encode


def framed(events: Sequence[bytes], fmt: str, limit: int = FRAME_BYTES) -> list[bytes]:
    """Join encoded events to arrays of about `limit` bytes at most; one event is never cut."""
    frames: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for event in events:
        if piece and size + len(event) > limit:
            frames.append(_array(piece, fmt))
            piece, size = [], 0
        piece.append(event)
        size += len(event)
    return [*frames, _array(piece, fmt)] if piece else frames


def _array(items: Sequence[bytes], fmt: str) -> bytes:
    if fmt == JSON:
        return b"[" + b",".join(items) + b"]"
    header = _encode([None] * len(items))[: -len(items)]  # an array of n nils is its header and n bytes
    return header + b"".join(items)


def numbered(subscription: int, array: bytes, *, sealed: bool) -> bytes:
    """Return an array of events as the frame of a subscription, maybe its last."""
    return _encode(Events(subscription, sealed, []))[:-1] + array  # in place of the empty array, which is the last byte
