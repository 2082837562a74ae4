"""maze_protocol.values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.errors import BadMessage
from maze_protocol.limits import FLUSH_BYTES, INLINE_VALUE, MAX_FRAMES
from maze_protocol.values import MSGPACK, PICKLE, Value, ValuePacker, body_of

SIZES = st.lists(st.sampled_from([0, 1, 40_000, INLINE_VALUE, INLINE_VALUE + 1, 90_000]), max_size=40)


@given(SIZES)
def test_packed_bodies_are_found_again(sizes: list[int]) -> None:
    packer = ValuePacker()
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    values = [packer.pack(Value(PICKLE, len(body)), body) for body in bodies]
    payloads = packer.payloads
    assert [body_of(value, payloads) for value in values] == bodies
    assert all(value.codec == PICKLE for value in values)
    assert packer.inline == sum(len(value.body) for value in values) <= FLUSH_BYTES
    assert len(payloads) <= MAX_FRAMES - 2


@given(SIZES)
def test_what_fits_shares_no_frame(sizes: list[int]) -> None:
    packer = ValuePacker()
    fits = packer.fits(sizes)
    values = [packer.pack(Value(MSGPACK, size), b"x" * size) for size in sizes]
    frames = [value.frame for value in values if value.frame]
    assert not fits or len(frames) == len(set(frames))


def test_a_frame_of_one_value_is_not_copied() -> None:
    body = b"x" * (INLINE_VALUE + 1)
    packer = ValuePacker()
    value = packer.pack(Value(MSGPACK, len(body)), body)
    assert body_of(value, packer.payloads) is body


@pytest.mark.parametrize(
    ("value", "payloads", "code"),
    [
        (Value(MSGPACK, 3, b"", 1), [], "payload_missing"),
        (Value(MSGPACK, 3, b"", 2), [b"abc"], "payload_missing"),
        (Value(MSGPACK, 3, b"", 1), [b"ab"], "payload_size"),
        (Value(MSGPACK, 3, b"", 1, None, 2), [b"abcd"], "payload_size"),
        (Value(MSGPACK, 3, b"ab"), [], "payload_size"),
    ],
)
def test_a_value_that_lies_about_its_bytes_is_refused(value: Value, payloads: list[bytes], code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        body_of(value, payloads)
    assert caught.value.code == code
