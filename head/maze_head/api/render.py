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
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import msgspec

from maze_head.core.graph import Graph
from maze_protocol.events import (
    TYPE_NAMES,
    AttemptInterrupted,
    AttemptLost,
    CancelRequested,
    ObjectGone,
    ObjectLost,
    ObjectRebuilt,
    OutputKept,
    RunCancelled,
    RunEvent,
    RunFinished,
    RunSubmitted,
    Segment,
    TaskAdopted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReleased,
    TaskReused,
    TaskSkipped,
    TaskStarted,
    TaskWarned,
)
from maze_protocol.ids import RUN, TASK, format_id
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim
from maze_protocol.values import FILE, MSGPACK, OutputValue, Value

__all__ = [
    "JSON",
    "PACKED",
    "Names",
    "claim_body",
    "encoded",
    "href",
    "object_json",
    "plain",
    "render",
    "seed_value",
    "value_json",
]

JSON: Final = "json"
PACKED: Final = "msgpack"
REBUILD_STARTED: Final = "rebuild_started"
"""What readers see of the start of a task that is finished and runs once more: no second `start_task`."""
MAX_DEPTH: Final = 100
"""Lists and dictionaries in each other: what every JSON reader takes, and far from any interpreter's own limit."""
REMEMBERED: Final = 4096
"""Tasks whose names are at hand."""
Outputs = Mapping[int, Sequence[OutputValue]]
"""Accepted outputs by task number, for the finished tasks of a segment."""


@dataclass(frozen=True, slots=True)
class Names:
    """Texts for the numbers of one run's log."""

    run_id: str
    workflow_id: str
    graph: Graph
    called: dict[int, tuple[str, str]] = field(default_factory=dict, compare=False, repr=False)
    """Ids and names of the tasks that were told of last: each is told of three times."""

    def run(self) -> dict[str, Any]:
        """Return what every event says."""
        return {"workflow_id": self.workflow_id, "run_id": self.run_id}

    def task_id(self, task: int) -> str:
        """Return the id of a task; empty for a number that names none (-1: the run itself)."""
        return format_id(self.graph.ids[task], TASK) if 0 <= task < len(self.graph) else ""

    def task(self, task: int) -> dict[str, Any]:
        """Return what every event about a task says."""
        return {**self.run(), "task_id": self.task_id(task), "task_name": self.graph.task_name(task)}

    def of_attempt(self, event: Any) -> tuple[str, str, str, str, int]:
        """Return the same as `attempt`, in its order."""
        task = event.task
        called = self.called.get(task)
        if called is None:
            if len(self.called) >= REMEMBERED:
                self.called.clear()
            called = self.called[task] = format_id(self.graph.ids[task], TASK), self.graph.task_name(task)
        return self.workflow_id, self.run_id, *called, event.attempt

    def attempt(self, event: Any) -> dict[str, Any]:
        """Return what every event about an attempt says."""
        return {**self.task(event.task), "attempt": event.attempt}


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


def _packed(output: OutputValue) -> list[Any]:
    value = output.value
    return [value.codec, value.body] if value.ref is None else [value.codec, None, value.size, output.type]


def _results(outputs: Sequence[OutputValue], names: Names, task: int, fmt: str) -> dict[str, Any]:
    if fmt == PACKED:
        return {output.key: _packed(output) for output in outputs}
    return {output.key: _json(output, names, task) for output in outputs}


def _json(output: OutputValue, names: Names, task: int) -> Any:
    if output.value.ref is None:
        return value_json(output.value)
    return object_json(output, href(names.run_id, names.task_id(task), output.key))


def claim_body(claim: Claim) -> dict[str, Any]:
    """Render what an attempt was given."""
    return {
        "cpu": claim.cpu_milli / 1000,
        "cpu_mem": claim.mem_mib,
        "gpus": [
            {"index": device.index, "share": device.milli / 1000, "mem": device.mem_mib} for device in claim.devices
        ],
    }


def _error(error: ErrorInfo) -> dict[str, Any]:
    said: dict[str, Any] = {"error_type": error.type_name, "error_message": error.message, "kind": error.kind}
    if error.signal:
        said["signal"] = error.signal
    if error.exit_code is not None:
        said["exit_code"] = error.exit_code
    if error.oom:
        said["oom"] = True
    if error.peak_mib:
        said["peak_mib"] = error.peak_mib
    if error.stderr_tail:
        said["stderr_tail"] = error.stderr_tail
    return said


# -- events ------------------------------------------------------------------------------------------------------
# Every task has these three: as structs they take a third of what dictionaries do. The rest is rare.


class _Leased(msgspec.Struct):
    workflow_id: str
    run_id: str
    task_id: str
    task_name: str
    attempt: int
    node_id: str
    claim: dict[str, Any]


class _Started(msgspec.Struct):
    workflow_id: str
    run_id: str
    task_id: str
    task_name: str
    attempt: int
    node_ip: str
    node_id: str
    started_at: float
    isolation: str


class _Finished(msgspec.Struct):
    workflow_id: str
    run_id: str
    task_id: str
    task_name: str
    attempt: int
    result: dict[str, Any]
    wall_ms: float
    cpu_ms: float
    peak_rss_kib: int


Data = dict[str, Any] | _Leased | _Started | _Finished


class _Line(msgspec.Struct, omit_defaults=True):
    """A ClientEvent as it is written: its data may be a struct."""

    seq: int
    epoch: int
    time: float
    type: str
    data: Data


