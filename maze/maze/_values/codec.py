"""The public face of the package: choose a codec, translate every failure into one of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maze._values.blame import blame
from maze._values.container import Body, Piece
from maze._values.errors import ValueDecodeError, ValueEncodeError
from maze._values.file import File, Held
from maze._values.files import pieces_of, snapshot_of
from maze._values.pickled import pickle_value, unpickle_value
from maze._values.plain import HoleTest, long_bytes, pack_plain, pack_short, unpack_plain
from maze_protocol.values import FILE, MSGPACK, PICKLE

__all__ = ["decode", "decode_input", "encode", "encode_input", "encode_pieces", "encode_short"]

encode_short = pack_short


def encode(value: object) -> tuple[int, bytes]:
    """Return (codec, body) of a value.

    Raises:
        ValueEncodeError: something in it cannot be pickled; the error names it.
    """
    codec, parts, _ = _encode(value, None)
    return codec, b"".join(parts)


def encode_pieces(value: object, is_hole: HoleTest | None = None) -> tuple[int, list[Piece], list[object]]:
    """Encode as `encode_input`, to pieces which make the body one after the other: large ones are not copied."""
    return _encode(value, is_hole)


def encode_input(value: object, is_hole: HoleTest) -> tuple[int, bytes, list[object]]:
    """Encode a value in which some objects stand for what is not known yet.

    Args:
        value: any value; holes may be at any depth in it, inside user objects too.
        is_hole: returns what stands behind a hole, or None for anything else.

    Returns:
        (codec, body, what stands behind each hole, in the order of their numbers).

    Raises:
        ValueEncodeError: something in it cannot be pickled; the error names it.
    """
    codec, parts, holes = _encode(value, is_hole)
    return codec, b"".join(parts), holes


def decode(codec: int, body: Body, *, allow_pickle: bool = True, copy: bool = True) -> Any:
    """Return the value of a body.

    Args:
        codec: MSGPACK, PICKLE or FILE.
        body: what `encode` returned.
        copy: False: arrays and buffers are views of the body, as writable as it is; nobody else may change it then.
        allow_pickle: False refuses pickled values; unpickling runs code that the sender chose.

    Raises:
        ValueDecodeError: with a reason for people.
    """
    if codec == MSGPACK:
        return unpack_plain(body)
    if codec == PICKLE and not allow_pickle:
        raise ValueDecodeError("it is pickled, and unpickling is not allowed here")
    return decode_input(codec, body, (), copy=copy)


def decode_input(codec: int, body: Body, parts: Sequence[object], *, copy: bool = True) -> Any:
    """Return the value of a body, with hole number i replaced by `parts[i]`.

    Raises:
        ValueDecodeError: with a reason for people.
    """
    if codec == MSGPACK:
        return unpack_plain(body, parts)
    if codec == PICKLE:
        return unpickle_value(body, parts, copy=copy)
    if codec == FILE:
        return File.of(Held(body))
    raise ValueDecodeError(f"unknown codec {codec}")


def _encode(value: object, is_hole: HoleTest | None) -> tuple[int, list[Piece], list[object]]:
    if type(value) is File:
        return FILE, _file_pieces(value, snapshot=is_hole is not None), []
    long = long_bytes(value)
    if long is not None:
        return MSGPACK, long, []
    plain = pack_plain(value, is_hole)
    if plain is not None:
        return MSGPACK, [plain[0]], plain[1]
    try:
        return PICKLE, *pickle_value(value, is_hole)
    except Exception as error:
        path, culprit = blame(value, lambda part: not _can_pickle(part, is_hole))
        raise ValueEncodeError(_type_name(culprit), path, _reason(error)) from error


def _file_pieces(file: File, *, snapshot: bool) -> list[Piece]:
    """Return the pieces of a file; what is an input may be sent much later than it was given, and must not change."""
    try:
        return [snapshot_of(file.path)] if snapshot else pieces_of(file.path)
    except OSError as error:
        raise ValueEncodeError("File", "", _reason(error)) from error


def _can_pickle(value: object, is_hole: HoleTest | None) -> bool:
    try:
        pickle_value(value, is_hole)
    except Exception:  # noqa: BLE001 -- pickling runs the user's __reduce__ and __getstate__
        return False
    return True


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
