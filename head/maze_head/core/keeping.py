"""What the head keeps of a run's objects: those of sink tasks and of tasks with `keep`. The run is not over without.

* The head is told to get them as soon as the task has finished, and again after a pause when nobody could give one.
* Where all holders failed `TRIES` times in a row although the head hears them, they are believed no more.
* A node that drains is relieved of what it holds: the head gets what nobody else has and somebody needs, and the node
  may leave when it was told to forget all of it.
* As long as no holder is heard, nothing is tried: it comes back, or is lost with its copies.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.effects import KeepObject
from maze_head.core.events import ObjectKept, ObjectUnkept
from maze_head.core.objects import Copies, distrust, note_made, settle_kept
from maze_head.core.references import HEAD, reachable, reference
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_protocol.events import OutputKept

__all__ = ["hand_off", "keep_owed", "on_kept", "on_unkept", "take_in"]

TRIES: Final = 3
PAUSE: Final = 1.0
"""Seconds before the head is told once more to get an object."""


def take_in(state: State, run: Run, task: int) -> Copies:
    """Note the objects that a task has made, have those kept that are to be, and return all."""
    copies = note_made(state, run, task)
    unkept = run.objects.unkept.get(task, ())
    for output, part in copies.parts.items():
        if output in unkept or part.like:
            _order(state, copies, output)
    return copies


def keep_owed(state: State) -> None:
    """Have the head get what it is to keep and is not getting."""
    for lease, output in list(state.objects.owed):
        copies = state.objects.made[lease]
        part = copies.parts[output]
        if part.again_at <= state.now.mono and not state.read_only:
            _order(state, copies, output)


def _order(state: State, copies: Copies, output: int) -> None:
    part = copies.parts[output]
    if not (part.like or reachable(state, part)):
        return
    state.objects.owed.pop((copies.lease, output), None)
    part.keeping = True
    state.emit(KeepObject(copies.run_no, copies.task, output, reference(state, copies, output, HEAD), part.like))


def hand_off(state: State) -> None:
    """Have the head get what only nodes that drain hold and somebody needs, and let those nodes throw away the rest."""
    for node in [node for node in state.nodes.values() if node.draining and node.id in state.objects.of_node]:
        for lease in list(state.objects.of_node[node.id]):
            copies = state.objects.made[lease]
            held = [output for output, part in copies.parts.items() if node.id in part.holders]
            left = [output for output in held if _needs_node(state, copies, output)]
            for output in left:
                part = copies.parts[output]
                if not part.keeping and part.again_at <= state.now.mono and not state.read_only:
                    _order(state, copies, output)
            for output in held if not left else ():
                distrust(state, node, copies, output)


def _needs_node(state: State, copies: Copies, output: int) -> bool:
    """Tell whether somebody needs an object that only nodes which drain hold."""
    run, part = state.runs.get(copies.run_no), copies.parts[output]
    if run is None or part.kept or part.like or state.objects.find(run.no, copies.task) is not copies:
        return False
    if any(not state.nodes[name].draining for name in part.holders):
        return False
    return output in run.objects.unkept.get(copies.task, ()) or run.is_awaited(copies.task)


def on_kept(state: State, event: ObjectKept) -> None:
    """Take in that the head has an object."""
    run = state.runs.get(event.run_no)
    copies = state.objects.find(event.run_no, event.task_no)
    part = copies.parts.get(event.output) if copies is not None else None
    if run is None or copies is None or part is None or part.kept:
        return
    part.kept, part.keeping, part.like = True, False, 0
    state.objects.owed.pop((copies.lease, event.output), None)
    state.counters.objects_kept += 1
    state.record(run, OutputKept(event.task_no, event.output, part.meta.key, event.size))
    settle_kept(state, run, event.task_no)


def on_unkept(state: State, event: ObjectUnkept) -> list[Copies]:
    """Take in that nobody could give an object; return that if it is lost by that."""
    copies = state.objects.find(event.run_no, event.task_no)
    part = copies.parts.get(event.output) if copies is not None else None
    if copies is None or part is None or not part.keeping:
        return []
    was_elsewhere, part.like, part.keeping = bool(part.like), 0, False
    part.again_at = state.now.mono + PAUSE
    run = state.runs.get(event.run_no)
    wanted = run is not None and event.output in run.objects.unkept.get(event.task_no, ())
    if wanted:
        state.objects.owed[copies.lease, event.output] = None
    if was_elsewhere and not part.holders:
        return [copies]
    if not wanted:
        return []  # it was to be kept for the sake of a node that leaves; which is looked at again
    holders = reachable(state, part)
    part.tries += bool(holders)
    if part.tries < TRIES:
        return []
    part.tries = 0
    for node in holders:
        distrust(state, node, copies, event.output)
    return [copies]
