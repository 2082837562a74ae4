"""Frames of a WebSocket: any cut of the bytes gives the same messages, and rules that are broken are named."""

from __future__ import annotations

import pytest

from maze_protocol.websocket import (
    BINARY,
    CLOSE,
    NO_CODE,
    PING,
    PONG,
    TEXT,
    BadWebSocket,
    FrameReader,
    close_code,
    frame,
)

KEY = b"\x01\x02\x03\xff"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
@pytest.mark.parametrize("key", [b"", KEY])
def test_a_message_of_any_size_arrives(size: int, key: bytes) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    assert FrameReader(masked=bool(key)).feed(frame(BINARY, payload, key)) == [(BINARY, payload)]


def test_the_examples_of_the_rfc() -> None:
    assert frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frame(TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert FrameReader(masked=False).feed(bytes.fromhex("010348656c 80026c6f")) == [(TEXT, b"Hello")]
    assert FrameReader(masked=False).feed(bytes.fromhex("890548656c6c6f")) == [(PING, b"Hello")]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 126, 1_000, 100_000])
@pytest.mark.parametrize("masked", [False, True])
def test_bytes_may_come_in_any_pieces(step: int, masked: bool) -> None:
    key = KEY if masked else b""
    sent = [(BINARY, b"one"), (PING, b"?"), (BINARY, bytes(70_000)), (TEXT, b"x" * 200), (CLOSE, b"\x03\xe8")]
    data = b"".join(frame(kind, payload, key) for kind, payload in sent)
    reader = FrameReader(masked=masked)
    assert [each for at in range(0, len(data), step) for each in reader.feed(data[at : at + step])] == sent


def test_control_frames_come_between_the_parts_of_a_message() -> None:
    reader = FrameReader(masked=False)
    first, middle, last = bytearray(frame(BINARY, b"a")), bytearray(frame(0, b"b")), frame(0, b"c")
    first[0] &= 0x7F
    middle[0] &= 0x7F
    assert reader.feed(bytes(first)) == []
    assert reader.feed(frame(PONG, b"!") + bytes(middle)) == [(PONG, b"!")]
    assert reader.feed(last + frame(BINARY, b"d")) == [(BINARY, b"abc"), (BINARY, b"d")]


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b"\xc2\x00", False),  # a reserved bit: nothing was agreed that uses it
        (b"\x83\x00", False),  # opcodes of the future
        (b"\x8b\x00", False),
        (b"\x09\x00", False),  # a control frame in parts
        (b"\x89\x7e\x00\x7e", False),  # a long one
        (b"\x80\x00", False),  # goes on with nothing
        (frame(BINARY, b"x", KEY), False),
        (frame(BINARY, b"x"), True),
    ],
)
def test_broken_rules_are_refused(data: bytes, masked: bool) -> None:
    with pytest.raises(BadWebSocket) as caught:
        FrameReader(masked=masked).feed(data)
    assert (caught.value.close, caught.value.code) == (1002, "bad_websocket")


def test_a_message_does_not_begin_within_another_one() -> None:
    reader = FrameReader(masked=False)
    reader.feed(b"\x02\x01a")
    with pytest.raises(BadWebSocket, match="begins in another"):
        reader.feed(frame(BINARY, b"b"))


def test_what_is_too_big_is_refused_before_it_has_come() -> None:
    reader = FrameReader(masked=False, limit=4)
    assert reader.feed(frame(BINARY, b"four") + b"\x02\x03abc") == [(BINARY, b"four")]
    with pytest.raises(BadWebSocket) as caught:
        reader.feed(b"\x80\x02")
    assert caught.value.close == 1009


@pytest.mark.parametrize(("payload", "code"), [(b"", NO_CODE), (b"\x03", NO_CODE), (b"\x03\xe9bye", 1001)])
def test_a_close_frame_tells_its_code(payload: bytes, code: int) -> None:
    assert close_code(payload) == code
