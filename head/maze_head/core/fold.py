"""One run as its log tells it: the tasks of any run, live or sealed, for readers. Pure; used by the API.

The head keeps task tables of live runs only, and readers must not disturb it; so the task list of every run is made
from its committed log by the same `Run.apply` that makes the head's own state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from maze_head.core.graph import Graph
from maze_head.core.runs import Run
from maze_head.core.transitions import PHASE_NAMES, READY
from maze_protocol.events import (
    AttemptInterrupted,
    AttemptLost,
    OutputMeta,
    RunSubmitted,
    Segment,
    TaskAdopted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReleased,
    TaskReused,
    TaskStarted,
    TaskWarned,
)  # fmt: skip
from maze_protocol.http import LostAttempt, RunTaskBody
from maze_protocol.ids import TASK, format_id
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim

__all__ = ["RunView", "fold"]

_Ended = TaskFinished | TaskReused | TaskFailed | TaskCancelled


def fold(segments: Iterable[Segment], graph: Graph) -> RunView:
    """Read a run's log from its beginning.

    Raises:
        ValueError: the log does not begin with the submission, or has a gap.
    """
    view: RunView | None = None
    for segment in segments:
        if view is None:
            view = RunView(segment, graph)
        view.add(segment)
    if view is None:
        raise ValueError("an empty log has no run")
    return view


class RunView:
    """What is known of a run's tasks after the segments added so far."""

    def __init__(self, first: Segment, graph: Graph) -> None:
        submitted = first.events[0]
        if not isinstance(submitted, RunSubmitted):
            raise ValueError(f"the log begins with {type(submitted).__name__}")  # noqa: TRY004 -- a damaged log
        self.run = Run(0, submitted, graph, first.time)
        self._leased: dict[int, TaskLeased | TaskAdopted] = {}
        self._started: dict[int, TaskStarted] = {}
        self._ended: dict[int, _Ended] = {}
        self._warnings: dict[int, list[str]] = {}
        self._lost: dict[int, list[LostAttempt]] = {}
        self._not_before: dict[int, float] = {}

    def add(self, segment: Segment) -> None:
        """Continue with the next segment."""
        if segment.first_seq != self.run.next_seq:
            raise ValueError(f"the log continues at {segment.first_seq}, {self.run.next_seq} was expected")
        for event in segment.events:
            self.run.apply(event)
            note = _NOTE.get(type(event))
            if note is not None:
                note(self, event, segment.time)
        self.run.fresh.clear()
        self.run.again.clear()

    def results(self) -> tuple[tuple[int, tuple[OutputMeta, ...]], ...]:
        """Return the finished tasks with their outputs, in the order in which they finished."""
        return tuple(
            (task, event.outputs) for task, event in self._ended.items() if isinstance(event, TaskFinished | TaskReused)
        )

    def made(self) -> tuple[tuple[int, int, str, tuple[int, ...]], ...]:
        """Return where the objects of finished tasks were made: (task, lease, node, outputs that the head keeps)."""
        objects = self.run.objects
        return tuple((task, made.lease, made.node, objects.kept.get(task, ())) for task, made in objects.made.items())

    def tasks(self) -> list[RunTaskBody]:
        """Return all tasks in the order of the graph."""
        return [self.task(number) for number in range(len(self.run.graph))]

    def task(self, number: int) -> RunTaskBody:
        """Return one task, by its number in the graph."""
        run, leased, started = self.run, self._leased.get(number), self._started.get(number)
        body = RunTaskBody(
            task_id=format_id(run.graph.ids[number], TASK),
            name=run.graph.task_name(number),
            status=PHASE_NAMES[run.phase[number]],
            attempt=run.attempt[number],
            warnings=self._warnings.get(number, []),
            lost=list(self._lost.get(number, ())),
            reused=isinstance(self._ended.get(number), TaskReused),
            func_name=run.graph.func_name(number),
        )
        if leased is not None:
            body.node, body.claim = leased.node, _claim_body(leased.claim)
        if started is not None:
            body.node_ip, body.started_at, body.isolation = started.node_ip, started.started_at, started.isolation
        if run.phase[number] == READY:
            body.retry_at = self._not_before.get(number)
        _add_end(body, self._ended.get(number))
        return body

    def _on_lease(self, event: TaskLeased | TaskAdopted, time: float) -> None:
        if event.task in self.run.objects.lost:
            return  # what is told of a finished task stays, whatever it is run for again
        self._leased[event.task] = event
        self._started.pop(event.task, None)
        self._not_before.pop(event.task, None)

    def _on_adoption(self, event: TaskAdopted, time: float) -> None:
        self._on_lease(event, time)
        lost = self._lost.get(event.task)
        if lost:
            # What was told last turned out to be no loss.
            lost.pop()

    def _on_start(self, event: TaskStarted, time: float) -> None:
        if not event.rebuild:
            self._started[event.task] = event

    def _on_loss(self, event: AttemptLost, time: float) -> None:
        self._lose(event, time, event.error.kind, _headline(event.error))
        if event.not_before:
            self._not_before[event.task] = event.not_before

    def _on_interruption(self, event: AttemptInterrupted, time: float) -> None:
        self._lose(event, time, "interrupted", "the head restarted during this attempt")

    def _on_release(self, event: TaskReleased, time: float) -> None:
        self._lose(event, time, "released", event.reason)

    def _lose(self, event: AttemptLost | AttemptInterrupted | TaskReleased, time: float, kind: str, error: str) -> None:
        leased = self._leased.get(event.task)
        node = leased.node if leased is not None else ""
        started = self._started.get(event.task)
        isolation = started.isolation if started is not None else ""
        self._lost.setdefault(event.task, []).append(LostAttempt(event.attempt, node, time, kind, error, isolation))

    def _on_end(self, event: _Ended, time: float) -> None:
        self._ended[event.task] = event

    def _on_warning(self, event: TaskWarned, time: float) -> None:
        self._warnings.setdefault(event.task, []).append(event.text)


_NOTE: Final[dict[type, Callable[[RunView, Any, float], None]]] = {
    TaskLeased: RunView._on_lease,
    TaskAdopted: RunView._on_adoption,
    TaskStarted: RunView._on_start,
    AttemptLost: RunView._on_loss,
    AttemptInterrupted: RunView._on_interruption,
    TaskReleased: RunView._on_release,
    TaskFinished: RunView._on_end,
    TaskReused: RunView._on_end,
    TaskFailed: RunView._on_end,
    TaskCancelled: RunView._on_end,
    TaskWarned: RunView._on_warning,
}


def _headline(error: ErrorInfo) -> str:
    line = (error.message.strip().splitlines() or [""])[0]
    return f"{error.type_name}: {line}" if line else error.type_name


def _add_end(body: RunTaskBody, ended: _Ended | None) -> None:
    if isinstance(ended, (TaskFinished, TaskFailed)):
        body.wall_ms, body.cpu_ms, body.peak_rss_kib = ended.wall_ms, ended.cpu_ms, ended.peak_rss_kib
    if isinstance(ended, TaskFailed):
        body.error = ended.error.text
    elif isinstance(ended, TaskCancelled):
        body.error = f"Cancelled: {ended.reason}"


def _claim_body(claim: Claim) -> dict[str, Any]:
    return {
        "cpu": claim.cpu_milli / 1000,
        "cpu_mem": claim.mem_mib,
        "gpus": [{"index": part.index, "share": part.milli / 1000, "gpu_mem": part.mem_mib} for part in claim.devices],
    }
