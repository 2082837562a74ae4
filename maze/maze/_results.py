"""The results of a run: what of its events the API reference documents, and the values in it. No I/O.

Messages have the documented types and keys, no others; the richer log (retries,
placement, warnings) is for readers of `/api/v1/runs/{id}/events`. Nothing is printed here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from maze.errors import UnknownTaskError
from maze_protocol.ids import is_id

if TYPE_CHECKING:
    from maze_protocol.http import ClientEvent

__all__ = ["Collector", "Entry", "OpaqueValue", "RunRecord", "allows_pickle", "decode_values", "fresh"]

MIN_PREFIX: Final = 8
_NAMES: Final = ("msgpack", "pickle")
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


@dataclass(slots=True)
class RunRecord:
    """Everything that was said about a run, complete."""

    run_id: str
    entries: list[Entry] = field(default_factory=list)
    total: int = 0
    skipped: int = 0
    cancelled: bool = False

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
        self._allow_pickle = allows_pickle()

    def add(self, event: ClientEvent) -> Entry | None:
        """Take one event; return what it says in the reference's words, if anything."""
        data = event.data
        match event.type:
            case "start_task":
                # A retried task starts again; the documented stream says it once.
                if data["task_id"] in self._started:
                    return None
                self._started[data["task_id"]] = None
                return self._keep("start_task", data, node_ip=data["node_ip"])
            case "finish_task":
                self.done += 1
                return self._keep(
                    "finish_task", data, result=decode_values(data["result"], allow_pickle=self._allow_pickle)
                )
            case "task_exception":
                self.done += 1
                return self._keep("task_exception", data, _short(data), result=data["result"])
            case "task_cancelled" if data["was_running"]:
                self.done += 1
                text = f"Cancelled: {data['reason']}"
                return self._keep("task_exception", data, text, result=text)
            case "finish_workflow":
                entry = Entry({"type": "finish_workflow", "data": {}})
                self.record.entries.append(entry)
                return entry
            case other:
                self._note(other, data)
                return None

    def show(self, events: Iterable[ClientEvent], show: Callable[[Entry], None]) -> None:
        """Take events and show what they say."""
        for event in events:
            entry = self.add(event)
            if entry is not None:
                show(entry)

    def _note(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "run_submitted":
            self.record.total = data["tasks"]
        elif kind == "task_skipped":
            self.done += 1
            self.record.skipped += 1
        elif kind == "cancel_workflow":
            self.record.cancelled = True

    def _keep(self, kind: str, data: Mapping[str, Any], error: str = "", **facts: Any) -> Entry:
        about = {"workflow_id": data["workflow_id"], "task_id": data["task_id"], **facts}
        entry = Entry({"type": kind, "data": about}, error)
        self.record.entries.append(entry)
        return entry


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
