"""How tasks and runs end: failure and what it skips, cancellation, sealing.

* A failed task skips everything downstream of it, once; other branches go on.
* A run that halts (cancelled, or fail-fast after a failure) starts nothing more. Holders are told to stop; whatever
  they answer, and if they are lost, the task is CANCELLED. A result accepted before stands.
* A cancel drops waiting tasks by the CancelRequested event itself, without an event for each.
* What cannot be made anew of a task's objects is gone: who waits for it fails with `ObjectLost`, and so does what comes
  after. The task itself is FINISHED, as it was: its accepted result stands.
* The run is sealed when the last task is over and the head has the objects that it keeps (keeping.py): RunCancelled
  after a cancel, else RunFinished (also fail-fast runs; `skipped` then counts the tasks it cancelled, too).
"""

from __future__ import annotations

from typing import Final

from maze_head.core.backlog import withdraw
from maze_head.core.describe import run_body, run_status
from maze_head.core.effects import Send
from maze_head.core.leases import Lease
from maze_head.core.made import needs_of
from maze_head.core.objects import Copies, close_run
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import CANCELLED, FAILED, FINISHED, READY, RUNNING, SKIPPED, WAITING
from maze_protocol.events import (
    CancelRequested,
    ObjectGone,
    RunCancelled,
    RunFinished,
    TaskCancelled,
    TaskFailed,
    TaskReleased,
    TaskSkipped,
    TaskWarned,
)  # fmt: skip
from maze_protocol.messages import Cancel, ErrorInfo

__all__ = [
    "cancel_run", "cancel_task", "end_cancelled", "fail", "give_back", "give_up", "release", "retire", "seal_if_over",
]  # fmt: skip


STOPPING: Final = "the run is stopping"
NOT_MADE: Final = "what it waits for did not end well"
OBJECT_LOST: Final = "object_lost"


def give_back(state: State, lease: Lease) -> None:
    """Take a lease out of force; its node has room again, unless others queue behind it.

    An early lease that lacks its outputs is taken back, too. Its node mostly has handed it back before; where it has
    not, it believes that those outputs count. Where the run stops, it was told to stop both, and answers for each.
    """
    if lease.follows is not None or lease.follower is not None:
        _take_back_early(state, lease)
    if state.leases.end(lease, state.now.mono):
        for node, _ in lease.parts():
            state.gain(node)


def _take_back_early(state: State, lease: Lease) -> None:
    follower = lease.part()
    if follower is not None and not lease.run.halting:
        release(state, follower, NOT_MADE)
        if follower.node.link is not None:
            state.emit(Send(follower.node.link, Cancel((follower.token,), NOT_MADE, state.settings.cancel_grace)))


def release(state: State, lease: Lease, reason: str) -> None:
    """Take back a lease that never ran; the task is tried again without blame, unless its run halts."""
    if lease.run.halting:
        end_cancelled(state, lease)
        return
    give_back(state, lease)
    state.counters.leases_released += 1
    attempt = lease.run.attempt[lease.task]
    state.record(lease.run, TaskReleased(lease.task, attempt, lease.token, reason))


def end_cancelled(state: State, lease: Lease) -> None:
    """End an attempt of a run that halts."""
    give_back(state, lease)
    state.counters.tasks_cancelled += 1
    cancel_task(state, lease.run, lease.task, lease.run.cancel_reason or "another task of this run failed")


def cancel_task(state: State, run: Run, task: int, reason: str) -> None:
    """End a task of a run that halts, which nobody holds any more."""
    if task in run.objects.lost:
        _note_gone(state, run, task, STOPPING)
    else:
        state.record(run, TaskCancelled(task, run.attempt[task], reason, run.phase[task] == RUNNING))


def fail(state: State, run: Run, event: TaskFailed) -> None:
    """Fail a task for good, with all that follows from it; one that ran once more only loses what it ran for."""
    if event.task in run.objects.lost:
        give_up(state, run, event.task, f"running it again failed with {event.error.type_name}: {event.error.message}")
        return
    was_halting = run.halting
    state.record(run, event)
    state.counters.tasks_failed += 1
    _skip(state, run, _downstream(run, event.task), event.task)
    if run.stopped_by is not None and not was_halting:
        _stop_rebuilds(state, run)
        left = [task for task in range(len(run.graph)) if run.phase[task] in (WAITING, READY)]
        _skip(state, run, left, event.task)
        _stop_holders(state, run, "another task of this run failed")


