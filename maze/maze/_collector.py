"""From the events of a run to its story: the messages that the API reference documents, and a line for each retry.

Messages have the documented types and keys, no others, and are told once for each task; the richer log (every
attempt, placement, warnings) is for readers of `/api/v1/runs/{id}/events`. No I/O, and nothing is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from maze._burst import Burst
from maze._results import Entry, Retry, RunRecord, Step, allows_pickle, decode_values

if TYPE_CHECKING:
    from maze._events import Event

__all__ = ["TOLD", "Collector"]

_NOT_ITS_OWN: Final = ("crash", "memory", "node_lost", "cancelled")
"""Kinds of errors that `retries` has nothing to do with."""
_HEADLINE = re.compile(r"[A-Za-z_][\w.]*(: |$)")


class Collector:
    """Turns events into documented messages, and keeps them until the run is over."""

    def __init__(self, run_id: str) -> None:
        self.record = RunRecord(run_id)
        self.done = 0
        self._started: dict[str, None] = {}
        self._running: dict[str, None] = {}
        self._own_errors: dict[str, int] = {}
        self._allow_pickle = allows_pickle()

    @property
    def unstarted(self) -> int:
        """Return how many tasks neither run nor are over, as far as the events tell."""
        return self.record.total - self.done - len(self._running)

    def show(self, events: Iterable[Event], show: Callable[[Step], None]) -> None:
        """Take events, and show what they say in the reference's words, and what people want to see besides."""
        story = self.record.story
        with Burst():
            for event in events:
                take = _TAKE.get(event.type)
                if take is None:
                    continue
                for step in take(self, event):
                    story.append(step)
                    show(step)

    def _submitted(self, event: Event) -> Sequence[Step]:
        self.record.total = event.whole()["tasks"]
        return ()

    def _start(self, event: Event) -> Sequence[Step]:
        # A retried task starts again; the documented stream says it once.
        workflow_id, task_id, node_ip = event.start()
        self._running[task_id] = None
        if task_id in self._started:
            return ()
        self._started[task_id] = None
        told = {"workflow_id": workflow_id, "task_id": task_id, "node_ip": node_ip}
        return (Entry({"type": "start_task", "data": told}),)

    def _over(self, task_id: str) -> None:
        self.done += 1
        self._running.pop(task_id, None)

    def _finish(self, event: Event) -> Sequence[Step]:
        workflow_id, task_id = event.task()
        self._over(task_id)
        return (Entry(self._finished(workflow_id, task_id, event)),)

    def _reuse(self, event: Event) -> Sequence[Step]:
        workflow_id, task_id = event.task()
        self._over(task_id)
        begun = {"workflow_id": workflow_id, "task_id": task_id, "node_ip": ""}
        return [
            Entry({"type": "start_task", "data": begun}, reused=True),
            Entry(self._finished(workflow_id, task_id, event), reused=True),
        ]

    def _finished(self, workflow_id: str, task_id: str, event: Event) -> dict[str, Any]:
        found = event.returned() if event.result is None else event.result
        result = decode_values(found, allow_pickle=self._allow_pickle)
        return {"type": "finish_task", "data": {"workflow_id": workflow_id, "task_id": task_id, "result": result}}

    def _fail(self, event: Event) -> Sequence[Step]:
        data = event.whole()
        self._over(data["task_id"])
        return [_message("task_exception", data, _short(data), result=data["result"])]

    def _lose(self, event: Event) -> Sequence[Step]:
        data = event.whole()
        task_id, pause = data["task_id"], max(0.0, data.get("not_before", 0.0) - event.time)
        self._running.pop(task_id, None)
        if data["kind"] in _NOT_ITS_OWN:
            return [Retry(task_id, _short(data), pause)]
        self._own_errors[task_id] = self._own_errors.get(task_id, 0) + 1
        return [Retry(task_id, _short(data), pause, self._own_errors[task_id] + 1, data.get("retries", 0) + 1)]

    def _cancel(self, event: Event) -> Sequence[Step]:
        data = event.whole()
        if not data["was_running"]:
            return ()
        self._over(data["task_id"])
        text = f"Cancelled: {data['reason']}"
        return [_message("task_exception", data, text, result=text)]

    def _skip(self, event: Event) -> Sequence[Step]:
        self._over(event.task()[1])
        self.record.skipped += 1
        return ()

    def _end(self, event: Event) -> Sequence[Step]:
        if event.type == "cancel_workflow":
            self.record.cancelled = True
            return ()
        return [Entry({"type": "finish_workflow", "data": {}})]


_TAKE: Final[dict[str, Callable[[Collector, Event], Sequence[Step]]]] = {
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


TOLD: Final = _TAKE.keys()
"""The types of events that have anything to say; of others a collector need not hear."""


def _message(kind: str, data: Mapping[str, Any], error: str = "", **facts: Any) -> Entry:
    return Entry(
        {"type": kind, "data": {"workflow_id": data["workflow_id"], "task_id": data["task_id"], **facts}}, error
    )


def _short(data: Mapping[str, Any]) -> str:
    """Return the one line that tells most: `ValueError: bad thing`."""
    kind, message = data.get("error_type", ""), str(data.get("error_message", ""))
    if kind:
        return f"{kind}: {message.strip().splitlines()[0]}" if message.strip() else str(kind)
    lines = [line for line in str(data["result"]).splitlines() if line.strip()]
    heads = [line for line in lines if _HEADLINE.match(line)]
    return (heads or lines or [""])[-1]
