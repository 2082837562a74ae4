"""Events of a run as the SDK reads them, and what its collector makes of them."""

from __future__ import annotations

from typing import Any

from maze._collector import Collector
from maze._results import RunRecord
from maze._values import encode
from maze_protocol.http import ClientEvent

RUN, WORKFLOW = "run_1", "workflow_1"
ONE, TWO, TWIN = "task_" + "1" * 32, "task_" + "2" * 32, "task_" + "1" * 8 + "3" * 24


def event(kind: str, task_id: str | None = None, /, **data: Any) -> ClientEvent:
    """Return an event; of a task if one is named."""
    about: dict[str, Any] = {"workflow_id": WORKFLOW, "run_id": RUN, **data}
    if task_id is not None:
        about |= {"task_id": task_id, "task_name": "t", "attempt": 1}
    return ClientEvent(1, 1, 0.0, kind, about)


def finished(task_id: str, **values: Any) -> ClientEvent:
    """Return the finish of a task with these values."""
    return event(
        "finish_task", task_id, result={key: list(encode(value)) for key, value in values.items()}, wall_ms=1.0
    )


def failed(task_id: str, text: str, **more: Any) -> ClientEvent:
    """Return the failure of a task with this text."""
    return event("task_exception", task_id, result=text, **more)


def lost(task_id: str, kind: str = "user", at: float = 0.0, **more: Any) -> ClientEvent:
    """Return the loss of an attempt, at a time."""
    told = {"result": "…", "error_type": "ValueError", "error_message": "bad\nthing", "retries": 3, **more}
    return ClientEvent(1, 1, at, "attempt_lost", event("", task_id, kind=kind, **told).data)


def collected(*events: ClientEvent) -> Collector:
    """Return a collector that has taken these events."""
    collector = Collector(RUN)
    for each in events:
        collector.add(each)
    return collector


def record(*events: ClientEvent) -> RunRecord:
    """Return what is kept of these events."""
    return collected(*events).record