def _downstream(run: Run, failed: int) -> list[int]:
    found: dict[int, None] = {}
    stack = [failed]
    while stack:
        for there in run.graph.after(stack.pop()):
            if there not in found and run.phase[there] == WAITING:
                found[there] = None
                stack.append(there)
    return list(found)


def _skip(state: State, run: Run, tasks: list[int], because: int) -> None:
    state.counters.tasks_skipped += len(tasks)
    for task in tasks:
        state.record(run, TaskSkipped(task, because))


def cancel_run(state: State, run: Run, reason: str) -> None:
    """Ask a run to stop; again is no change."""
    if run.cancelling:
        return
    already_stopping = run.halting
    _stop_rebuilds(state, run)
    state.counters.tasks_cancelled += run.counts[WAITING] + run.counts[READY]
    state.record(run, CancelRequested(reason))
    if not already_stopping:
        _stop_holders(state, run, reason)


def _stop_rebuilds(state: State, run: Run) -> None:
    """Let the finished tasks that wait to be run once more be finished again."""
    for task in [task for task in run.objects.lost if run.phase[task] in (WAITING, READY)]:
        _note_gone(state, run, task, STOPPING)


def give_up(state: State, run: Run, task: int, why: str) -> None:
    """Take in that what nobody has of a task's objects cannot be made anew: who waits for it fails."""
    error = _note_gone(state, run, task, why)
    if run.halting:
        return
    for there in run.graph.after(task):
        needed = needs_of(run, run.graph.spec(there)).get(task, ())
        if run.phase[there] in (WAITING, READY) and any((task, output) in run.objects.gone for output in needed):
            fail(state, run, TaskFailed(there, run.attempt[there], 0, error))


def _note_gone(state: State, run: Run, task: int, why: str) -> ErrorInfo:
    copies = state.objects.of(run.no, task)
    missing = tuple(output for output in copies.missing() if (task, output) not in run.objects.gone)
    error = _object_lost(run, task, copies, why)
    if run.phase[task] == READY:
        withdraw(state, run, {task: None})
    for output in missing:
        state.objects.owed.pop((copies.lease, output), None)
        copies.parts[output].keeping = False
    if any(output in missing for output in run.objects.unkept.get(task, ())):
        state.record(run, TaskWarned(task, error.message))
    state.counters.objects_gone += len(missing)
    state.record(run, ObjectGone(task, missing, error))
    return error


def _object_lost(run: Run, task: int, copies: Copies, why: str) -> ErrorInfo:
    missing = copies.missing()
    keys = ", ".join(repr(copies.parts[output].meta.key) for output in missing)
    node = copies.parts[missing[0]].last_holder if missing else ""
    where = f"node {node}, which held it last, has it no more" if node else "no node has it"
    message = (
        f"output {keys} of task {run.graph.task_name(task)!r} is lost: {where}, and it cannot be made anew, since "
        f"{why}; run the workflow again, or have what must outlive a node kept (keep=True)"
    )
    return ErrorInfo(OBJECT_LOST, "ObjectLost", message)


def _stop_holders(state: State, run: Run, reason: str) -> None:
    by_link: dict[bytes, list[int]] = {}
    for lease in state.leases.current.values():
        if lease.run is run:
            lease.cancelled = True
            if lease.node.link is not None:
                by_link.setdefault(lease.node.link, []).append(lease.token)
    for link, tokens in by_link.items():
        state.emit(Send(link, Cancel(tuple(tokens), reason, state.settings.cancel_grace)))


def seal_if_over(state: State, run: Run) -> None:
    """Write the last event of a run whose tasks are all over and whose objects are kept."""
    if run.open or run.objects.unkept or run.sealed_by is not None:
        return
    counts = run.counts
    if run.cancelling:
        state.record(run, RunCancelled(counts[FINISHED], counts[FAILED], counts[CANCELLED]))
    else:
        state.record(run, RunFinished(counts[FINISHED], counts[FAILED], counts[SKIPPED] + counts[CANCELLED]))
    run.ended_at = state.now.wall
    if run_status(run) == "finished":
        state.observed.note_run(run.ended_at - run.submitted_at)
    state.counters.runs_sealed += 1
    close_run(state, run)


def retire(state: State, run: Run) -> None:
    """Forget all of a sealed run but its summary."""
    state.close_run(run, run_body(state, run))
