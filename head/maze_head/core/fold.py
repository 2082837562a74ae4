"""One run as its log tells it: the tasks of any run, live or sealed, for readers. Pure; used by the API.

The head keeps task tables of live runs only, and readers must not disturb it; so the task list of every run is made
from its committed log by the same `Run.apply` that makes the head's own state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from maze_head.core.graph import Graph
from maze_head.core.runs import Run
from maze_head.core.transitions import PHASE_NAMES
from maze_protocol.events import (
    OutputMeta,
    RunSubmitted,
    Segment,
    TaskAdopted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReused,
    TaskStarted,
    TaskWarned,
)  # fmt: skip
from maze_protocol.http import RunTaskBody
from maze_protocol.ids import TASK, format_id
from maze_protocol.resources import Claim

__all__ = ["RunView", "fold"]


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
        self._ended: dict[int, TaskFinished | TaskReused | TaskFailed | TaskCancelled] = {}
        self._warnings: dict[int, list[str]] = {}

    def add(self, segment: Segment) -> None:
        """Continue with the next segment."""
        if segment.first_seq != self.run.next_seq:
            raise ValueError(f"the log continues at {segment.first_seq}, {self.run.next_seq} was expected")
        for event in segment.events:
            self.run.apply(event)
            if isinstance(event, (TaskLeased, TaskAdopted)):
                self._leased[event.task] = event
                self._started.pop(event.task, None)
            elif isinstance(event, TaskStarted):
                self._started[event.task] = event
            elif isinstance(event, (TaskFinished, TaskReused, TaskFailed, TaskCancelled)):
                self._ended[event.task] = event
            elif isinstance(event, TaskWarned):
                self._warnings.setdefault(event.task, []).append(event.text)
        self.run.fresh.clear()
        self.run.again.clear()

    def results(self) -> tuple[tuple[int, tuple[OutputMeta, ...]], ...]:
        """Return the finished tasks with their outputs, in the order in which they finished."""
        return tuple(
            (task, event.outputs)
            for task, event in self._ended.items()
            if isinstance(event, (TaskFinished, TaskReused))
        )

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
        )
        if leased is not None:
            body.node, body.claim = leased.node, _claim_body(leased.claim)
        if started is not None:
            body.node_ip, body.started_at = started.node_ip, started.started_at
        _add_end(body, self._ended.get(number))
        return body


def _add_end(body: RunTaskBody, ended: TaskFinished | TaskReused | TaskFailed | TaskCancelled | None) -> None:
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
