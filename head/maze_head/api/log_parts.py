"""The log as it is, for readers who render for themselves: events with the texts and the values that they name. Pure.

A segment is one part, or several if much was returned: a part takes about as much as a frame may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from maze_head.core.graph import Graph
from maze_protocol.events import AttemptLost, RunEvent, Segment, TaskFinished, TaskLeased, TaskReused
from maze_protocol.rendering import mentioned
from maze_protocol.streams import LogPart
from maze_protocol.values import OutputValue

__all__ = ["RETURNING", "parts"]

RETURNING: Final = frozenset({TaskFinished, TaskReused})
"""Events with which the values travel that their tasks returned."""
EVENT_BYTES: Final = 64
"""What an event takes beside what its task returned, about."""
Outputs = Mapping[int, tuple[OutputValue, ...]]
_encode: Final = msgspec.msgpack.Encoder().encode


def parts(
    segment: Segment, graph: Graph, outputs: Outputs, limit: int, *, leases: bool = True
) -> tuple[list[int], list[bytes]]:
    """Return the number of the first event of each part, and the parts, encoded; nothing if nothing is wanted.

    Args:
        segment: of the log.
        graph: of its run.
        outputs: accepted ones, by task number, of the finished and reused tasks of the segment, and no others.
        limit: bytes of a part, about; one event is never cut.
        leases: False leaves out the TaskLeased at the end; a commit places tasks last, so that is all of them.
    """
    starts, encoded = [], []
    first = segment.first_seq
    wanted = segment.events if leases else _without_leases(segment.events)
    for events in _cut(wanted, outputs, limit):
        starts.append(first)
        encoded.append(_encode(_part(segment, first, events, graph, outputs)))
        first += len(events)
    return starts, encoded


def _without_leases(events: tuple[RunEvent, ...]) -> tuple[RunEvent, ...]:
    end = len(events)
    while end and type(events[end - 1]) is TaskLeased:
        end -= 1
    return events[:end]


def _cut(events: tuple[RunEvent, ...], outputs: Outputs, limit: int) -> Iterable[tuple[RunEvent, ...]]:
    room = limit - EVENT_BYTES * len(events)
    if sum([len(output.value.body) for returned in outputs.values() for output in returned]) <= room:
        return (events,) if events else ()
    return _cuts(events, outputs, limit)


def _cuts(events: tuple[RunEvent, ...], outputs: Outputs, limit: int) -> Iterator[tuple[RunEvent, ...]]:
    start = size = 0
    for place, event in enumerate(events):
        takes = EVENT_BYTES + _returned(event, outputs)
        if size + takes > limit and place > start:
            yield events[start:place]
            start, size = place, 0
        size += takes
    yield events[start:]


def _returned(event: RunEvent, outputs: Outputs) -> int:
    if isinstance(event, (TaskFinished, TaskReused)):
        return sum([len(output.value.body) for output in outputs[event.task]])
    return 0


def _part(segment: Segment, first: int, events: tuple[RunEvent, ...], graph: Graph, outputs: Outputs) -> LogPart:
    count, ids, name = len(graph), graph.ids, graph.task_name
    lost = dict.fromkeys([event.task for event in events if type(event) is AttemptLost])
    ended = [event.task for event in events if type(event) in RETURNING]  # type: ignore[union-attr]  # all have one
    return LogPart(
        segment.epoch,
        segment.time,
        graph.workflow_id,
        first,
        events,
        tuple([(task, ids[task], name(task)) for task in mentioned(events) if 0 <= task < count]),
        tuple([outputs[task] for task in ended]),
        tuple([(task, graph.spec(task).retries) for task in lost]),
    )
