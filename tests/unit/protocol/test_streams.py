"""The language of the event socket: what a head and an SDK of different versions make of each other's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maze_protocol.events import RunEvent, TaskFinished, TaskStarted
from maze_protocol.streams import KINDS, Events, Log, LogPart, PackedEvent, Told
from maze_protocol.values import MSGPACK, OutputValue, Value

PART = LogPart(
    3, 5.5, b"w" * 16, 7,
    (TaskStarted(0, 1, 9, "n", "ip", 1.5), TaskFinished(0, 1, 9, (), 2.5)),
    ((0, b"t" * 16, "load"),), ((OutputValue("y", Value(MSGPACK, 1, b"\x07")),),), ((0, 2),),
)  # fmt: skip


def test_every_kind_of_event_has_a_tag_below_the_number_of_kinds() -> None:
    assert sorted(kind.__struct_config__.tag for kind in RunEvent.__args__) == list(range(1, KINDS + 1))


def test_a_part_of_the_log_has_these_places() -> None:
    told: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(Log(1, False, [PART])))
    started = [3, 0, 1, 9, "n", "ip", 1.5, False, ""]
    finished = [4, 0, 1, 9, [], 2.5, 0.0, 0, ""]
    outputs = [[["y", [MSGPACK, 1, b"\x07", 0, None, 0], ""]]]
    tasks = [[0, b"t" * 16, "load"]]
    part = [3, 5.5, b"w" * 16, 7, [started, finished], tasks, outputs, [[0, 2]]]
    assert told == {"op": "log", "id": 1, "sealed": False, "parts": [part]}


def test_what_a_later_version_appends_is_passed_over() -> None:
    told: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(Log(1, False, [PART])))
    (part,) = told["parts"]
    part.append("more")
    for fields in (part[4][0], part[4][1], part[6][0][0]):
        fields.append("more")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Told) == Log(1, False, [PART])


def test_a_kind_that_is_not_known_is_none_of_the_log() -> None:
    told: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(Log(1, False, [PART])))
    told["parts"][0][4].append([KINDS + 1, 0])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Told)


def packed(**data: Any) -> PackedEvent:
    return PackedEvent(7, 3, 5.5, "…", msgspec.Raw(msgspec.msgpack.encode(data)))


def test_of_a_rendered_event_only_what_is_asked_for_is_decoded() -> None:
    about = {"workflow_id": "workflow_1", "task_id": "task_1", "later": {"no": ["one", "looks"]}}
    assert packed(**about).task() == ("workflow_1", "task_1")
    assert packed(**about, node_ip="10.0.0.7").start() == ("workflow_1", "task_1", "10.0.0.7")
    assert packed(**about, result={"y": [0, b"\x07"]}).returned() == {"y": [0, b"\x07"]}
    assert packed(**about).whole() == about
    told = Events(1, True, [packed(**about)])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Told) == told
