"""The results of a run: what of its events the API reference documents, and the values in it. No I/O.

Messages have the documented types and keys, no others; the richer log (retries,
placement, warnings) is for readers of `/api/v1/runs/{id}/events`. Nothing is printed here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from maze.errors import UnknownTaskError
from maze_protocol.ids import is_id

if TYPE_CHECKING:
    from maze_protocol.http import ClientEvent

__all__ = [
    "Collector", "Entry", "OpaqueValue", "Retry", "RunRecord", "Step", "allows_pickle", "decode_values", "fresh",
]  # fmt: skip

MIN_PREFIX: Final = 8
_NAMES: Final = ("msgpack", "pickle")
_NOT_ITS_OWN: Final = ("crash", "node_lost", "cancelled")
"""Kinds of errors that `retries` has nothing to do with."""
_HEADLINE = re.compile(r"[A-Za-z_][\w.]*(: |$)")


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """An output value that could not be decoded here; everything around it could.

    Attributes:
        type: how it is encoded: `pickle` or `msgpack`.
        size: its encoded size in bytes.
        reason: why it could not be decoded.
    """

    type: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented message, with the one line that people read of an error."""

    message: dict[str, Any]
    error: str = ""
    reused: bool = False
    """It tells of a result that an earlier run had."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A task is tried again: no message of the reference, but people want to see it.

    Attributes:
        task_id: the task.
        error: the one line that tells why.
        pause: seconds until it may start again.
        attempt: which attempt comes next, of those that its `retries` allow; 0 if its own errors are not the reason.
        attempts: how many that are in all.
    """

    task_id: str
    error: str
    pause: float
    attempt: int = 0
    attempts: int = 0


Step = Entry | Retry


@dataclass(slots=True)
class RunRecord:
    """Everything that was said about a run, complete."""

    run_id: str
    story: list[Step] = field(default_factory=list)
    total: int = 0
    skipped: int = 0
    cancelled: bool = False

    @property
    def entries(self) -> list[Entry]:
        """Return the documented messages."""
        return [step for step in self.story if isinstance(step, Entry)]

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages as a list of the caller's own."""
        return [fresh(entry.message) for entry in self.entries]

    def task_result(self, task_id: str) -> dict[str, Any] | None:
        """Return how a task ended, or None if it did not; ids may be shortened.

        Raises:
            UnknownTaskError: a `ValueError`: a shortened id fits several tasks.
        """
        ended = {
            entry.message["data"]["task_id"]: entry.message
            for entry in self.entries
            if entry.message["type"] in {"finish_task", "task_exception"}
        }
        found = _match(task_id, list(ended))
        if found is None:
            return None
        data = ended[found]["data"]
        if ended[found]["type"] == "finish_task":
            return {"task_id": found, "result": fresh(data["result"]), "status": "success"}
        return {"task_id": found, "result": None, "status": "exception", "error": data["result"]}

    def summary(self) -> dict[str, Any]:
        """Return what `show_results` returns."""
        results, failed, completed = {}, [], False
        for entry in self.entries:
            kind, data = entry.message["type"], entry.message["data"]
            if kind == "finish_task":
                results[data["task_id"]] = fresh(data["result"])
            elif kind == "task_exception":
                failed.append(data["task_id"])
            elif kind == "finish_workflow":
                completed = True
        return {
            "task_results": results,
            "workflow_completed": completed,
            "has_exception": bool(failed),
            "exception_tasks": failed,
        }


class Collector:
    """Turns events into documented messages, and keeps them until the run is over."""

    def __init__(self, run_id: str) -> None:
        self.record = RunRecord(run_id)
        self.done = 0
        self._started: dict[str, None] = {}
        self._own_errors: dict[str, int] = {}
        self._allow_pickle = allows_pickle()

    def add(self, event: ClientEvent) -> list[Step]:
        """Take one event; return what it says in the reference's words, and what people want to see besides."""
        take = _TAKE.get(event.type)
        steps = [] if take is None else take(self, event)
        self.record.story += steps
        return steps

    def show(self, events: Iterable[ClientEvent], show: Callable[[Step], None]) -> None:
        """Take events and show what they say."""
        for event in events:
            for step in self.add(event):
                show(step)

    def _submitted(self, event: ClientEvent) -> list[Step]:
        self.record.total = event.data["tasks"]
        return []

    def _start(self, event: ClientEvent) -> list[Step]:
        # A retried task starts again; the documented stream says it once.
        if event.data["task_id"] in self._started:
            return []
        self._started[event.data["task_id"]] = None
        return [_message("start_task", event.data, node_ip=event.data["node_ip"])]

    def _finish(self, event: ClientEvent) -> list[Step]:
        self.done += 1
        return [self._finished(event.data)]

    def _reuse(self, event: ClientEvent) -> list[Step]:
        self.done += 1
        begun = _message("start_task", event.data, node_ip="")
        return [replace(begun, reused=True), replace(self._finished(event.data), reused=True)]

    def _finished(self, data: Mapping[str, Any]) -> Entry:
        return _message("finish_task", data, result=decode_values(data["result"], allow_pickle=self._allow_pickle))

    def _fail(self, event: ClientEvent) -> list[Step]:
        self.done += 1
        return [_message("task_exception", event.data, _short(event.data), result=event.data["result"])]

    def _lose(self, event: ClientEvent) -> list[Step]:
        data = event.data
        task_id, pause = data["task_id"], max(0.0, data.get("not_before", 0.0) - event.time)
        if data["kind"] in _NOT_ITS_OWN:
            return [Retry(task_id, _short(data), pause)]
        self._own_errors[task_id] = self._own_errors.get(task_id, 0) + 1
        return [Retry(task_id, _short(data), pause, self._own_errors[task_id] + 1, data.get("retries", 0) + 1)]

    def _cancel(self, event: ClientEvent) -> list[Step]:
        if not event.data["was_running"]:
            return []
        self.done += 1
        text = f"Cancelled: {event.data['reason']}"
        return [_message("task_exception", event.data, text, result=text)]

    def _skip(self, event: ClientEvent) -> list[Step]:
        self.done += 1
        self.record.skipped += 1
        return []

    def _end(self, event: ClientEvent) -> list[Step]:
        if event.type == "cancel_workflow":
            self.record.cancelled = True
            return []
        return [Entry({"type": "finish_workflow", "data": {}})]


