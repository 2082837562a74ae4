"""From the run log to what readers see. Pure: names and outputs come in as arguments.

The log names tasks by number; here ids and names are filled in. Two formats: `msgpack`, where every output value is
[codec, bytes] and only the client decodes it, and `json`, where values of the MessagePack codec appear as JSON and
pickled ones as a note of their size, since the head never unpickles. An object is told by what it is and where its
bytes are fetched, in both. docs/api.md lists the renderings.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from maze_head.core.graph import Graph
from maze_protocol.events import RunEvent, Segment, TaskReused
from maze_protocol.ids import TASK, format_id
from maze_protocol.rendering import Data, Finished, Names, data_of, packed, type_of
from maze_protocol.values import FILE, MSGPACK, OutputValue, Value

__all__ = [
    "AS_IT_IS", "JSON", "LOG", "PACKED", "STORY", "GraphNames", "encoded", "href", "object_json", "plain", "render",
    "seed_value", "value_json",
]  # fmt: skip

JSON: Final = "json"
PACKED: Final = "msgpack"
LOG: Final = "log"
STORY: Final = "story"
"""The log without the leases of tasks, which most readers have no use for."""
AS_IT_IS: Final = frozenset({LOG, STORY})
"""Not rendered: readers are sent the log as it is (log_parts.py)."""
MAX_DEPTH: Final = 100
"""Lists and dictionaries in each other: what every JSON reader takes, and far from any interpreter's own limit."""
REMEMBERED: Final = 4096
"""Tasks whose names are at hand."""
Outputs = Mapping[int, Sequence[OutputValue]]
"""Accepted outputs by task number, for the finished tasks of a segment."""


class GraphNames(Names):
    """Texts for the numbers of one run's log, from its graph."""

    __slots__ = ("_called", "graph")

    def __init__(self, run_id: str, workflow_id: str, graph: Graph) -> None:
        super().__init__(run_id, workflow_id)
        self.graph = graph
        self._called: dict[int, tuple[str, str]] = {}
        """Of the tasks that were told of last: each is told of three times."""

    def called(self, task: int) -> tuple[str, str]:
        """Return id and name of a task; the id is empty for a number that names none."""
        found = self._called.get(task)
        if found is None:
            if len(self._called) >= REMEMBERED:
                self._called.clear()
            found = self._called[task] = self._look_up(task)
        return found

    def retries(self, task: int) -> int:
        """Return how many retries a task allows."""
        return self.graph.spec(task).retries

    def _look_up(self, task: int) -> tuple[str, str]:
        if not 0 <= task < len(self.graph):
            return "", ""
        return format_id(self.graph.ids[task], TASK), self.graph.task_name(task)


# -- values ------------------------------------------------------------------------------------------------------


def value_json(value: Value) -> Any:
    """Render an output value as strict JSON types."""
    return _rendered(value, plain)


def seed_value(value: Value) -> Any:
    """Render an output value as the original did: NaN and infinities as such, which its client reads."""
    return _rendered(value, lambda content: plain(content, strict=False))


def _rendered(value: Value, convert: Callable[[object], Any]) -> Any:
    if value.codec != MSGPACK:
        return {"__file__" if value.codec == FILE else "__pickle__": {"size": value.size}}
    try:
        return convert(msgspec.msgpack.decode(value.body))
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError):
        # A node may lie, and a value may be too deep to be written as JSON; one value must not hide the rest.
        return {"__undecodable__": {"size": value.size}}


def plain(value: object, *, strict: bool = True, room: int = MAX_DEPTH) -> Any:
    """Replace what JSON lacks: bytes and, if strict, floats that are no numbers.

    Raises:
        TypeError: a MessagePack extension, or a key that is no text.
        ValueError: nested deeper than `room`.
    """
    if room < 0:
        raise ValueError("nested too deep for JSON")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) or not strict else {"__float__": str(value)}
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [plain(item, strict=strict, room=room - 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(item, strict=strict, room=room - 1) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} is no plain value")


def href(run_id: str, task_id: str, key: str) -> str:
    """Return the path under which the bytes of an output are fetched."""
    return f"/api/v1/runs/{run_id}/tasks/{task_id}/outputs/{quote(key, safe='')}"


def object_json(output: OutputValue, where: str) -> dict[str, Any]:
    """Render an output that is an object: what it is, and where it is fetched."""
    value = output.value
    return {"__object__": {"size": value.size, "type": output.type, "codec": value.codec, "href": where}}


def _results(outputs: Sequence[OutputValue], names: Names, task: int, fmt: str) -> dict[str, Any]:
    if fmt == PACKED:
        return packed(outputs)
    return {output.key: _json(output, names, task) for output in outputs}


def _json(output: OutputValue, names: Names, task: int) -> Any:
    if output.value.ref is None:
        return value_json(output.value)
    return object_json(output, href(names.run_id, names.task_id(task), output.key))


# -- events ------------------------------------------------------------------------------------------------------


class _Line(msgspec.Struct, omit_defaults=True):
    """A ClientEvent as it is written: its data may be a struct."""

    seq: int
    epoch: int
    time: float
    type: str
    data: Data


def render(event: RunEvent, names: Names, outputs: Outputs, fmt: str) -> tuple[str, Data]:
    """Return the type and the data of one event as readers get them."""
    data = data_of(event, names)
    if isinstance(data, Finished):
        data.result = _results(outputs[event.task], names, event.task, fmt)  # type: ignore[union-attr]  # a TaskFinished
    elif isinstance(event, TaskReused):
        data["result"] = _results(outputs[event.task], names, event.task, fmt)  # type: ignore[index]  # a dictionary
    return type_of(event), data


def encoded(segment: Segment, names: Names, outputs: Outputs, fmt: str) -> tuple[bytes, ...]:
    """Encode every event of a segment by itself, as a ClientEvent."""
    encode = _ENCODE[fmt]
    epoch, time = segment.epoch, segment.time
    events = []
    for seq, event in enumerate(segment.events, segment.first_seq):
        kind, data = render(event, names, outputs, fmt)
        events.append(encode(_Line(seq, epoch, time, kind, data)))
    return tuple(events)


_ENCODE: Final[dict[str, Callable[[object], bytes]]] = {
    PACKED: msgspec.msgpack.Encoder().encode,
    JSON: msgspec.json.Encoder().encode,
}
