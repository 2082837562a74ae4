"""Encoded events joined to what is sent at once: arrays for readers of one run, maps for those of many. Pure.

A piece is one event, or a part of the log (log_parts.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from maze_head.api.render import AS_IT_IS, JSON
from maze_protocol.streams import Events, Log

__all__ = ["FRAME_BYTES", "framed", "numbered"]

FRAME_BYTES: Final = 1024 * 1024
_encode: Final = msgspec.msgpack.Encoder().encode


def framed(pieces: Sequence[bytes], fmt: str, limit: int = FRAME_BYTES) -> list[bytes]:
    """Join pieces to arrays of about `limit` bytes at most; one piece is never cut."""
    frames: list[bytes] = []
    array: list[bytes] = []
    size = 0
    for piece in pieces:
        if array and size + len(piece) > limit:
            frames.append(_array(array, fmt))
            array, size = [], 0
        array.append(piece)
        size += len(piece)
    return [*frames, _array(array, fmt)] if array else frames


def _array(items: Sequence[bytes], fmt: str) -> bytes:
    if fmt == JSON:
        return b"[" + b",".join(items) + b"]"
    header = _encode([None] * len(items))[: -len(items)]  # an array of n nils is its header and n bytes
    return header + b"".join(items)


def numbered(subscription: int, array: bytes, fmt: str, *, sealed: bool) -> bytes:
    """Return an array of pieces as the frame of a subscription, maybe its last."""
    frame = Log(subscription, sealed, []) if fmt in AS_IT_IS else Events(subscription, sealed, [])
    return _encode(frame)[:-1] + array  # in place of the empty array, which is the last byte
