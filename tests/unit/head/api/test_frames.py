"""Encoded events joined to frames: of bounded size, in both formats, for one run and for many."""

from __future__ import annotations

import msgspec
import pytest

from maze_head.api.frames import FRAME_BYTES, framed, numbered
from maze_head.api.render import JSON, PACKED
from maze_protocol.streams import MAX_SEQ, Events, PackedEvent, Told


@pytest.mark.parametrize("fmt", [JSON, PACKED])
@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_frames_are_arrays_of_the_events(fmt: str, count: int) -> None:
    encode, decode = (
        (msgspec.json.encode, msgspec.json.decode) if fmt == JSON else (msgspec.msgpack.encode, msgspec.msgpack.decode)
    )
    events = [encode({"seq": number}) for number in range(count)]
    assert [event["seq"] for frame in framed(events, fmt) for event in decode(frame)] == list(range(count))


def test_frames_are_bounded_and_never_cut_an_event() -> None:
    events = [b'"' + b"x" * (FRAME_BYTES // 2) + b'"'] * 3 + [b'"' + b"y" * (3 * FRAME_BYTES) + b'"']
    frames = framed(events, JSON)
    assert [len(msgspec.json.decode(frame)) for frame in frames] == [1, 1, 1, 1]
    assert framed([], JSON) == []


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
@pytest.mark.parametrize("number", [0, 1, 128, MAX_SEQ])
def test_a_numbered_frame_holds_the_array_as_it_is(count: int, number: int) -> None:
    data = msgspec.Raw(msgspec.msgpack.encode({"task_id": "t"}))
    events = [PackedEvent(seq, 1, 0.5, "start_task", data) for seq in range(count)]
    (array,) = framed([msgspec.msgpack.encode(event) for event in events], PACKED, 1 << 30)
    told = msgspec.msgpack.decode(numbered(number, array, PACKED, sealed=count == 1), type=Told)
    assert isinstance(told, Events)
    assert (told.id, told.sealed, len(told.events)) == (number, count == 1, count)
    assert told.events[-1].seq == count - 1
    assert bytes(told.events[0].data) == bytes(data)
