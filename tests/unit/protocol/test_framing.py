"""maze_protocol.framing: the layout, and every reason to refuse, in order."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from maze_protocol.codec import Envelope, encode_envelope
from maze_protocol.errors import (
    BadFrame,
    BadMessage,
    MessageTooLarge,
    RemoteProtocolError,
    UnknownMessage,
    VersionMismatch,
)
from maze_protocol.framing import ANY_MAJOR, MUST_UNDERSTAND, PREAMBLE, decode_frames, encode_frames
from maze_protocol.limits import MAX_CONTROL_FRAME, MAX_FRAMES, MAX_META
from maze_protocol.messages import MESSAGES, RELIABLE, TYPE_OF, Heartbeat, Rehello
from support.messages import make_assign, make_hello, sample

BEAT = Envelope(1, 2, 3, Heartbeat(1.5))
META = encode_envelope(BEAT)
TAG = TYPE_OF[Heartbeat]


def preamble(
    magic: bytes = b"MZ", major: int = 1, tag: int = TAG, flags: int = 0, meta: bytes = META, length: int | None = None
) -> bytes:
    return PREAMBLE.pack(magic, major, 0, tag, flags, len(meta) if length is None else length, zlib.crc32(meta))


def test_the_layout() -> None:
    frames = encode_frames(BEAT, [b"payload"])
    assert frames[0] == b"MZ\x01\x05\x00\x08\x00\x00" + len(META).to_bytes(4, "big") + zlib.crc32(META).to_bytes(
        4, "big"
    )
    assert frames[1:] == [META, b"payload"]


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_reliable_types_must_be_understood(kind: type) -> None:
    _, _, _, tag, flags, _, _ = PREAMBLE.unpack(encode_frames(Envelope(1, 1, 0, sample(kind)))[0])
    assert tag == TYPE_OF[kind]
    assert bool(flags & MUST_UNDERSTAND) == (kind in RELIABLE)


@pytest.mark.parametrize(
    ("frames", "error", "code"),
    [
        ([], BadFrame, "frame_count"),
        ([preamble()], BadFrame, "frame_count"),
        ([preamble(), META, *[b""] * (MAX_FRAMES - 1)], BadFrame, "frame_count"),
        ([b"MZ", META], BadFrame, "preamble_size"),
        ([preamble() + b"\0", META], BadFrame, "preamble_size"),
        ([preamble(), b"\0" * (MAX_META + 1)], BadFrame, "meta_size"),
        ([preamble(), META, b"\0" * (MAX_CONTROL_FRAME + 1)], BadFrame, "frame_size"),
        ([preamble(), META, *[b"\0" * (MAX_CONTROL_FRAME // 2)] * 2], BadFrame, "message_size"),
        ([preamble(magic=b"HT"), META], BadFrame, "magic"),
        ([preamble(major=2), META], VersionMismatch, "version"),
        ([preamble(length=7), META], BadFrame, "meta_length"),
        ([preamble(tag=999, flags=MUST_UNDERSTAND), META], UnknownMessage, "unknown_type"),
        ([preamble(meta=b"other", length=len(META)), META], BadFrame, "checksum"),
        ([preamble(meta=b"\xc1"), b"\xc1"], BadMessage, "schema"),
        ([preamble(tag=TYPE_OF[Rehello]), META], BadMessage, "type"),
    ],
)
def test_refusals(frames: list[bytes], error: type[RemoteProtocolError], code: str) -> None:
    with pytest.raises(error) as caught:
        decode_frames(frames)
    assert caught.value.code == code


def test_an_unknown_type_that_may_be_ignored_is_no_error() -> None:
    assert decode_frames([preamble(tag=999), META]) is None


@pytest.mark.parametrize("tag", sorted(ANY_MAJOR))
def test_greeting_and_refusal_are_read_under_every_major(tag: int) -> None:
    kind = next(kind for kind, number in TYPE_OF.items() if number == tag)
    envelope = Envelope(0, 0, 0, sample(kind))
    meta = encode_envelope(envelope)
    assert decode_frames([preamble(major=9, tag=tag, meta=meta), meta]) == (envelope, ())


def test_unknown_flags_and_later_minors_are_ignored() -> None:
    frames = [PREAMBLE.pack(b"MZ", 1, 200, TAG, 0xFFFE, len(META), zlib.crc32(META)), META]
    assert decode_frames(frames) == (BEAT, ())


@pytest.mark.parametrize(
    ("message", "payloads", "code"),
    [
        (Heartbeat(1.0), [b""] * (MAX_FRAMES - 1), "frame_count"),
        (Heartbeat(1.0), [b"\0" * (MAX_CONTROL_FRAME + 1)], "frame_size"),
        (Heartbeat(1.0), [b"\0" * MAX_CONTROL_FRAME], "message_size"),
        (make_hello(labels={"": "x" * MAX_META}), [], "meta_size"),
    ],
)
def test_what_is_too_large_is_not_sent(message: Any, payloads: list[bytes], code: str) -> None:
    with pytest.raises(MessageTooLarge) as caught:
        encode_frames(Envelope(1, 1, 0, message), payloads)
    assert caught.value.code == code


def test_payloads_come_as_bytes() -> None:
    frames = encode_frames(Envelope(1, 1, 0, make_assign(1)), [b"one", b"two"])
    opened = decode_frames([memoryview(frame) for frame in frames])
    assert opened is not None
    assert opened[1] == (b"one", b"two")
    assert all(type(payload) is bytes for payload in opened[1])
