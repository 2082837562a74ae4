"""Every message survives the wire, `msgpack` agrees about the bytes, and versions read each other."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_protocol.codec import Envelope, decode_body, decode_envelope, encode_body, encode_envelope
from maze_protocol.events import RunEvent, Segment
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import MESSAGES
from support.messages import minimal, sample, structs

EVENTS = RunEvent.__args__
ANY_MESSAGE = st.one_of(*map(structs, MESSAGES))
PAYLOADS = st.lists(st.binary(max_size=100), max_size=14).map(tuple)


def plain(thing: Any) -> Any:
    """Return what a msgpack reader sees: structs as lists, tags first."""
    if isinstance(thing, msgspec.Struct):
        tag = thing.__struct_config__.tag
        head = [] if tag is None else [tag]
        return head + [plain(getattr(thing, name)) for name in thing.__struct_fields__]
    if isinstance(thing, (tuple, list)):
        return [plain(item) for item in thing]
    if isinstance(thing, dict):
        return {plain(key): plain(value) for key, value in thing.items()}
    return thing


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=25)
def test_a_body_decodes_to_the_same_message(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(structs(kind))
    assert decode_body(encode_body(message)) == message


@given(st.tuples(*[st.integers(0, (1 << 64) - 1)] * 3), ANY_MESSAGE, PAYLOADS)
def test_frames_decode_to_the_same_envelope_and_payloads(
    numbers: tuple[int, int, int], message: Any, payloads: tuple[bytes, ...]
) -> None:
    envelope = Envelope(*numbers, message)
    frames = encode_frames(envelope, payloads)
    assert decode_frames(frames) == (envelope, payloads)
    assert decode_frames([memoryview(frame) for frame in frames]) == (envelope, payloads)


@given(ANY_MESSAGE)
def test_msgpack_reads_what_we_write_and_we_read_what_it_writes(message: Any) -> None:
    body = encode_body(message)
    seen = msgpack.unpackb(body, strict_map_key=False)
    assert seen == plain(message)
    assert decode_body(msgpack.packb(seen)) == message


@given(structs(Segment))
def test_a_segment_survives_and_msgpack_agrees(segment: Segment) -> None:
    body = msgspec.msgpack.encode(segment)
    assert msgspec.msgpack.decode(body, type=Segment) == segment
    assert msgpack.unpackb(body, strict_map_key=False) == plain(segment)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_an_old_reader_ignores_fields_of_a_newer_version(kind: type[msgspec.Struct]) -> None:
    """At every level: a newer minor may append to any struct."""
    message = sample(kind)
    newer = msgpack.packb(_append_everywhere(message))
    assert decode_body(newer) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_new_reader_fills_in_what_an_older_version_did_not_have(kind: type[msgspec.Struct]) -> None:
    message = minimal(kind)
    required = len([f for f in _fields(kind) if f.required])
    older = msgpack.packb(plain(message)[: 1 + required])
    assert decode_body(older) == message


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_versions_of_the_run_log_read_each_other(kind: type[msgspec.Struct]) -> None:
    event, short = sample(kind), minimal(kind)
    required = len([f for f in _fields(kind) if f.required])
    newer = [3, 1.5, 7, [_append_everywhere(event)], "of the future"]
    older = [3, 1.5, 7, [plain(short)[: 1 + required]]]
    assert msgspec.msgpack.decode(msgpack.packb(newer), type=Segment) == Segment(3, 1.5, 7, (event,))
    assert msgspec.msgpack.decode(msgpack.packb(older), type=Segment) == Segment(3, 1.5, 7, (short,))


def test_an_envelope_may_grow_too() -> None:
    envelope = Envelope(1, 2, 3, sample(MESSAGES[0]))
    newer = msgpack.packb([*plain(envelope), {"trace": b"of the future"}])
    assert decode_envelope(newer) == envelope
    assert decode_envelope(encode_envelope(envelope)) == envelope


def test_required_fields_come_first_so_that_appending_is_possible() -> None:
    for kind in (*MESSAGES, *EVENTS):
        required = [field.required for field in _fields(kind)]
        assert required == sorted(required, reverse=True), kind


def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.inspect.Field, ...]:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return info.fields


def _append_everywhere(thing: Any) -> Any:
    if isinstance(thing, msgspec.Struct):
        tag = thing.__struct_config__.tag
        head = [] if tag is None else [tag]
        own = [_append_everywhere(getattr(thing, name)) for name in thing.__struct_fields__]
        return [*head, *own, "newer", [None, {"x": 1}]]
    if isinstance(thing, tuple):
        return [_append_everywhere(item) for item in thing]
    return thing
