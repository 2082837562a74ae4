"""Events as the SDK's readers get them: what the head renders, and what the SDK renders from the log, are the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze._events import LogEvent, events_of
from maze_head.api.encoder import encode_segment
from maze_head.api.frames import framed, numbered
from maze_head.api.render import LOG, PACKED, GraphNames
from maze_protocol.events import (
    AttemptLost,
    ObjectLost,
    RunEvent,
    RunFinished,
    RunSubmitted,
    Segment,
    TaskFinished,
    TaskReused,
    TaskSkipped,
    TaskStarted,
)
from maze_protocol.messages import ErrorInfo
from maze_protocol.streams import LogPart, PackedEvent, Told
from maze_protocol.values import MSGPACK, PICKLE, ObjectRef, OutputValue, Value
from support.api_double import RUN_TEXT, WORKFLOW_ID, WORKFLOW_TEXT, graph_of
from support.messages import structs

GRAPH = graph_of(["one", "two", "three"])
NAMES = GraphNames(RUN_TEXT, WORKFLOW_TEXT, GRAPH)
OUTPUTS = {
    0: (OutputValue("y", Value(MSGPACK, 1, b"\x07")), OutputValue("z", Value(PICKLE, 3, b"abc"))),
    1: (OutputValue("y", Value(PICKLE, 70_000, ref=ObjectRef(77, 0, 70_000, 0)), "numpy.ndarray"),),
    2: (),
}
TASKS = st.integers(0, 2)


def of_this_run(event: Any, task: int, other: int) -> RunEvent:
    """Let an event be about tasks that there are."""
    changed = {"task": task, "because": other - 1, "needed_by": other - 1}
    fields: RunEvent = msgspec.structs.replace(
        event, **{name: number for name, number in changed.items() if name in event.__struct_fields__}
    )
    return fields


EVENTS = st.builds(of_this_run, st.one_of(*map(structs, RunEvent.__args__)), TASKS, TASKS)
SEGMENTS = st.builds(
    Segment, st.integers(1, 9), st.floats(0, 2e9), st.integers(1, 1000), st.lists(EVENTS, min_size=1).map(tuple)
)


def told(segment: Segment, fmt: str) -> Any:
    """Return what the event socket says of a segment."""
    encoded = encode_segment(segment, NAMES, OUTPUTS, fmt)
    (array,) = framed(encoded.pieces, fmt, 1 << 30)
    return msgspec.msgpack.decode(numbered(1, array, fmt, sealed=encoded.sealed), type=Told)


def of_log(segment: Segment) -> list[LogEvent]:
    """Return the events of a segment for a reader of the log."""
    return [event for part in told(segment, LOG).parts for event in events_of(RUN_TEXT, part)]


def facts(event: PackedEvent | LogEvent) -> tuple[Any, ...]:
    return event.seq, event.epoch, event.time, event.type, event.whole()


@given(SEGMENTS)
def test_both_ways_tell_the_same(segment: Segment) -> None:
    rendered = told(segment, PACKED)
    assert list(map(facts, of_log(segment))) == list(map(facts, rendered.events))
    assert told(segment, LOG).sealed == rendered.sealed


def one(*events: RunEvent) -> list[tuple[PackedEvent, LogEvent]]:
    segment = Segment(3, 5.0, 7, events)
    return list(zip(told(segment, PACKED).events, of_log(segment), strict=True))


def test_both_answer_what_a_reader_of_results_asks() -> None:
    about = WORKFLOW_TEXT, "task_" + "00" * 16
    for event in one(TaskStarted(0, 1, 5, "n", "10.0.0.7", 1.0))[0]:
        assert event.start() == (*about, "10.0.0.7")
    for event in one(TaskFinished(0, 1, 5, (), 1.0))[0]:
        assert (event.task(), event.returned()) == (about, {"y": [0, b"\x07"], "z": [1, b"abc"]})
    for event in one(TaskReused(1, ()))[0]:
        assert event.returned() == {"y": [PICKLE, None, 70_000, "numpy.ndarray"]}
    for event in one(RunSubmitted(b"r" * 16, WORKFLOW_ID, 1, 3))[0]:
        assert event.whole()["tasks"] == 3


def test_a_part_names_who_is_to_blame_and_what_a_task_allows() -> None:
    error = ErrorInfo("user", "ValueError", "bad thing")
    (part,) = told(
        Segment(3, 5.0, 7, (TaskSkipped(1, 0), AttemptLost(2, 1, 5, error), ObjectLost(0, (), "n"))), LOG
    ).parts
    assert [number for number, _, _ in part.tasks] == [1, 0, 2]
    assert part.retries == ((2, 0),)
    skipped, lost, gone = [event.whole() for event in events_of(RUN_TEXT, part)]
    assert skipped["because"] == gone["task_id"] == "task_" + "00" * 16
    assert (lost["task_name"], lost["retries"], gone["needed_by"]) == ("three", 0, "")


def test_a_start_that_only_rebuilds_is_none_that_readers_wait_for() -> None:
    ((rendered, raw),) = one(TaskStarted(0, 2, 8, "n1", "10.0.0.1", 5.0, rebuild=True))
    assert rendered.type == raw.type == "rebuild_started"


def test_a_reader_is_given_the_types_that_it_wants() -> None:
    events = (
        TaskReused(0, ()),
        TaskStarted(1, 1, 5, "n", "ip", 1.0),
        TaskFinished(1, 1, 5, (), 1.0),
        TaskReused(2, ()),
    )
    (part,) = told(Segment(3, 5.0, 7, events), LOG).parts
    found = events_of(RUN_TEXT, part, {"finish_task", "task_reused"})
    assert [(event.seq, event.type) for event in found] == [(7, "task_reused"), (9, "finish_task"), (10, "task_reused")]
    assert [list(event.returned()) for event in found] == [["y", "z"], ["y"], []], "each has its own values"
    assert [event.carries_all for event in found] == [True, False, True]


@pytest.mark.parametrize("missing", ["tasks", "outputs"])
def test_a_part_that_lacks_what_it_names_is_read_as_far_as_it_goes(missing: str) -> None:
    (part,) = told(Segment(3, 5.0, 7, (TaskFinished(0, 1, 5, (), 1.0), RunFinished(1, 0, 0))), LOG).parts
    poorer: LogPart = msgspec.structs.replace(part, **{missing: ()})
    first, last = events_of(RUN_TEXT, poorer)
    assert (first.seq, last.type) == (7, "finish_workflow")
    assert first.whole()["task_id"] == ("" if missing == "tasks" else "task_" + "00" * 16)
    assert bool(first.returned()) is (missing == "tasks")
