"""Envelopes to multipart frames and back: a fixed preamble, the meta frame, then opaque payload frames.

    f0  16 bytes, big-endian: "MZ" | major u8 | minor u8 | type u16 | flags u16 | meta length u32 | crc32(meta) u32
    f1  meta: the MessagePack of an Envelope, at most 1 MiB
    f2… payloads: bodies of values, referred to by number from the meta frame (values.py)

Rules
* Frames are refused in the order: count and sizes, magic, major, type, checksum, schema; cheap checks first.
* The preamble repeats the message type so that a receiver can skip a type it does not know without decoding it.
  A type of the reliable class is always MUST_UNDERSTAND: skipping it would leave a gap in the session.
* HELLO and REJECT are read under every major version, so that two versions can at least tell each other why not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

from maze_protocol.codec import Buffer, Envelope, decode_envelope, encode_envelope
from maze_protocol.errors import BadFrame, BadMessage, MessageTooLarge, UnknownMessage, VersionMismatch
from maze_protocol.limits import (
    MAX_CONTROL_FRAME,
    MAX_CONTROL_MESSAGE,
    MAX_FRAMES,
    MAX_META,
    PROTOCOL_MAJOR,
    PROTOCOL_MINOR,
)
from maze_protocol.messages import RELIABLE, TYPE_OF, Hello, Reject

__all__ = ["ANY_MAJOR", "MAGIC", "MUST_UNDERSTAND", "PREAMBLE", "decode_frames", "encode_frames"]

MAGIC: Final = b"MZ"
PREAMBLE: Final = struct.Struct(">2sBBHHII")
MUST_UNDERSTAND: Final = 1
ANY_MAJOR: Final = frozenset({TYPE_OF[Hello], TYPE_OF[Reject]})

_KNOWN: Final = frozenset(TYPE_OF.values())
_FLAGS: Final = {message: MUST_UNDERSTAND if message in RELIABLE else 0 for message in TYPE_OF}


def encode_frames(envelope: Envelope, payloads: Sequence[bytes] = ()) -> list[bytes]:
    """Return the frames of one message, without routing frames.

    Raises:
        MessageTooLarge: a count or size above the limits.
    """
    meta = encode_envelope(envelope)
    # Most messages are one frame of meta, and the limit of that is the lowest.
    if payloads or len(meta) > MAX_META:
        fault = _size_fault([len(meta), *map(len, payloads)])
        if fault is not None:
            raise MessageTooLarge(*fault)
    kind = type(envelope.message)
    preamble = PREAMBLE.pack(
        MAGIC, PROTOCOL_MAJOR, PROTOCOL_MINOR, TYPE_OF[kind], _FLAGS[kind], len(meta), zlib.crc32(meta)
    )
    return [preamble, meta, *payloads]


def decode_frames(frames: Sequence[Buffer]) -> tuple[Envelope, tuple[bytes, ...]] | None:
    """Return the envelope and payloads of one message, or None for an unknown type that may be ignored.

    Raises:
        BadFrame: count, sizes, magic or checksum.
        VersionMismatch: a major version that is not spoken here.
        UnknownMessage: an unknown type that must be understood.
        BadMessage: the meta frame does not fit its type.
    """
    short = len(frames) == 2 and len(frames[0]) == PREAMBLE.size and len(frames[1]) <= MAX_META
    if not short and (fault := _shape_fault(frames)) is not None:
        raise BadFrame(*fault)
    tag, crc = _open_preamble(frames)
    if tag is None:
        return None
    if zlib.crc32(frames[1]) != crc:
        raise BadFrame("checksum", "checksum of the meta frame differs")
    envelope = decode_envelope(frames[1])
    if TYPE_OF[type(envelope.message)] != tag:
        raise BadMessage("type", f"preamble says type {tag}, meta is a {type(envelope.message).__name__}")
    return envelope, tuple([bytes(frame) for frame in frames[2:]]) if len(frames) > 2 else ()


def _shape_fault(frames: Sequence[Buffer]) -> tuple[str, str] | None:
    if len(frames) < 2:
        return "frame_count", f"{len(frames)} frames, at least 2"
    if len(frames[0]) != PREAMBLE.size:
        return "preamble_size", f"preamble of {len(frames[0])} bytes instead of {PREAMBLE.size}"
    return _size_fault([len(frame) for frame in frames[1:]])


def _size_fault(sizes: Sequence[int]) -> tuple[str, str] | None:
    """Check the sizes of the meta frame and of the payloads after it."""
    if len(sizes) + 1 > MAX_FRAMES:
        return "frame_count", f"{len(sizes) + 1} frames, at most {MAX_FRAMES}"
    if sizes[0] > MAX_META:
        return "meta_size", f"meta frame of {sizes[0]} bytes, at most {MAX_META}"
    if max(sizes) > MAX_CONTROL_FRAME:
        return "frame_size", f"frame of {max(sizes)} bytes, at most {MAX_CONTROL_FRAME}"
    if sum(sizes) > MAX_CONTROL_MESSAGE:
        return "message_size", f"message of {sum(sizes)} bytes, at most {MAX_CONTROL_MESSAGE}"
    return None


def _open_preamble(frames: Sequence[Buffer]) -> tuple[int | None, int]:
    """Return (type, checksum); the type is None if it is unknown and may be ignored."""
    magic, major, minor, tag, flags, meta_length, crc = PREAMBLE.unpack(frames[0])
    if magic != MAGIC:
        raise BadFrame("magic", f"frames begin with {magic!r}, not {MAGIC!r}")
    if major != PROTOCOL_MAJOR and tag not in ANY_MAJOR:
        raise VersionMismatch("version", f"protocol {major}.{minor}, spoken here is {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}")
    if meta_length != len(frames[1]):
        raise BadFrame("meta_length", f"preamble announces {meta_length} bytes of meta, {len(frames[1])} came")
    if tag not in _KNOWN:
        if flags & MUST_UNDERSTAND:
            raise UnknownMessage("unknown_type", f"message type {tag} is not known here and must be understood")
        return None, crc
    return tag, crc
