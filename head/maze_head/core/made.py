"""What a run's log says of its objects: made under which lease, kept by the head, lost, made anew, gone for good.

Data that only `Run.apply` changes; where the copies are is no part of the log (objects.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maze_protocol.events import (
    ObjectGone,
    ObjectLost,
    ObjectRebuilt,
    OutputKept,
    OutputMeta,
    TaskFinished,
    TaskReused,
)
from maze_protocol.messages import ErrorInfo

if TYPE_CHECKING:
    from maze_head.core.runs import Run
    from maze_head.core.tasks import TaskSpec

__all__ = ["Made", "RunObjects", "needs_of", "objects_of"]


class Made(NamedTuple):
    """The outputs of the attempt that made a task's objects last."""

    lease: int
    """Negative: nobody has them, and this is on no wire."""
    node: str
    outputs: tuple[OutputMeta, ...]


class RunObjects:
    """The objects of one run."""

    __slots__ = ("depth", "elsewhere", "gone", "kept", "lost", "made", "rebuilds", "unkept")

    def __init__(self) -> None:
        self.made: dict[int, Made] = {}
        """By task; only of tasks that have objects."""
        self.unkept: dict[int, tuple[int, ...]] = {}
        """Outputs, by task, without which the run is not over: the head has yet to get them."""
        self.kept: dict[int, tuple[int, ...]] = {}
        """Outputs, by task, that are in the head's blob directory."""
        self.elsewhere: dict[int, tuple[int, ...]] = {}
        """Outputs, by task, that are there for the earlier run whose result was reused."""
        self.lost: dict[int, tuple[int, ...]] = {}
        """Of finished tasks that are run once more: for which outputs."""
        self.depth: dict[int, int] = {}
        """Of those: 1 if what needs it is not run again itself, else one more than the depth of that."""
        self.rebuilds: dict[int, int] = {}
        """How often a task was, or is, run once more."""
        self.gone: dict[tuple[int, int], ErrorInfo] = {}
        """(task, output) of what can be had no more, and why."""

    def finished(self, event: TaskFinished, *, keeps: bool) -> None:
        """Note the objects of a task; `keeps`: the head is to have them."""
        self.made[event.task] = Made(event.lease, event.node, event.outputs)
        if keeps:
            self.unkept[event.task] = objects_of(event.outputs)

    def reused(self, event: TaskReused, name: int, *, keeps: bool) -> None:
        """Note that a result has objects which were made in an earlier run.

        Args:
            event: tells of them.
            name: what they go by if nobody has them.
            keeps: the head is to have them.
        """
        self.made[event.task] = Made(event.lease or name, event.node, event.outputs)
        if event.kept:
            self.elsewhere[event.task] = event.kept
        if keeps:
            self.unkept[event.task] = objects_of(event.outputs)

    def was_kept(self, event: OutputKept) -> None:
        """Note that the head has an object."""
        self.kept[event.task] = (*self.kept.get(event.task, ()), event.output)
        self._owe_less(event.task, (event.output,))

    def were_lost(self, event: ObjectLost) -> None:
        """Note for what a task is run once more."""
        self.lost[event.task] = event.outputs
        self.depth[event.task] = 1 + self.depth.get(event.needed_by, 0)
        self.rebuilds[event.task] = self.rebuilds.get(event.task, 0) + 1

    def were_rebuilt(self, event: ObjectRebuilt) -> None:
        """Note who has the objects of a task from now on."""
        del self.lost[event.task], self.depth[event.task]
        self.elsewhere.pop(event.task, None)
        self.made[event.task] = Made(event.lease, event.node, event.outputs)

    def are_gone(self, event: ObjectGone) -> bool:
        """Note what is waited for no longer; return whether the task was being run for it."""
        for output in event.outputs:
            self.gone[event.task, output] = event.error
        self._owe_less(event.task, event.outputs)
        self.depth.pop(event.task, None)
        return self.lost.pop(event.task, None) is not None

    def _owe_less(self, task: int, outputs: tuple[int, ...]) -> None:
        left = tuple(output for output in self.unkept.pop(task, ()) if output not in outputs)
        if left:
            self.unkept[task] = left


def objects_of(outputs: tuple[OutputMeta, ...]) -> tuple[int, ...]:
    """Return the numbers of those outputs that are objects."""
    return tuple(number for number, meta in enumerate(outputs) if meta.object)


def needs_of(run: Run, spec: TaskSpec) -> dict[int, tuple[int, ...]]:
    """Return the objects that a task has as inputs: numbers of outputs, by the task that made them."""
    made, index = run.objects.made, run.graph.index
    if not made:
        return {}
    wanted: dict[int, dict[str, None]] = {}
    for entry in spec.inputs:
        for task_id, key in entry.refs:
            wanted.setdefault(index[task_id], {})[key] = None
    return {
        source: numbers
        for source, keys in wanted.items()
        if source in made and (numbers := _numbers(made[source].outputs, keys))
    }


def _numbers(outputs: tuple[OutputMeta, ...], keys: dict[str, None]) -> tuple[int, ...]:
    return tuple(number for number, meta in enumerate(outputs) if meta.object and meta.key in keys)