def _submitted(event: RunSubmitted, names: Names) -> dict[str, Any]:
    return {
        **names.run(), "revision": event.version, "tasks": event.tasks, "fail_fast": event.fail_fast,
        "priority": event.priority, "project": event.project,
        "retry_of": format_id(event.retry_of, RUN) if event.retry_of else "",
    }  # fmt: skip


def _leased(event: TaskLeased, names: Names) -> _Leased:
    return _Leased(*names.of_attempt(event), event.node, claim_body(event.claim))


def _started(event: TaskStarted, names: Names) -> _Started:
    return _Started(*names.of_attempt(event), event.node_ip, event.node, event.started_at, event.isolation)


def _finished(event: TaskFinished, names: Names) -> _Finished:
    return _Finished(*names.of_attempt(event), {}, event.wall_ms, event.cpu_ms, event.peak_rss_kib)


def _failed(event: TaskFailed, names: Names) -> dict[str, Any]:
    return {**_fault(event, names), **_costs(event)}


def _costs(event: TaskFailed) -> dict[str, Any]:
    return {"wall_ms": event.wall_ms, "cpu_ms": event.cpu_ms, "peak_rss_kib": event.peak_rss_kib}


def _lost(event: AttemptLost, names: Names) -> dict[str, Any]:
    again = {"not_before": event.not_before, "retries": names.graph.spec(event.task).retries}
    larger = {"next_cpu_mem": event.mem_mib} if event.mem_mib else {}
    return {**_fault(event, names), **again, **larger}


def _fault(event: AttemptLost | TaskFailed, names: Names) -> dict[str, Any]:
    return {**names.attempt(event), "result": event.error.text, **_error(event.error)}


def _skipped(event: TaskSkipped, names: Names) -> dict[str, Any]:
    return {**names.task(event.task), "because": names.task_id(event.because)}


def _cancelled(event: TaskCancelled, names: Names) -> dict[str, Any]:
    return {**names.attempt(event), "reason": event.reason, "was_running": event.was_running}


def _cancel_requested(event: CancelRequested, names: Names) -> dict[str, Any]:
    return {**names.run(), "reason": event.reason}


def _run_cancelled(event: RunCancelled, names: Names) -> dict[str, Any]:
    return {**names.run(), "finished": event.finished, "failed": event.failed, "cancelled": event.cancelled}


def _run_finished(event: RunFinished, names: Names) -> dict[str, Any]:
    return {**names.run(), "finished": event.finished, "failed": event.failed, "skipped": event.skipped}


def _interrupted(event: AttemptInterrupted, names: Names) -> dict[str, Any]:
    return names.attempt(event)


def _warned(event: TaskWarned, names: Names) -> dict[str, Any]:
    return {**names.task(event.task), "text": event.text}


def _adopted(event: TaskAdopted, names: Names) -> dict[str, Any]:
    return {**names.attempt(event), "node_id": event.node, "claim": claim_body(event.claim)}


def _reused(event: TaskReused, names: Names) -> dict[str, Any]:
    return names.task(event.task)


def _kept(event: OutputKept, names: Names) -> dict[str, Any]:
    return {**names.task(event.task), "key": event.key, "size": event.size}


def _object_lost(event: ObjectLost, names: Names) -> dict[str, Any]:
    needed = names.task_id(event.needed_by)
    return {**names.task(event.task), "outputs": list(event.outputs), "node_id": event.node, "needed_by": needed}


def _rebuilt(event: ObjectRebuilt, names: Names) -> dict[str, Any]:
    told = {"node_id": event.node, "diverged": list(event.diverged), "wall_ms": event.wall_ms}
    return {**names.attempt(event), **told}


def _gone(event: ObjectGone, names: Names) -> dict[str, Any]:
    said = {"outputs": list(event.outputs), "result": event.error.text, **_error(event.error)}
    return {**names.task(event.task), **said}


def _released(event: TaskReleased, names: Names) -> dict[str, Any]:
    return {**names.attempt(event), "reason": event.reason}


_DATA: Final[dict[type, Callable[[Any, Names], Data]]] = {
    RunSubmitted: _submitted,
    TaskLeased: _leased,
    TaskStarted: _started,
    TaskFinished: _finished,
    TaskFailed: _failed,
    AttemptLost: _lost,
    TaskSkipped: _skipped,
    TaskCancelled: _cancelled,
    CancelRequested: _cancel_requested,
    RunCancelled: _run_cancelled,
    RunFinished: _run_finished,
    AttemptInterrupted: _interrupted,
    TaskWarned: _warned,
    TaskReleased: _released,
    TaskAdopted: _adopted,
    TaskReused: _reused,
    OutputKept: _kept,
    ObjectLost: _object_lost,
    ObjectRebuilt: _rebuilt,
    ObjectGone: _gone,
}


def render(event: RunEvent, names: Names, outputs: Outputs, fmt: str) -> tuple[str, Data]:
    """Return the type and the data of one event as readers get them."""
    data = _DATA[type(event)](event, names)
    if isinstance(data, _Finished):
        data.result = _results(outputs[event.task], names, event.task, fmt)  # type: ignore[union-attr]  # a TaskFinished
    elif isinstance(event, TaskReused):
        data["result"] = _results(outputs[event.task], names, event.task, fmt)  # type: ignore[index]  # a dictionary
    return REBUILD_STARTED if isinstance(event, TaskStarted) and event.rebuild else TYPE_NAMES[type(event)], data


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
