"""What the head keeps of a run's objects: those of sink tasks and of tasks with `keep`. The run is not over without.

* The head is told to get them as soon as the task has finished, and again after a pause when nobody could give one.
* Where all holders failed `TRIES` times in a row although the head hears them, they are believed no more.
* As long as no holder is heard, nothing is tried: it comes back, or is lost with its copies.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.effects import KeepObject
from maze_head.core.events import ObjectKept, ObjectUnkept
from maze_head.core.objects import HEAD, Copies, distrust, note_made, reachable, reference, settle_kept
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_protocol.events import OutputKept

__all__ = ["keep_owed", "on_kept", "on_unkept", "take_in"]

TRIES: Final = 3
PAUSE: Final = 1.0
"""Seconds before the head is told once more to get an object."""


def take_in(state: State, run: Run, task: int) -> None:
    """Note the objects that a task has made, and have those kept that are to be."""
    copies = note_made(state, run, task)
    for output in run.objects.unkept.get(task, ()):
        _order(state, copies, output)


def keep_owed(state: State) -> None:
    """Have the head get what it is to keep and is not getting."""
    for lease, output in list(state.objects.owed):
        copies = state.objects.made[lease]
        part = copies.parts[output]
        if part.again_at <= state.now.mono and not state.read_only:
            _order(state, copies, output)


def _order(state: State, copies: Copies, output: int) -> None:
    part = copies.parts[output]
    if not reachable(state, part):
        return
    state.objects.owed.pop((copies.lease, output), None)
    part.keeping = True
    state.emit(KeepObject(copies.run_no, copies.task, output, reference(state, copies, output, HEAD)))


def on_kept(state: State, event: ObjectKept) -> None:
    """Take in that the head has an object."""
    run = state.runs.get(event.run_no)
    copies = state.objects.find(event.run_no, event.task_no)
    if run is None or copies is None or event.output not in run.objects.unkept.get(event.task_no, ()):
        return
    part = copies.parts[event.output]
    part.kept, part.keeping = True, False
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
    part.keeping = False
    part.again_at = state.now.mono + PAUSE
    state.objects.owed[copies.lease, event.output] = None
    holders = reachable(state, part)
    part.tries += bool(holders)
    if part.tries < TRIES:
        return []
    part.tries = 0
    for node in holders:
        distrust(state, node, copies, event.output)
    return [copies]
