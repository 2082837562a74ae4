"""How tasks and runs end: failure and what it skips, cancellation, sealing.

* A failed task skips everything downstream of it, once; other branches go on.
* A run that halts (cancelled, or fail-fast after a failure) starts nothing more. Holders are told to stop; whatever
  they answer, and if they are lost, the task is CANCELLED. A result accepted before stands.
* A cancel drops waiting tasks by the CancelRequested event itself, without an event for each.
* The run is sealed when the last task is over and the head has the objects that it keeps (keeping.py): RunCancelled
  after a cancel, else RunFinished (also fail-fast runs; `skipped` then counts the tasks it cancelled, too).
"""

from __future__ import annotations

from maze_head.core.describe import run_body, run_status
from maze_head.core.effects import Send
from maze_head.core.leases import Lease
from maze_head.core.objects import close_run
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import CANCELLED, FAILED, FINISHED, READY, RUNNING, SKIPPED, WAITING
from maze_protocol.events import (
    CancelRequested,
    RunCancelled,
    RunFinished,
    TaskCancelled,
    TaskFailed,
    TaskReleased,
    TaskSkipped,
)  # fmt: skip
from maze_protocol.messages import Cancel

__all__ = ["cancel_run", "end_cancelled", "fail", "give_back", "release", "retire", "seal_if_over"]


def give_back(state: State, lease: Lease) -> None:
    """Take a lease out of force; its node has room again, unless others queue behind it."""
    if state.leases.end(lease, state.now.mono):
        for node, _ in lease.parts():
            state.gain(node)


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
    run, task = lease.run, lease.task
    give_back(state, lease)
    state.counters.tasks_cancelled += 1
    reason = run.cancel_reason or "another task of this run failed"
    state.record(run, TaskCancelled(task, run.attempt[task], reason, run.phase[task] == RUNNING))


def fail(state: State, run: Run, event: TaskFailed) -> None:
    """Fail a task for good, with all that follows from it."""
    was_halting = run.halting
    state.record(run, event)
    state.counters.tasks_failed += 1
    _skip(state, run, _downstream(run, event.task), event.task)
    if run.stopped_by is not None and not was_halting:
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
    state.counters.tasks_cancelled += run.counts[WAITING] + run.counts[READY]
    state.record(run, CancelRequested(reason))
    if not already_stopping:
        _stop_holders(state, run, reason)


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
