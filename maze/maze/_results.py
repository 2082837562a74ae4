"""What is kept of a run when its log has been read: its story, and the values in it. No I/O, nothing is printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from maze.errors import UnknownTaskError
from maze_protocol.ids import is_id

if TYPE_CHECKING:
    from maze._values import ValueDecodeError

__all__ = ["Entry", "OpaqueValue", "Retry", "RunRecord", "Step", "allows_pickle", "copy_of", "decode_values", "fresh"]

MIN_PREFIX: Final = 8
_CONTAINERS: Final = frozenset({list, dict})
_NAMES: Final = ("msgpack", "pickle", "file")


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """An output value that could not be decoded here, or that nobody holds any more; everything around it is there.

    Attributes:
        type: how it is encoded: `pickle` or `msgpack`; of one that is gone its class, if that is known.
        size: its encoded size in bytes.
        reason: why it is not here.
    """

    type: str
    size: int
    reason: str


@dataclass(slots=True)
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


def copy_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return a documented message that is the caller's own; only a result can hold more than texts."""
    data = message["data"].copy()
    result = data.get("result")
    if type(result) in _CONTAINERS:
        data["result"] = fresh(result)
    return {"type": message["type"], "data": data}


def allows_pickle() -> bool:
    """Tell whether values that Python pickled may be loaded here."""
    return os.environ.get("MAZE_NO_PICKLE", "") not in {"1", "true", "yes"}


def decode_values(result: Mapping[str, Any], *, allow_pickle: bool) -> dict[str, Any]:
    """Return the values of a result; one that cannot be decoded here is an `OpaqueValue`.

    What is not encoded is there already: a `RemoteValue`, or the word that there is nothing to fetch (`_inline`).
    """
    decode, failed = _decoder()
    values = {}
    for key, found in result.items():
        if isinstance(found, (list, tuple)):
            try:
                values[key] = decode(found[0], found[1], allow_pickle=allow_pickle)
            except failed as error:
                values[key] = _opaque(found[0], found[1], error.reason)
        else:
            values[key] = found
    return values


@cache
def _decoder() -> tuple[Callable[..., Any], type[ValueDecodeError]]:
    """Load what decodes values, once: an import statement costs more than a small value."""
    from maze._values import ValueDecodeError, decode

    return decode, ValueDecodeError


def _opaque(codec: int, body: bytes, reason: str) -> OpaqueValue:
    name = _NAMES[codec] if 0 <= codec < len(_NAMES) else f"codec {codec}"
    return OpaqueValue(name, len(body), reason)


def fresh(value: Any) -> Any:
    """Copy the lists and dictionaries of a value, and nothing else.

    What a caller does to his copy stays his; NaN and objects without `==` stay the same objects, so that two
    readings of one run are equal.
    """
    if type(value) is dict and _CONTAINERS.isdisjoint(map(type, value.values())):
        return dict(value)
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
