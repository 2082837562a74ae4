"""The graph of an earlier run is run again, from its beginning or with the results that it has already.

What the journal has of the earlier run comes with the command (`events.RetryRun`); what is checked here is that it is
the whole of it. Reused results become the new run's own: an event each, and a copy of the accepted row in the same
commit, so that either run may be removed without hurting the other. Objects pass from the earlier run to the new one:
nodes hold them under the lease that made them, as before, and what the head keeps for the earlier run is linked. Those
that nobody has, and those that another live run has taken over, are made anew if they are needed, as if they were lost
(losses.py).
"""

from __future__ import annotations

import msgspec

from maze_head.core import events as asked
from maze_head.core.commands import begin_run, check_room
from maze_head.core.effects import CopyAccepted
from maze_head.core.errors import Conflict
from maze_head.core.graph import Graph
from maze_head.core.infeasible import announce
from maze_head.core.keeping import take_in
from maze_head.core.lookups import find_run, refuse_gone, show
from maze_head.core.losses import judge
from maze_head.core.state import State
from maze_protocol.events import RunSubmitted, TaskReused
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, format_id

__all__ = ["retry_run"]


def retry_run(state: State, command: asked.RetryRun) -> RunBody:
    """Run the graph of an earlier run again, or return the run of that id.

    Raises:
        NotFound, Gone: no such earlier run.
        Conflict: the earlier run is not over, nothing of it is left to run, or the run id is another run's.
    """
    earlier = command.earlier
    number = state.run_numbers.get(command.run_id)
    if number is not None:
        return _same_retry(state, number, earlier)
    refuse_gone(state, command.run_id, RUN)
    earlier_number = find_run(state, earlier.run_id)
    _check_over(state, earlier_number, command)
    reused = tuple(task for task, _ in command.reused)
    if command.from_failed and len(reused) == earlier.tasks:
        message = f"every task of {format_id(earlier.run_id, RUN)} has its result"
        raise Conflict("nothing_to_retry", message, hint="retry it without from_failed to run all of it again")
    check_room(state, earlier.tasks - len(reused))
    submitted = msgspec.structs.replace(earlier, run_id=command.run_id, retry_of=earlier.run_id)
    run = begin_run(state, submitted, _graph(state, command))
    made = {task: (lease, node, kept) for task, lease, node, kept in command.made}
    for task, outputs in command.reused:
        inherited = _inherited(state, *made[task]) if task in made else (0, "", ())
        state.record(run, TaskReused(task, outputs, *inherited))
    if reused:
        state.emit(CopyAccepted(earlier_number, run.no, reused))
    # After all of them: what is needed is what those need that have no result.
    judge(state, [take_in(state, run, task) for task in list(run.objects.made)])
    return announce(state, run)


def _inherited(state: State, lease: int, node: str, kept: tuple[int, ...]) -> tuple[int, str, tuple[int, ...]]:
    """Return the lease whose objects pass to a new run, its node, and what the head keeps of them."""
    copies = state.objects.made.get(lease)
    if copies is not None and copies.run_no in state.runs:
        return 0, "", ()
    held = copies is not None and any(part.holders for part in copies.parts.values())
    return (lease, node, kept) if kept or held else (0, "", ())


def _same_retry(state: State, number: int, earlier: RunSubmitted) -> RunBody:
    body = show(state, number)
    if body.retry_of != format_id(earlier.run_id, RUN):
        raise Conflict("run_exists", f"{body.run_id} is another run", field="$.run_id")
    return body


def _check_over(state: State, number: int, command: asked.RetryRun) -> None:
    """Refuse unless the earlier run is sealed and its log was read to the end."""
    body = show(state, number)
    if not body.sealed or body.last_seq != command.last_seq:
        hint = "wait for its end, or cancel it"
        raise Conflict("run_not_over", f"{body.run_id} is not over ({body.status})", hint=hint)


def _graph(state: State, command: asked.RetryRun) -> Graph:
    key = command.earlier.workflow_id, command.earlier.version
    return state.graphs.setdefault(key, command.graph)
