"""The log as it is, for readers who render for themselves: events with the texts and the values that they name. Pure.

A segment is one part, or several if much was returned: a part takes about as much as a frame may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from maze_head.core.graph import Graph
from maze_protocol.events import AttemptLost, RunEvent, Segment, TaskFinished, TaskReused
from maze_protocol.rendering import mentioned
from maze_protocol.streams import LogPart
from maze_protocol.values import OutputValue

__all__ = ["parts"]

EVENT_BYTES: Final = 64
"""What an event takes beside what its task returned, about."""
Outputs = Mapping[int, Sequence[OutputValue]]
_encode: Final = msgspec.msgpack.Encoder().encode


def parts(segment: Segment, graph: Graph, outputs: Outputs, limit: int) -> tuple[list[int], list[bytes]]:
    """Return the number of the first event of each part, and the parts, encoded.

    Args:
        segment: of the log.
        graph: of its run.
        outputs: accepted ones, by task number, of the finished and reused tasks of the segment, and no others.
        limit: bytes of a part, about; one event is never cut.
    """
    starts, encoded = [], []
    first = segment.first_seq
    for events in _cut(segment.events, outputs, limit):
        starts.append(first)
        encoded.append(_encode(_part(segment, first, events, graph, outputs)))
        first += len(events)
    return starts, encoded


def _cut(events: tuple[RunEvent, ...], outputs: Outputs, limit: int) -> Iterator[tuple[RunEvent, ...]]:
    if EVENT_BYTES * len(events) + sum([_size(returned) for returned in outputs.values()]) <= limit:
        yield events
        return
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
        return _size(outputs[event.task])
    return 0


def _size(outputs: Sequence[OutputValue]) -> int:
    return sum([len(output.value.body) for output in outputs])


def _part(segment: Segment, first: int, events: tuple[RunEvent, ...], graph: Graph, outputs: Outputs) -> LogPart:
    return LogPart(
        segment.epoch,
        segment.time,
        graph.workflow_id,
        first,
        events,
        tuple([(task, graph.ids[task], graph.task_name(task)) for task in mentioned(events) if 0 <= task < len(graph)]),
        tuple([tuple(outputs[each.task]) for each in events if isinstance(each, (TaskFinished, TaskReused))]),
        _retries(events, graph),
    )


def _retries(events: Iterable[RunEvent], graph: Graph) -> tuple[tuple[int, int], ...]:
    lost = {event.task: None for event in events if isinstance(event, AttemptLost)}
    return tuple([(task, graph.spec(task).retries) for task in lost])
