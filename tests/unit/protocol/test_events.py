"""maze_protocol.events."""

from __future__ import annotations

import msgspec

from maze_protocol.events import SEALING, TYPE_NAMES, RunEvent, Segment
from support.messages import sample

EVENTS = RunEvent.__args__


def test_every_event_has_a_name_and_a_tag_of_its_own() -> None:
    assert set(TYPE_NAMES) == set(EVENTS)
    assert len(set(TYPE_NAMES.values())) == len(EVENTS)
    assert len({event.__struct_config__.tag for event in EVENTS}) == len(EVENTS)


def test_the_reference_keeps_its_names() -> None:
    assert {"start_task", "finish_task", "task_exception", "finish_workflow"} <= set(TYPE_NAMES.values())


def test_only_the_ends_of_a_run_seal_its_log() -> None:
    assert [TYPE_NAMES[event] for event in SEALING] == ["finish_workflow", "cancel_workflow"]


def test_a_segment_holds_every_event() -> None:
    segment = Segment(1, 2.0, 3, tuple(sample(event) for event in EVENTS))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(segment), type=Segment) == segment
