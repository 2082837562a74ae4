"""maze_protocol.codec; hostile bytes at large are in tests/property/test_wire_hostile.py."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from maze_protocol.codec import Envelope, decode_body, decode_envelope, encode_body, encode_envelope
from maze_protocol.errors import BadMessage, MessageTooLarge, UnknownMessage
from maze_protocol.limits import MAX_META
from maze_protocol.messages import Cancel, Goodbye, Rehello
from support.messages import make_hello


def test_a_body_is_an_array_with_the_tag_first() -> None:
    assert encode_body(Goodbye("so long")) == b"\x92\x07\xa7so long"
    assert encode_envelope(Envelope(1, 2, 3, Rehello("x"))) == b"\x94\x01\x02\x03\x92\x04\xa1x"


@pytest.mark.parametrize(
    "body",
    [
        [],
        [4, 5],
        ["4"],
        [None],
        {"tag": 4},
        [5],
        "text",
        b"bytes",
        None,
        [16, [[]]],
        [8, "now"],
        [20, [-1]],
        [msgpack.ExtType(5, b"")],
        [4, msgpack.Timestamp(1)],
    ],
)
def test_what_does_not_fit_the_schema_is_a_bad_message(body: Any) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_body(msgpack.packb(body))
    assert caught.value.code == "schema"


@pytest.mark.parametrize("tag", [0, 99, 65_536, -1])
def test_an_unknown_tag_is_told_apart(tag: int) -> None:
    with pytest.raises(UnknownMessage, match=f"type {tag} "):
        decode_body(msgpack.packb([tag, "of the future"]))
    with pytest.raises(UnknownMessage, match=f"type {tag} "):
        decode_envelope(msgpack.packb([1, 2, 3, [tag]]))


@pytest.mark.parametrize("envelope", [[], [1, 2, 3], [-1, 2, 3, [4]], [1, 2.5, 3, [4]], [1, 2, 3, [5]], [1, 2, 3, 4]])
def test_a_bad_envelope_is_refused(envelope: list) -> None:
    with pytest.raises(BadMessage):
        decode_envelope(msgpack.packb(envelope))


def test_text_that_is_not_utf8_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        decode_body(b"\x92\x04\xa2\xff\xff")


def test_a_message_that_the_peer_would_refuse_is_not_sent() -> None:
    with pytest.raises(MessageTooLarge, match="65536"):
        encode_body(Cancel(tuple(range(65_537))))
    with pytest.raises(MessageTooLarge, match="65536"):
        encode_envelope(Envelope(1, 1, 0, Cancel(tuple(range(65_537)))))


def test_a_message_above_a_mebibyte_is_not_sent() -> None:
    huge = make_hello(labels={"key": "x" * MAX_META})
    with pytest.raises(MessageTooLarge, match="at most"):
        encode_body(huge)


def test_a_large_message_within_the_limits_is_sent() -> None:
    hello = make_hello(labels={"a": "x" * 70_000})
    envelope = Envelope(0, 0, 0, hello)
    assert decode_body(encode_body(hello)) == hello
    assert decode_envelope(encode_envelope(envelope)) == envelope