def allows_pickle() -> bool:
    """Tell whether values that Python pickled may be loaded here."""
    return os.environ.get("MAZE_NO_PICKLE", "") not in {"1", "true", "yes"}


def decode_values(result: Mapping[str, tuple[int, bytes]], *, allow_pickle: bool) -> dict[str, Any]:
    """Return the values of a result; one that cannot be decoded here is an `OpaqueValue`."""
    return {key: _decode_value(codec, body, allow_pickle=allow_pickle) for key, (codec, body) in result.items()}


def _decode_value(codec: int, body: bytes, *, allow_pickle: bool) -> Any:
    from maze._values import ValueDecodeError, decode

    try:
        return decode(codec, body, allow_pickle=allow_pickle)
    except ValueDecodeError as error:
        name = _NAMES[codec] if 0 <= codec < len(_NAMES) else f"codec {codec}"
        return OpaqueValue(name, len(body), error.reason)


_TAKE: Final[dict[str, Callable[[Collector, ClientEvent], list[Step]]]] = {
    "run_submitted": Collector._submitted,
    "start_task": Collector._start,
    "finish_task": Collector._finish,
    "task_reused": Collector._reuse,
    "task_exception": Collector._fail,
    "attempt_lost": Collector._lose,
    "task_cancelled": Collector._cancel,
    "task_skipped": Collector._skip,
    "finish_workflow": Collector._end,
    "cancel_workflow": Collector._end,
}


def _message(kind: str, data: Mapping[str, Any], error: str = "", **facts: Any) -> Entry:
    return Entry(
        {"type": kind, "data": {"workflow_id": data["workflow_id"], "task_id": data["task_id"], **facts}}, error
    )


def fresh(value: Any) -> Any:
    """Copy the lists and dictionaries of a value, and nothing else.

    What a caller does to his copy stays his; NaN and objects without `==` stay the same objects, so that two
    readings of one run are equal.
    """
    try:
        return _copy(value, {})
    except RecursionError:
        return value


def _copy(value: Any, seen: dict[int, Any]) -> Any:
    kind = type(value)
    if kind is not list and kind is not dict:
        return value
    if id(value) in seen:
        return seen[id(value)]
    if kind is list:
        items: list[Any] = []
        seen[id(value)] = items
        items += [_copy(item, seen) for item in value]
        return items
    table: dict[Any, Any] = {}
    seen[id(value)] = table
    table |= {key: _copy(item, seen) for key, item in value.items()}
    return table


def _short(data: Mapping[str, Any]) -> str:
    """Return the one line that tells most: `ValueError: bad thing`."""
    kind, message = data.get("error_type", ""), str(data.get("error_message", ""))
    if kind:
        return f"{kind}: {message.strip().splitlines()[0]}" if message.strip() else str(kind)
    lines = [line for line in str(data["result"]).splitlines() if line.strip()]
    heads = [line for line in lines if _HEADLINE.match(line)]
    return (heads or lines or [""])[-1]


def _match(task_id: str, known: list[str]) -> str | None:
    """Return the task that an id or a beginning of one (8 hex digits or more) names."""
    if task_id in known:
        return task_id
    digits = str(task_id).removeprefix("task_")
    if len(digits) < MIN_PREFIX or is_id(task_id, "task"):
        return None
    fitting = [each for each in known if each.startswith(f"task_{digits}")]
    if len(fitting) > 1:
        raise UnknownTaskError(f"task id {task_id!r} is ambiguous: it fits {', '.join(fitting)}", code="ambiguous_task")
    return fitting[0] if fitting else None
