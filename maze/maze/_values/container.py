"""The body of a pickled value: a header, one pickle and its out-of-band buffers.

    offset  size  content
    0       1     version of this layout (1)
    1       1     major version of the Python that pickled
    2       1     its minor version; readers of another minor refuse before they unpickle anything
    3       1     0, reserved
    4       4     number of buffers n, big-endian u32
    8       8     length of the pickle, big-endian u64
    16      8 n   length of each buffer, big-endian u64
    …             the pickle (protocol 5)
    …             each buffer, preceded by zeros up to a multiple of 64

Buffers are pickle protocol 5's out-of-band data: arrays cost one copy on each side instead of three. They are
copied out into bytearrays, so that an array arrives as writable as it was; or not copied, if the body is the reader's
own or nobody is to write in it: then they are views, as writable as the body.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import Final

from maze._values.errors import ValueDecodeError

__all__ = ["Body", "Piece", "join", "pieces", "split"]

Body = bytes | bytearray | memoryview
Piece = bytes | memoryview

LAYOUT: Final = 1
ALIGNMENT: Final = 64
_HEAD: Final = struct.Struct(">BBBxIQ")


def join(pickled: bytes, buffers: Sequence[memoryview]) -> bytes:
    """Return one body of a pickle and its buffers."""
    return b"".join(pieces(pickled, buffers))


def pieces(pickled: bytes, buffers: Sequence[memoryview]) -> list[Piece]:
    """Return what, one after the other, is the body of a pickle and its buffers."""
    lengths = [buffer.nbytes for buffer in buffers]
    parts: list[Piece] = [
        _HEAD.pack(LAYOUT, *sys.version_info[:2], len(buffers), len(pickled)),
        struct.pack(f">{len(lengths)}Q", *lengths),
        pickled,
    ]
    offset = _HEAD.size + 8 * len(lengths) + len(pickled)
    for buffer in buffers:
        padding = -offset % ALIGNMENT
        parts += [bytes(padding), buffer]
        offset += padding + buffer.nbytes
    return parts


def split(body: Body, *, copy: bool = True) -> tuple[memoryview, list[bytearray | memoryview]]:
    """Return the pickle and the buffers of a body, as copies or as views of it.

    Raises:
        ValueDecodeError: another layout, another Python minor version, or truncated.
    """
    count, size = _read_head(body)
    view = memoryview(body)
    offset = _HEAD.size + 8 * count
    if offset + size > len(body):
        raise ValueDecodeError(f"truncated: {len(body)} bytes")
    lengths = struct.unpack_from(f">{count}Q", body, _HEAD.size)
    pickled = view[offset : offset + size]
    offset += size
    buffers: list[bytearray | memoryview] = []
    for length in lengths:
        offset += -offset % ALIGNMENT
        if offset + length > len(body):
            raise ValueDecodeError(f"truncated: {len(body)} bytes, a buffer needs {offset + length}")
        buffer = view[offset : offset + length]
        buffers.append(bytearray(buffer) if copy else buffer)
        offset += length
    return pickled, buffers


def _read_head(body: Body) -> tuple[int, int]:
    if len(body) < _HEAD.size:
        raise ValueDecodeError(f"truncated: {len(body)} bytes")
    layout, major, minor, count, size = _HEAD.unpack_from(body)
    if layout != LAYOUT:
        raise ValueDecodeError(f"unknown layout {layout} of a pickled value")
    here = sys.version_info[:2]
    if (major, minor) != here:
        raise ValueDecodeError(f"pickled by Python {major}.{minor}, this is Python {here[0]}.{here[1]}")
    return count, size
