"""One live run: the state that its events imply, and nothing else.

Rules
* State changes only in `apply`, one event at a time, live and in recovery alike: so replaying a run's log gives its
  state by construction. Whoever decides (results.py, ends.py, …) makes events; nobody writes these fields. The most
  frequent ones have ways of their own to the same: start and end of a short attempt at once (`apply_both`), and many
  leases (`apply_leases`).
* A byte for the phase and a few array items per task; dicts only for what is rare or short-lived (faults, outputs
  that somebody still waits for).
* `fresh`, `again` and `later` are the tasks that the last events made ready, the latter after a pause; state.py moves
  them to the ready queues.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from maze_head.core.errors import IllegalMove
from maze_head.core.graph import Graph
from maze_head.core.made import RunObjects
from maze_head.core.ready import TASK_BITS
from maze_head.core.transitions import (
    CANCELLED,
    FAILED,
    FINISHED,
    IS_OVER,
    LEASED,
    MORE_READY,
    PHASE_NAMES,
    READY,
    RUNNING,
    SKIPPED,
    UNHELD_CANCELLED,
    WAITING,
)  # fmt: skip
from maze_protocol.events import (
    TYPE_NAMES,
    AttemptInterrupted,
    AttemptLost,
    CancelRequested,
    ObjectGone,
    ObjectLost,
    ObjectRebuilt,
    OutputKept,
    OutputMeta,
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
)  # fmt: skip
from maze_protocol.messages import ErrorInfo

__all__ = ["Run"]


NOT_ITS_OWN: Final = ("crash", "node_lost")
"""Kinds of faults for which the node may be to blame as well as the task."""


class Run:
    """One execution of a graph."""

    __slots__ = (
        "again", "attempt", "avoid", "begun", "cancel_reason",
        "cancelling", "counts", "ended_at", "faults", "fresh", "graph", "grown", "halting", "later", "lease",
        "missing", "next_seq", "no", "not_before", "objects", "outputs", "phase", "places", "ready_at", "ready_of",
        "sealed_by", "stopped_by", "submitted", "submitted_at",
    )  # fmt: skip

    def __init__(self, no: int, submitted: RunSubmitted, graph: Graph, at: float) -> None:
        size = len(graph)
        self.no = no
        self.submitted = submitted
        self.graph = graph
        self.submitted_at = at
        self.ended_at: float | None = None
        self.next_seq = 1
        self.phase = bytearray(size)
        self.missing = array("I", graph.missing)
        self.attempt = array("I", bytes(4 * size))
        self.lease = array("Q", bytes(8 * size))
        """The current or last lease of each task."""
        self.ready_at = array("d", bytes(8 * size))
        """Monotonic time at which each task became ready last; set by whoever queues it."""
        self.places: dict[int, str] = {}
        """Where those tasks were leased last after which others must follow."""
        self.counts = [size, 0, 0, 0, 0, 0, 0, 0]
        self.ready_of = array("I", bytes(4 * len(graph.shapes)))
        """How many tasks of each shape are ready."""
        self.faults: dict[int, list[ErrorInfo]] = {}
        """Why attempts were lost, for the budgets and the story."""
        self.avoid: dict[int, tuple[str, ...]] = {}
        """Nodes on which a task crashed or was lost: it is tried elsewhere first."""
        self.grown: dict[int, int] = {}
        """Tasks that ran out of memory: how many MiB their next attempt claims, on a node of its own."""
        self.not_before: dict[int, float] = {}
        """Wall-clock times until which tasks pause before they are tried again."""
        self.outputs: dict[int, tuple[OutputMeta, ...]] = {}
        """Of finished tasks that others wait for."""
        self.objects = RunObjects()
        self.begun = False
        """Some task was leased once."""
        self.cancelling = False
        self.cancel_reason = ""
        self.stopped_by: int | None = None
        """The first failed task of a fail-fast run."""
        self.halting = False
        """Nothing new may start: one of the two."""
        self.sealed_by: RunFinished | RunCancelled | None = None
        self.fresh: list[int] = []
        self.again: list[int] = []
        self.later: list[int] = []

    @property
    def open(self) -> int:
        """Return how many tasks are not over."""
        counts = self.counts
        return counts[WAITING] + counts[READY] + counts[LEASED] + counts[RUNNING]

    @property
    def held(self) -> int:
        """Return how many tasks a node holds."""
        return self.counts[LEASED] + self.counts[RUNNING]

    def is_awaited(self, task: int) -> bool:
        """Tell whether a task after this one is not over."""
        # From the end: what became ready last is mostly over last.
        return any(not IS_OVER[self.phase[there]] for there in reversed(self.graph.after(task)))

    def apply(self, event: RunEvent) -> None:
        """Change the state as the event says and count it.

        Raises:
            IllegalMove: the event does not fit the task's phase.
        """
        _APPLY[type(event)](self, event)
        self.next_seq += 1

    def apply_both(self, started: TaskStarted, finished: TaskFinished) -> None:
        """Change the state as two events of one attempt say: `apply` of one after the other, in half the time.

        Raises:
            IllegalMove: they do not fit the task's phase.
        """
        task = finished.task
        if self.phase[task] != LEASED:
            raise IllegalMove(f"{TYPE_NAMES[TaskStarted]} does not fit; {self.story(task)}")
        self.phase[task] = FINISHED
        counts = self.counts
        counts[LEASED] -= 1
        counts[FINISHED] += 1
        self._leave_behind(finished)
        self.next_seq += 2

    def apply_leases(self, events: Sequence[TaskLeased]) -> None:
        """Change the state as leases of tasks that were ready say: `apply` of each, in a third of the time.

        Raises:
            IllegalMove: one of them does not fit its task's phase.
        """
        phase, attempt, lease = self.phase, self.attempt, self.lease
        ready_of, shape_of = self.ready_of, self.graph.shape_of
        for event in events:
            task = event.task
            if phase[task] != READY:
                raise IllegalMove(f"{TYPE_NAMES[TaskLeased]} does not fit; {self.story(task)}")
            phase[task] = LEASED
            ready_of[shape_of[task]] -= 1
            attempt[task], lease[task] = event.attempt, event.lease
        self.counts[READY] -= len(events)
        self.counts[LEASED] += len(events)
        for event in events if self.graph.followed or self.not_before else ():
            self._note_leased(event)
        self.begun = True
        self.next_seq += len(events)

    def story(self, task: int) -> str:
        """Tell what is known of a task, for error messages and `explain`."""
        facts = [
            f"run {self.no} task {task} {self.graph.task_name(task)!r}: {PHASE_NAMES[self.phase[task]]}",
            f"attempt {self.attempt[task]}, lease {self.lease[task]:#x}, waits for {self.missing[task]}",
            *(f"lost: {fault.text}" for fault in self.faults.get(task, ())),
        ]
        return "; ".join(facts)

    def of_shape(self, number: int, *phases: int) -> Iterator[int]:
        """Go through the tasks of a shape, by its number in the graph, that are in one of some phases."""
        shape_of, task = self.graph.shape_of, 0
        while True:
            try:
                task = shape_of.index(number, task)
            except ValueError:
                return
            if self.phase[task] in phases:
                yield task
            task += 1

    def _move(self, task: int, to: int, event: RunEvent) -> None:
        before = self.phase[task]
        more = MORE_READY[before][to]
        if more is None:
            raise IllegalMove(f"{TYPE_NAMES[type(event)]} does not fit; {self.story(task)}")
        self.phase[task] = to
        counts = self.counts
        counts[before] -= 1
        counts[to] += 1
        if more:
            self.ready_of[self.graph.shape_of[task]] += more

    def _submitted(self, event: RunSubmitted) -> None:
        if self.counts[WAITING] != len(self.graph):
            raise IllegalMove(f"{TYPE_NAMES[type(event)]} does not fit: run {self.no} has begun")
        # Not by `_move`, whose question is answered for all of them: they may be all tasks of a very large graph.
        roots, shape_of, phase, ready_of = self.graph.roots, self.graph.shape_of, self.phase, self.ready_of
        for task in roots:
            phase[task] = READY
            ready_of[shape_of[task]] += 1
        self.counts[WAITING] -= len(roots)
        self.counts[READY] += len(roots)
        self.fresh.extend(roots)

    def _leased(self, event: TaskLeased) -> None:
        task = event.task
        self._move(task, LEASED, event)
        self.attempt[task] = event.attempt
        self.lease[task] = event.lease
        self._note_leased(event)
        self.begun = True

    def _note_leased(self, event: TaskLeased) -> None:
        if self.graph.followed:
            self._note_place(event)
        if self.not_before:
            self.not_before.pop(event.task, None)

    def _adopted(self, event: TaskAdopted) -> None:
        task = event.task
        self._move(task, LEASED, event)
        self.attempt[task], self.lease[task] = event.attempt, event.lease
        self._note_place(event)
        if event.refunded:
            self.faults[task].pop()
            self._forgive(task, event.node)

    def _note_place(self, event: TaskLeased | TaskAdopted) -> None:
        if event.task in self.graph.followed:
            self.places[event.task] = event.node

    def _forgive(self, task: int, node: str) -> None:
        """Take back that a task failed on a node: it went on there after all."""
        avoided = self.avoid.pop(task, ())
        left = avoided[:-1] if avoided[-1:] == (node,) else avoided
        if left:
            self.avoid[task] = left

    def _started(self, event: TaskStarted) -> None:
        self._move(event.task, RUNNING, event)

    def _reused(self, event: TaskReused) -> None:
        # What its attempt went through was told in the log of the earlier run.
        for phase in (LEASED, RUNNING):
            self._move(event.task, phase, event)
        self._finished(event)

    def _finished(self, event: TaskFinished | TaskReused) -> None:
        self._move(event.task, FINISHED, event)
        self._leave_behind(event)

    def _leave_behind(self, event: TaskFinished | TaskReused) -> None:
        """Take in what a finished task leaves, and let others wait for it no longer."""
        task = event.task
        if self.faults:
            self._forget_faults(task)
        if isinstance(event, TaskFinished):
            if event.node:
                self.objects.finished(event, keeps=self._keeps(task))
        elif any(meta.object for meta in event.outputs):
            self.objects.reused(event, -1 - (self.no << TASK_BITS | task), keeps=self._keeps(task))
        first = self.graph.first
        if first[task] < first[task + 1]:  # else nobody waits for it
            self.outputs[task] = event.outputs
            self._wake(self.graph.after(task), event)

    def _keeps(self, task: int) -> bool:
        return not self.graph.after(task) or self.graph.spec(task).keep

    def _wake(self, after: Iterable[int], event: RunEvent) -> None:
        """Let the tasks after a finished one wait for it no longer."""
        for there in after:
            self.missing[there] -= 1
            if not self.missing[there] and self.phase[there] == WAITING:
                self._move(there, READY, event)
                (self.later if there in self.not_before else self.fresh).append(there)

    def _object_lost(self, event: ObjectLost) -> None:
        if event.task not in self.objects.made:
            raise IllegalMove(f"it made no objects; {self.story(event.task)}")
        self.objects.were_lost(event)
        self._again(event.task, event)
        for there in self.graph.after(event.task):
            self.missing[there] += 1
            if self.phase[there] == READY:
                self._move(there, WAITING, event)

    def _rebuilt(self, event: ObjectRebuilt) -> None:
        if event.task not in self.objects.lost:
            raise IllegalMove(f"nothing of it was lost; {self.story(event.task)}")
        self.objects.were_rebuilt(event)
        self._move(event.task, FINISHED, event)
        self._forget_faults(event.task)
        self._wake(self.graph.after(event.task), event)

    def _gone(self, event: ObjectGone) -> None:
        if self.objects.are_gone(event):
            # It was finished all the time: from wherever it is now it goes the way of all tasks, at once.
            for phase in range(self.phase[event.task], FINISHED):
                self._move(event.task, phase + 1, event)
            self._forget_faults(event.task)
            self._wake(self.graph.after(event.task), event)

    def _again(self, task: int, event: RunEvent) -> None:
        """Let a task be ready once more, or wait if what it needs is being made anew."""
        self._move(task, READY, event)
        if self.missing[task]:
            self._move(task, WAITING, event)
        else:
            (self.later if task in self.not_before else self.again).append(task)

    def _failed(self, event: TaskFailed) -> None:
        self._move(event.task, FAILED, event)
        self._forget_faults(event.task)
        if self.submitted.fail_fast and self.stopped_by is None:
            self.stopped_by, self.halting = event.task, True

    def _lost(self, event: AttemptLost) -> None:
        task = event.task
        self.faults.setdefault(task, []).append(event.error)
        if event.node and event.error.kind in NOT_ITS_OWN:
            self.avoid[task] = (*self.avoid.get(task, ()), event.node)
        if event.mem_mib:
            self.grown[task] = event.mem_mib
        if event.not_before:
            self.not_before[task] = event.not_before
        self._again(task, event)

    def _forget_faults(self, task: int) -> None:
        self.faults.pop(task, None)
        self.avoid.pop(task, None)

    def _returned(self, event: TaskReleased | AttemptInterrupted) -> None:
        self._again(event.task, event)

    def _skipped(self, event: TaskSkipped) -> None:
        self._move(event.task, SKIPPED, event)

    def _cancelled(self, event: TaskCancelled) -> None:
        self._move(event.task, CANCELLED, event)

    def _cancel_requested(self, event: CancelRequested) -> None:
        self.cancelling = self.halting = True
        self.cancel_reason = event.reason
        self.phase = self.phase.translate(UNHELD_CANCELLED)
        self.counts[CANCELLED] += self.counts[WAITING] + self.counts[READY]
        self.counts[WAITING] = self.counts[READY] = 0
        self.ready_of = array("I", bytes(4 * len(self.ready_of)))

    def _sealed(self, event: RunFinished | RunCancelled) -> None:
        if self.open or self.objects.unkept:
            owed = f"{self.open} tasks are not over, objects of {len(self.objects.unkept)} are not kept"
            raise IllegalMove(f"run {self.no} cannot end: {owed}")
        self.sealed_by = event

    def _kept(self, event: OutputKept) -> None:
        self.objects.was_kept(event)

    def _warned(self, event: TaskWarned) -> None:
        """Take note of nothing: warnings are for readers."""


_APPLY: Final[dict[type, Callable[[Run, Any], None]]] = {
    RunSubmitted: Run._submitted,
    TaskLeased: Run._leased,
    TaskAdopted: Run._adopted,
    TaskReused: Run._reused,
    TaskStarted: Run._started,
    TaskFinished: Run._finished,
    TaskFailed: Run._failed,
    AttemptLost: Run._lost,
    TaskReleased: Run._returned,
    AttemptInterrupted: Run._returned,
    TaskSkipped: Run._skipped,
    TaskCancelled: Run._cancelled,
    CancelRequested: Run._cancel_requested,
    RunFinished: Run._sealed,
    RunCancelled: Run._sealed,
    TaskWarned: Run._warned,
    OutputKept: Run._kept,
    ObjectLost: Run._object_lost,
    ObjectRebuilt: Run._rebuilt,
    ObjectGone: Run._gone,
}
