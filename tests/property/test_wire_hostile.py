"""Whatever bytes come, only errors of the remote side leave the codec, and no lie about sizes costs memory or time."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maze_protocol.codec import Envelope, decode_body, decode_envelope, encode_body, encode_envelope
from maze_protocol.errors import RemoteProtocolError
from maze_protocol.framing import MAGIC, PREAMBLE, decode_frames, encode_frames
from maze_protocol.limits import MAX_META, PROTOCOL_MAJOR
from maze_protocol.messages import MESSAGES, Cancel, Hello
from maze_protocol.topics import parse_topic
from support.messages import make_assign, sample, structs

ANY_MESSAGE = st.one_of(*map(structs, MESSAGES))
OPCODES = st.sampled_from([bytes([code]) for code in (*range(0x80, 0xA2), *range(0xC0, 0xE0), 0xFF, 0x00, 0x10)])
GRAMMAR = st.lists(st.one_of(OPCODES, OPCODES, st.binary(max_size=5)), max_size=60).map(b"".join)
SOUP = st.one_of(st.binary(max_size=200), GRAMMAR, GRAMMAR.map(lambda tail: b"\x93\x01\x01\x01" + tail))


def refused_or_read(decode: Any, data: Any) -> None:
    """Decode; anything but a result or an error of the remote side fails the test."""
    try:
        decode(data)
    except RemoteProtocolError:
        return


@given(SOUP)
@example(b"\x91" * 100_000)
@example(b"\x92\x04\x91" + b"\x91" * 100_000)
@example(b"\x93\x04\xa0" + b"\x91" * 100_000)
@example(b"\x92\x04\xa2\xff\xff")
@example(b"\xc1")
@example(b"")
def test_soup_is_refused(data: bytes) -> None:
    refused_or_read(decode_body, data)
    refused_or_read(decode_envelope, data)
    refused_or_read(parse_topic, data)


@given(ANY_MESSAGE, st.data())
def test_every_truncation_is_refused(message: Any, data: st.DataObject) -> None:
    body = encode_body(message)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(RemoteProtocolError):
        decode_body(body[:cut])
    with pytest.raises(RemoteProtocolError):
        decode_body(body + data.draw(st.binary(min_size=1, max_size=9)))


@given(ANY_MESSAGE, st.data())
def test_mutations_are_refused_or_read(message: Any, data: st.DataObject) -> None:
    body = bytearray(encode_envelope(Envelope(1, 2, 3, message)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.one_of(OPCODES, st.binary(max_size=3)))
        if not body:
            break
    refused_or_read(decode_envelope, bytes(body))


@given(
    magic=st.sampled_from([MAGIC, MAGIC, b"ZM"]),
    major=st.sampled_from([PROTOCOL_MAJOR, PROTOCOL_MAJOR, 0, 255]),
    numbers=st.tuples(*[st.one_of(st.integers(0, 60), st.integers(0, 65_535))] * 2),
    meta=st.one_of(SOUP, ANY_MESSAGE.map(lambda message: encode_envelope(Envelope(1, 1, 0, message)))),
    honest=st.booleans(),
    payloads=st.lists(st.binary(max_size=4), max_size=17),
)
def test_frames_of_any_kind_are_refused_or_read(
    magic: bytes, major: int, numbers: tuple[int, int], meta: bytes, honest: bool, payloads: list[bytes]
) -> None:
    length, crc = (len(meta), zlib.crc32(meta)) if honest else (len(meta) + 1, 7)
    preamble = PREAMBLE.pack(magic, major, 9, *numbers, length, crc)
    refused_or_read(decode_frames, [preamble, meta, *payloads])
    refused_or_read(decode_frames, [memoryview(meta), preamble, *payloads])
    refused_or_read(decode_frames, payloads)


@given(structs(Hello), st.integers(0, 200), st.integers(1, 255))
def test_a_flipped_bit_is_noticed_by_the_checksum(hello: Hello, place: int, mask: int) -> None:
    frames = encode_frames(Envelope(0, 0, 0, hello))
    meta = bytearray(frames[1])
    meta[place % len(meta)] ^= mask
    with pytest.raises(RemoteProtocolError, match="checksum"):
        decode_frames([frames[0], bytes(meta)])


@pytest.mark.parametrize("opcode", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_a_claimed_length_costs_nothing(opcode: bytes) -> None:
    """array32, map32, bin32, str32, ext32 that announce up to 4 GiB, wherever a value can stand."""
    good = encode_body(make_assign(1, 2))
    lies = [good[:cut] + opcode + struct.pack(">I", 0xFFFF_FFF0) + good[cut:] for cut in range(len(good))]
    tracemalloc.start()
    for lie in lies:
        with pytest.raises(RemoteProtocolError):
            decode_body(lie)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_no_float_of_a_message_may_be_nan_or_infinite(kind: type[msgspec.Struct]) -> None:
    body = encode_body(sample(kind))
    floats = [place for place in range(len(body) - 8) if body[place] == 0xCB]
    for place in floats:
        for hostile in (float("nan"), float("inf"), float("-inf")):
            with pytest.raises(RemoteProtocolError):
                decode_body(body[: place + 1] + struct.pack(">d", hostile) + body[place + 9 :])


def test_the_longest_list_is_read_and_a_longer_one_refused() -> None:
    longest = encode_body(Cancel(tuple([1] * 65_536)))
    assert decode_body(longest) == Cancel(tuple([1] * 65_536))
    longer = longest.replace(struct.pack(">BI", 0xDD, 65_536), struct.pack(">BI", 0xDD, 65_537) + b"\x01")
    with pytest.raises(RemoteProtocolError, match="65536"):
        decode_body(longer)


@pytest.mark.parametrize("decode", [decode_body, decode_envelope])
def test_nothing_above_a_mebibyte_is_looked_at(decode: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="at most"):
        decode(b"\x00" * (MAX_META + 1))
