"""From the run log to what readers see: ids and names in place of numbers. Pure; docs/api.md lists the renderings.

The head renders for readers of JSON and for those who subscribe to `events`; the SDK, which is sent the log as it is
(`streams.Log`), renders for itself. What a task returned is not here: each of them knows its own ways with values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

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
from maze_protocol.ids import RUN, format_id
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim
from maze_protocol.values import OutputValue

__all__ = ["Data", "Finished", "Names", "claim_body", "data_of", "mentioned", "packed", "type_of"]

REBUILD_STARTED: Final = "rebuild_started"
"""What readers see of the start of a task that is finished and runs once more: no second `start_task`."""


_OF_RUN: Final = frozenset({RunSubmitted, CancelRequested, RunCancelled, RunFinished})
_OF_TWO: Final = frozenset({TaskSkipped, ObjectLost})
"""Events that name another task as well."""


class Names:
    """Texts for the numbers of one run's log; subclasses know where they come from."""

    __slots__ = ("run_id", "workflow_id")

    def __init__(self, run_id: str, workflow_id: str) -> None:
        self.run_id = run_id
        self.workflow_id = workflow_id

    def called(self, task: int) -> tuple[str, str]:
        """Return id and name of a task; the id is empty for a number that names none (-1: the run itself)."""
        raise NotImplementedError

    def retries(self, task: int) -> int:
        """Return how many retries a task allows of which an attempt was lost."""
        raise NotImplementedError

    def task_id(self, task: int) -> str:
        """Return the id of a task; empty for a number that names none."""
        return self.called(task)[0]

    def run(self) -> dict[str, Any]:
        """Return what every event says."""
        return {"workflow_id": self.workflow_id, "run_id": self.run_id}

    def task(self, task: int) -> dict[str, Any]:
        """Return what every event about a task says."""
        task_id, name = self.called(task)
        return {**self.run(), "task_id": task_id, "task_name": name}

    def attempt(self, event: Any) -> dict[str, Any]:
        """Return what every event about an attempt says."""
        return {**self.task(event.task), "attempt": event.attempt}

    def of_attempt(self, event: Any) -> tuple[str, str, str, str, int]:
        """Return the same as `attempt`, in its order."""
        return self.workflow_id, self.run_id, *self.called(event.task), event.attempt


def mentioned(events: Sequence[RunEvent]) -> dict[int, None]:
    """Return the numbers of the tasks that events name, in order; a number may name none."""
    kinds = set(map(type, events))
    if not kinds.isdisjoint(_OF_TWO):
        return _mentioned_one_by_one(events)
    about = events if kinds.isdisjoint(_OF_RUN) else [event for event in events if type(event) not in _OF_RUN]
    return dict.fromkeys([event.task for event in about])  # type: ignore[union-attr]  # all of these are about tasks


def _mentioned_one_by_one(events: Sequence[RunEvent]) -> dict[int, None]:
    found: dict[int, None] = {}
    for event in events:
        if type(event) in _OF_RUN:
            continue
        found[event.task] = None  # type: ignore[union-attr]  # the others are about tasks
        if type(event) is TaskSkipped:
            found[event.because] = None
        elif type(event) is ObjectLost:
            found[event.needed_by] = None
    return found


def packed(outputs: Sequence[OutputValue]) -> dict[str, list[Any]]:
    """Return a result whose values nobody has decoded: [codec, bytes], or [codec, None, size, type] of an object."""
    return {
        output.key: [value.codec, value.body]
        if (value := output.value).ref is None
        else [value.codec, None, value.size, output.type]
        for output in outputs
    }


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


class Finished(msgspec.Struct):
    """A finish_task, whose result the reader fills in."""

    workflow_id: str
    run_id: str
    task_id: str
    task_name: str
    attempt: int
    result: dict[str, Any]
    wall_ms: float
    cpu_ms: float
    peak_rss_kib: int


Data = dict[str, Any] | _Leased | _Started | Finished


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


def _finished(event: TaskFinished, names: Names) -> Finished:
    return Finished(*names.of_attempt(event), {}, event.wall_ms, event.cpu_ms, event.peak_rss_kib)


def _failed(event: TaskFailed, names: Names) -> dict[str, Any]:
    return {**_fault(event, names), **_costs(event)}


def _costs(event: TaskFailed) -> dict[str, Any]:
    return {"wall_ms": event.wall_ms, "cpu_ms": event.cpu_ms, "peak_rss_kib": event.peak_rss_kib}


def _lost(event: AttemptLost, names: Names) -> dict[str, Any]:
    again = {"not_before": event.not_before, "retries": names.retries(event.task)}
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


def type_of(event: RunEvent) -> str:
    """Return the type of an event, as readers get it."""
    kind = type(event)
    if kind is TaskStarted and event.rebuild:  # type: ignore[union-attr]  # as its type tells
        return REBUILD_STARTED
    return TYPE_NAMES[kind]


def data_of(event: RunEvent, names: Names) -> Data:
    """Return the data of an event, as readers get them; a result, where there is one, is still to be filled in."""
    return _DATA[type(event)](event, names)
