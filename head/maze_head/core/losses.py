"""Objects that no node has any more, though somebody needs them: made anew, or given up (docs/adr/0022).

* Needed is what a task that waits or is ready has as an input, and what the head has yet to keep. A task that is leased
  or runs may have its inputs already: if it comes back, its turn is when it is found out.
* Made anew is: the finished task goes back to be ready and runs once more under a lease of its own, its own lost inputs
  first. At most `REBUILDS` tasks deep and `REBUILDS` times per task; never what may be started once only, and nothing
  in a run that halts.
* What cannot be made anew, or fails while it is, is gone: who waits for it fails (ends.py).
* A node that could get an input from nobody hands the lease back (STARVED), which is tried again after a pause. After a
  few times whoever was named, to nodes or to the head, is believed no more: what nobody gives is as good as lost.
* For a while after a restart of the head nothing is judged: whoever holds something has yet to say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from maze_head.core.backlog import withdraw
from maze_head.core.ends import fail, give_up, release
from maze_head.core.made import needs_of
from maze_head.core.nodes import Node
from maze_head.core.objects import Copies, distrust
from maze_head.core.references import HEAD, named, reachable
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.tasks import TaskSpec
from maze_head.core.transitions import READY, WAITING
from maze_protocol.events import ObjectLost, TaskFailed
from maze_protocol.limits import REBUILDS
from maze_protocol.messages import Starved

__all__ = ["at_hand", "judge", "on_starved", "settle"]

PAUSE: Final = 0.5
"""Seconds until a task is tried again whose inputs nobody could give, or whose holders are not heard."""
MISSES: Final = 3
"""So often, a pause apart, holders give nothing until they are believed no more: a connection that fails for a moment
must not cost the only copy."""


def judge(state: State, lost: Iterable[Copies]) -> None:
    """See to objects that have lost a holder: made anew or given up, if nobody else has them and they are needed."""
    if state.now.mono < state.objects.settled_at:
        return
    for copies in dict.fromkeys(lost):
        run = state.runs.get(copies.run_no)
        if run is None:
            if not copies.holders():
                state.objects.remove(copies.lease)
        elif state.objects.find(run.no, copies.task) is copies and copies.task not in run.objects.lost:
            needed_by = _needed_by(run, copies)
            if needed_by is not None:
                _mend(state, run, copies, needed_by)


def settle(state: State) -> None:
    """Judge everything once all nodes had the time to say what they hold."""
    objects = state.objects
    if objects.settled_at and state.now.mono >= objects.settled_at:
        objects.settled_at = 0.0
        judge(state, list(objects.made.values()))


def _needed_by(run: Run, copies: Copies) -> int | None:
    """Return a task that needs what nobody has of these objects; -1: the head, to keep it; None: nobody."""
    missing = [output for output in copies.missing() if (copies.task, output) not in run.objects.gone]
    if not missing:
        return None
    if any(output in missing for output in run.objects.unkept.get(copies.task, ())):
        return -1
    for there in run.graph.after(copies.task):
        if run.phase[there] in (WAITING, READY):
            needed = needs_of(run, run.graph.spec(there)).get(copies.task, ())
            if any(output in missing for output in needed):
                return there
    return None


def _mend(state: State, run: Run, copies: Copies, needed_by: int) -> None:
    """Have what is missing of a task's objects made anew, or give it up."""
    why_not = _obstacle(state, run, copies.task, 1 + run.objects.depth.get(needed_by, 0))
    if why_not:
        give_up(state, run, copies.task, why_not)
    else:
        _rebuild(state, run, copies, needed_by)


def _obstacle(state: State, run: Run, task: int, depth: int) -> str:
    """Return why a task cannot be run once more, or nothing."""
    name = run.graph.task_name(task)
    if run.halting:
        return "the run is stopping"
    if run.graph.spec(task).at_most_once:
        return f"task {name!r} may be started once only (at_most_once)"
    if run.objects.rebuilds.get(task, 0) >= REBUILDS:
        return f"task {name!r} was run again {REBUILDS} times for what it made"
    if depth > REBUILDS:
        return f"task {name!r} would have to run again, too, and {REBUILDS} tasks in a row is the most"
    reasons = (_obstacle(state, run, each.task, depth + 1) for each in _lost_sources(state, run, task))
    return next(filter(None, reasons), "")


def _lost_sources(state: State, run: Run, task: int) -> list[Copies]:
    """Return the objects of which nobody has what a task needs, and that are not being made anew."""
    found = []
    for source, outputs in needs_of(run, run.graph.spec(task)).items():
        copies = state.objects.of(run.no, source)
        if source not in run.objects.lost and any(output in copies.missing() for output in outputs):
            found.append(copies)
    return found


def _rebuild(state: State, run: Run, copies: Copies, needed_by: int) -> None:
    for source in _lost_sources(state, run, copies.task):
        _rebuild(state, run, source, copies.task)
    # The task itself, too: a result that was reused has left its place in the queue behind.
    left = [there for there in run.graph.after(copies.task) if run.phase[there] == READY]
    withdraw(state, run, dict.fromkeys((copies.task, *left)))
    missing = copies.missing()
    state.counters.objects_lost += len(missing)
    state.record(run, ObjectLost(copies.task, missing, copies.parts[missing[0]].last_holder, needed_by))


def at_hand(state: State, run: Run, task: int, spec: TaskSpec, node: Node) -> bool:
    """Tell whether a node can get all objects that a ready task needs; if not, the task waits for them, or fails."""
    for source, outputs in needs_of(run, spec).items():
        copies = state.objects.of(run.no, source)
        for output in outputs:
            if not _is_at_hand(state, run, task, copies, output, node):
                return False
    return True


def _is_at_hand(state: State, run: Run, task: int, copies: Copies, output: int, node: Node) -> bool:
    part = copies.parts[output]
    if part.kept or part.like or node.id in part.holders or reachable(state, part):
        return True
    gone = run.objects.gone.get((copies.task, output))
    if part.holders or state.now.mono < state.objects.settled_at:
        state.ready.delay(state.now.mono + PAUSE, run.no, task)
    elif gone is not None:
        fail(state, run, TaskFailed(task, run.attempt[task], 0, gone))
    else:
        _mend(state, run, copies, task)
    return False


def on_starved(state: State, node: Node, message: Starved) -> None:
    """Take back a lease whose inputs a node could get from nobody."""
    lease = node.leases.get(message.lease)
    if lease is None:
        state.counters.messages_ignored += 1
        return
    run, task = lease.run, lease.task
    release(state, lease, message.reason[:200])
    judge(state, [copies for copies in (_missed(state, node, *each) for each in message.objects) if copies is not None])
    if run.phase[task] == READY:
        withdraw(state, run, {task: None})
        state.ready.delay(state.now.mono + PAUSE, run.no, task)


def _missed(state: State, node: Node, lease: int, output: int) -> Copies | None:
    """Believe no more those who gave nobody an object for a while; return it if that was so."""
    copies = state.objects.made.get(lease)
    part = copies.parts.get(output) if copies is not None else None
    if copies is None or part is None:
        return None
    distrust(state, node, copies, output)
    if state.now.mono - part.missed_at >= PAUSE:
        part.misses, part.missed_at = part.misses + 1, state.now.mono
    if part.misses < MISSES and part.holders:
        return None
    part.misses = 0
    for each in (*named(state, part, node.id), *named(state, part, HEAD)):
        distrust(state, each, copies, output)
    return copies
