"""The log as it is: cut where a frame would be full, with names and values for what each part tells."""

from __future__ import annotations

import msgspec
import pytest

from maze_head.api.log_parts import EVENT_BYTES, parts
from maze_protocol.events import RunFinished, Segment, TaskFinished, TaskLeased, TaskStarted
from maze_protocol.resources import Claim
from maze_protocol.streams import LogPart
from maze_protocol.values import MSGPACK, OutputValue, Value
from support.api_double import WORKFLOW_ID, graph_of

COUNT = 10
GRAPH = graph_of([f"t{number}" for number in range(COUNT)])
OUTPUTS = {number: (OutputValue("y", Value(MSGPACK, 1000, b"x" * 1000)),) for number in range(COUNT)}
SEGMENT = Segment(
    3, 5.0, 7, (TaskStarted(0, 1, 5, "n", "ip", 1.0), *(TaskFinished(number, 1, 5, (), 1.0) for number in range(COUNT)))
)


def read(limit: int) -> tuple[list[int], list[LogPart]]:
    starts, encoded = parts(SEGMENT, GRAPH, OUTPUTS, limit)
    return starts, [msgspec.msgpack.decode(each, type=LogPart) for each in encoded]


def test_what_fits_is_one_part() -> None:
    starts, (part,) = read(1 << 20)
    assert starts == [7]
    assert (part.epoch, part.time, part.workflow_id, part.first_seq) == (3, 5.0, WORKFLOW_ID, 7)
    assert part.events == SEGMENT.events
    assert part.outputs == tuple(OUTPUTS.values())
    assert part.tasks == tuple((number, bytes([number]) * 16, f"t{number}") for number in range(COUNT))


@pytest.mark.parametrize("limit", [1, 1000 + EVENT_BYTES, 1000 + 2 * EVENT_BYTES, 3000 + 3 * EVENT_BYTES])
def test_much_is_cut_into_parts_that_are_whole_in_themselves(limit: int) -> None:
    starts, read_parts = read(limit)
    assert starts == [part.first_seq for part in read_parts]
    assert tuple(event for part in read_parts for event in part.events) == SEGMENT.events
    for part in read_parts:
        finished = [event.task for event in part.events if isinstance(event, TaskFinished)]
        assert part.outputs == tuple(OUTPUTS[task] for task in finished)
        assert len(part.events) == 1 or EVENT_BYTES * len(part.events) + 1000 * len(finished) <= limit
        assert {event.task for event in part.events} == {number for number, _, _ in part.tasks}


def test_what_is_about_no_task_names_none() -> None:
    _, (encoded,) = parts(Segment(3, 5.0, 9, (RunFinished(1, 0, 0),)), GRAPH, {}, 1000)
    part = msgspec.msgpack.decode(encoded, type=LogPart)
    assert (part.tasks, part.outputs, part.retries) == ((), (), ())


def test_leases_are_left_out_with_the_names_that_only_they_need() -> None:
    leases = tuple(TaskLeased(number, 1, 5, "n", Claim(1000, 0), 1) for number in (8, 9))
    segment = Segment(3, 5.0, 7, (*SEGMENT.events[:3], *leases))
    starts, (encoded,) = parts(segment, GRAPH, OUTPUTS, 1 << 20, leases=False)
    part = msgspec.msgpack.decode(encoded, type=LogPart)
    assert (starts, part.events) == ([7], SEGMENT.events[:3])
    assert [number for number, _, _ in part.tasks] == [0, 1]
    assert parts(Segment(3, 5.0, 7, leases), GRAPH, {}, 1 << 20, leases=False) == ([], [])
