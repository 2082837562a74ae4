"""Plain values: MessagePack for exact builtin types, refused as a whole otherwise.

msgpack's `strict_types` is not strict enough by itself: it takes bytearray for bytes, any key that it can pack, and
its own ExtType. So a check walks the containers first, level by level, looking at leaves only through
`set(map(type, …))`, which runs at C speed (a list of a million floats costs about 15 ms).

A value without parts (a number, a short text) goes through msgspec, to the same bytes in a fifth of the time: msgpack
makes a packer with a buffer of 256 KiB for each.

Odd: a shared container is written out each time it occurs, but a value in which repeats pile up (a tower of
`x = [x, x]`), a cycle, or nesting beyond MAX_DEPTH is not plain: pickle keeps the sharing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from maze._values.container import Body, Piece
from maze._values.errors import ValueDecodeError
from maze_protocol.values import HOLE_EXT

__all__ = ["HoleTest", "long_bytes", "pack_plain", "pack_short", "unpack_plain"]

HoleTest = Callable[[object], object | None]
"""Returns what stands behind a hole, or None for anything else."""

MAX_DEPTH: Final = 200
MAX_REPEATS: Final = 10_000
SHORT: Final = 256
"""Characters or bytes."""
_LEAVES: Final = frozenset({type(None), bool, int, float, str, bytes})
_LONG_LEAVES: Final = frozenset({str, bytes})
_CONTAINERS: Final = frozenset({list, dict})
_INDEX: Final = struct.Struct(">I")
_LONG: Final = 1 << 16
_BIN32: Final = struct.Struct(">BI")
_BIN32_CODE: Final = 0xC6
_pack_leaf: Final = msgspec.msgpack.Encoder().encode
_unpack_leaf: Final = msgspec.msgpack.Decoder().decode
_LEAF_CODES: Final = frozenset(
    (*range(0x80), *range(0xA0, 0xC1), 0xC2, 0xC3, *range(0xC4, 0xC7), *range(0xCA, 0xD4), *range(0xD9, 0xDC))
) | frozenset(range(0xE0, 0x100))
"""First bytes of what has no parts and is no extension."""


def pack_plain(value: object, is_hole: HoleTest | None = None) -> tuple[bytes, list[object]] | None:
    """Return the MessagePack body and the holes in order, or None if the value is not plain."""
    if type(value) in _LEAVES:
        try:
            return _pack_leaf(value), []
        except (OverflowError, ValueError):  # beyond 64 bits, lone surrogates
            return None
    if not _is_plain(value, is_hole):
        return None
    import msgpack  # type: ignore[import-untyped]  # msgpack ships no types

    holes: list[object] = []

    def fill(item: object) -> object:
        found = is_hole(item) if is_hole is not None else None
        if found is None:
            raise TypeError(f"not plain: {type(item).__name__}")
        holes.append(found)
        return msgpack.ExtType(HOLE_EXT, _INDEX.pack(len(holes) - 1))

    try:
        return msgpack.packb(value, default=fill, strict_types=True), holes
    except (OverflowError, ValueError, TypeError):  # beyond 64 bits, lone surrogates, changed meanwhile
        return None


def pack_short(value: object) -> bytes | None:
    """Return the MessagePack body of a number, or of a text of at most SHORT characters; None for anything else."""
    kind = type(value)
    if kind is int or (kind in _LEAVES and not (kind in _LONG_LEAVES and len(value) > SHORT)):  # type: ignore[arg-type]
        try:
            return _pack_leaf(value)
        except (OverflowError, ValueError):
            return None
    return None


def long_bytes(value: object) -> list[Piece] | None:
    """Return the MessagePack body of long bytes in two pieces, uncopied; None for anything else."""
    if type(value) is not bytes or not _LONG <= len(value) < 1 << 32:
        return None
    return [_BIN32.pack(_BIN32_CODE, len(value)), value]


def unpack_plain(body: Body, parts: Sequence[object] = ()) -> Any:
    """Return the value of a MessagePack body, holes filled with `parts`.

    Raises:
        ValueDecodeError: not MessagePack, or a hole without a part.
    """
    if body and body[0] in _LEAF_CODES:
        try:
            return _unpack_leaf(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueDecodeError(f"not a MessagePack value ({error})") from error
    import msgpack

    try:
        return msgpack.unpackb(body, ext_hook=partial(_fill, parts) if parts else _no_part)
    except (ValueError, TypeError, OverflowError, MemoryError, msgpack.UnpackException) as error:
        raise ValueDecodeError(f"not a MessagePack value ({error})") from error


def _no_part(code: int, data: bytes) -> object:
    return _fill((), code, data)


def _fill(parts: Sequence[object], code: int, data: bytes) -> object:
    if code != HOLE_EXT or len(data) != _INDEX.size:
        raise ValueError(f"unexpected extension type {code}")
    index = _INDEX.unpack(data)[0]
    if index >= len(parts):
        raise ValueError(f"hole {index} of {len(parts)}")
    return parts[index]


def _is_plain(value: object, is_hole: HoleTest | None) -> bool:
    level: list[Any] = []
    if not _sort_out((value,), is_hole, level):
        return False
    seen: set[int] = set()
    visits = 0
    for _ in range(MAX_DEPTH):
        if not level:
            return True
        visits += len(level)
        seen.update(map(id, level))
        if visits - len(seen) > MAX_REPEATS:
            return False
        below: list[Any] = []
        if not all(_look_inside(container, is_hole, below) for container in level):
            return False
        level = below
    return False


def _look_inside(container: Any, is_hole: HoleTest | None, below: list[Any]) -> bool:
    if type(container) is dict:
        return set(map(type, container)) <= {str} and _sort_out(container.values(), is_hole, below)
    return _sort_out(container, is_hole, below)


def _sort_out(items: Any, is_hole: HoleTest | None, below: list[Any]) -> bool:
    """Append the containers among `items` to `below`; tell whether the rest are plain leaves or holes."""
    odd = set(map(type, items)) - _LEAVES
    if not odd:
        return True
    below.extend(item for item in items if type(item) in _CONTAINERS)
    if odd <= _CONTAINERS:
        return True
    if is_hole is None:
        return False
    return all(is_hole(item) is not None for item in items if type(item) not in _LEAVES | _CONTAINERS)
