"""Events of a run as the SDK reads them, and what its collector makes of them."""

from __future__ import annotations

from typing import Any

import msgspec

from maze._collector import Collector
from maze._results import RunRecord
from maze._values import encode
from maze._workflow_base import Messages, replay
from maze_protocol.streams import PackedEvent

RUN, WORKFLOW = "run_1", "workflow_1"
ONE, TWO, TWIN = "task_" + "1" * 32, "task_" + "2" * 32, "task_" + "1" * 8 + "3" * 24


def event(kind: str, task_id: str | None = None, /, **data: Any) -> PackedEvent:
    """Return an event; of a task if one is named."""
    about: dict[str, Any] = {"workflow_id": WORKFLOW, "run_id": RUN, **data}
    if task_id is not None:
        about |= {"task_id": task_id, "task_name": "t", "attempt": 1}
    return packed(1, kind, about)


def packed(seq: int, kind: str, data: dict[str, Any], at: float = 0.0, epoch: int = 1) -> PackedEvent:
    """Return an event as it comes from the head."""
    return PackedEvent(seq, epoch, at, kind, msgspec.Raw(msgspec.msgpack.encode(data)))


def finished(task_id: str, **values: Any) -> PackedEvent:
    """Return the finish of a task with these values."""
    return event(
        "finish_task", task_id, result={key: list(encode(value)) for key, value in values.items()}, wall_ms=1.0
    )


def failed(task_id: str, text: str, **more: Any) -> PackedEvent:
    """Return the failure of a task with this text."""
    return event("task_exception", task_id, result=text, **more)


def lost(task_id: str, kind: str = "user", at: float = 0.0, **more: Any) -> PackedEvent:
    """Return the loss of an attempt, at a time."""
    told = {"result": "…", "error_type": "ValueError", "error_message": "bad\nthing", "retries": 3, **more}
    return PackedEvent(1, 1, at, "attempt_lost", event("", task_id, kind=kind, **told).data)


def collected(*events: PackedEvent) -> Collector:
    """Return a collector that has taken these events."""
    collector = Collector(RUN)
    collector.show(events, lambda step: None)
    return collector


def record(*events: PackedEvent) -> RunRecord:
    """Return what is kept of these events."""
    return collected(*events).record


def messages(record: RunRecord) -> list[dict[str, Any]]:
    """Return what `get_results` returns of a record."""
    found = Messages(verbose=False)
    replay(record, found)
    return found.copies
