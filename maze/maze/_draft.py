"""A workflow while it is being authored: the graph here, and the operations that the head does not have yet.

Pure and lock-protected: no I/O, no clock, no randomness. One draft per process and workflow serves the blocking and
the async client, from any thread.

Life of an operation: `record` applies it and queues it; `take` hands out the next batch, in order; then either
`confirm` (the head has it), or nothing (the answer was lost: it is sent again, which is harmless), or `rebase` (the
head has another revision or refused one: the queue is applied again on top of what the head has, and what no longer
applies leaves the draft by name). Only one batch is out at a time; the caller sees to that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from maze._graph import AddEdge, AddTask, Code, Definition, DelEdge, DelTask, Edge, Graph, Op, SaveTask, Vertex
from maze._literals import Literals
from maze.errors import MazeError

__all__ = ["Batch", "Draft", "describe_op"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations on their way to the head, with the functions that it has not seen."""

    ops: tuple[Op, ...]
    codes: tuple[Code, ...]
    revision: int


NOTHING: Final = Batch((), (), 0)


@dataclass(slots=True)
class Draft:
    """See the module docstring."""

    graph: Graph = field(default_factory=Graph)
    revision: int = 0
    loaded: bool = False
    pending: list[Op] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock, repr=False)
    literals: Literals = field(default_factory=Literals, repr=False)
    definitions: dict[int, tuple[object, Definition]] = field(default_factory=dict, repr=False)
    """What functions declare, by the id of the declaration, which is kept with it so that the id stays taken."""
    _maybe_sent: int = 0
    """How many operations at the front of `pending` the head may have: on their way, or their answer was lost."""
    _functions: dict[int, Code] = field(default_factory=dict)
    _known_codes: dict[str, None] = field(default_factory=dict)

    @property
    def dirty(self) -> bool:
        """Tell whether the head lacks something."""
        return bool(self.pending)

    def code_of(self, function: Callable[..., Any]) -> Code:
        """Return the one Code of a function in this workflow, so that it is pickled once."""
        # The Code keeps the function alive, so its id stays taken.
        known = self._functions.get(id(function))
        if known is None:
            with self.lock:
                known = self._functions.setdefault(id(function), Code("pickle", function, function.__name__))
        return known

    def record(self, op: Op) -> None:
        """Apply an operation and queue it for the head.

        Raises:
            GraphError, UnknownTaskError, UnknownOutputError: as `Graph.apply`; nothing is queued.
        """
        with self.lock:
            if self.graph.apply(op) and not (type(op) is DelTask and self._withdraw(op.task_id)):
                self.pending.append(op)

    def unpickled(self) -> list[tuple[Code, Vertex]]:
        """Return the queued functions that have no bytes yet, each with the first task that uses it."""
        with self.lock:
            tasks = [op.task for op in self.pending if isinstance(op, (AddTask, SaveTask))]
        first: dict[int, tuple[Code, Vertex]] = {}
        for task in tasks:
            code = task.definition.code
            if isinstance(code, Code) and not code.digest:
                first.setdefault(id(code), (code, task))
        return list(first.values())

    def take(self, most_ops: int, most_bytes: int, behind: Batch = NOTHING) -> Batch:
        """Hand out the next operations, at least one if there is any, within the limits of one request.

        Args:
            most_ops: how many operations.
            most_bytes: how many bytes of functions and literals, about.
            behind: a batch that is out: those after it, to be sent once it is confirmed.
        """
        with self.lock:
            ops: list[Op] = []
            codes: dict[str, Code] = {}
            known = self._known_codes | dict.fromkeys([code.digest for code in behind.codes])
            start = len(behind.ops)
            size = 0
            last: Code | None = None
            for op in self.pending[start : start + most_ops]:
                task = op.task if isinstance(op, (AddTask, SaveTask)) else None
                size += 64 if task is None else _size(task)
                code = None if task is None else task.definition.code
                new = None
                if isinstance(code, Code) and code is not last:
                    if not code.digest:
                        break  # recorded after its flush began; the next one takes it
                    last = code
                    if code.digest not in known and code.digest not in codes:
                        new = code
                        size += len(code.body)
                if ops and size > most_bytes:
                    break
                if new is not None:
                    codes[new.digest] = new
                ops.append(op)
            self._maybe_sent = max(self._maybe_sent, start + len(ops))
            return Batch(tuple(ops), tuple(codes.values()), self.revision)

    def confirm(self, batch: Batch, revision: int) -> None:
        """Note that the head has a batch and is now at `revision`."""
        with self.lock:
            del self.pending[: len(batch.ops)]
            self._maybe_sent = max(0, self._maybe_sent - len(batch.ops))
            self.revision = revision
            self._known_codes |= dict.fromkeys(code.digest for code in batch.codes)

    def load(self, tasks: Iterable[Vertex], manual: Iterable[Edge], revision: int) -> None:
        """Take over what the head has, once, before the first edit."""
        with self.lock:
            if not self.loaded:
                self.graph = Graph(tasks, manual)
                self.revision = revision
                self.loaded = True

    def rebase(self, tasks: Iterable[Vertex], manual: Iterable[Edge], revision: int) -> list[str]:
        """Take over what the head has now and apply the queue again on top of it.

        Returns:
            One text per operation that no longer applies; those have left the draft, the others stay.
        """
        with self.lock:
            before, self.graph = self.graph, Graph(tasks, manual)
            self.graph.deleted = dict(before.deleted)
            queue, self.pending, self._maybe_sent = self.pending, [], 0
            refused = []
            going = {op.task_id for op in queue if isinstance(op, DelTask)}
            for op in queue:
                reason = self._replay(op, going)
                if reason:
                    refused.append(f"{describe_op(op, before)}: {reason}")
            self.revision = revision
            self.loaded = True
            return refused

    def give_up(self, task_id: str) -> list[str]:
        """Take back a task that can never be sent, and all tasks that use it: none of them has been sent.

        Returns:
            How the other tasks are called.
        """
        with self.lock:
            doomed = self.graph.users(task_id)
            named = [self.graph.describe(user) for user in doomed[1:]]
            # Users first: a task in use is not deleted.
            for user in reversed(doomed):
                self.graph.apply(DelTask(user))
                self._withdraw(user)
            return named

    def drop(self, op: Op) -> None:
        """Give up one operation that the head refused; `rebase` comes next and mends the graph."""
        with self.lock:
            self.pending = [queued for queued in self.pending if queued is not op]

    def _replay(self, op: Op, going: set[str]) -> str:
        """Apply an operation again; say why not if it no longer applies.

        Args:
            op: the operation.
            going: tasks that the queue itself deletes. What concerned them may be done with on the head already.
        """
        if self.graph.holds(op):
            return ""
        missing = self.graph.missing(op)
        if missing and going.issuperset(missing):
            return ""
        if missing:
            return f"task {', '.join(missing)} is not in the workflow any more"
        try:
            self.graph.apply(op)
        except MazeError as error:
            return error.message
        self.pending.append(op)
        return ""

    def _withdraw(self, task_id: str) -> bool:
        """Take back everything about a task that was never sent; False if the head may know it."""
        waiting = self.pending[self._maybe_sent :]
        if not any(isinstance(op, AddTask) and op.task.task_id == task_id for op in waiting):
            return False
        self.pending[self._maybe_sent :] = [op for op in waiting if not _concerns(op, task_id)]
        return True


def describe_op(op: Op, graph: Graph) -> str:
    """Return an operation as people write it: `add_edge 'a' (task_…) -> 'b' (task_…)`."""
    match op:
        case AddTask(task):
            return f"add_task '{task.name}' ({task.task_id[:13]})"
        case SaveTask(task):
            return f"save '{task.name}' ({task.task_id[:13]})"
        case DelTask(task_id):
            return f"delete {graph.describe(task_id)}"
        case AddEdge(source, target):
            return f"add_edge {graph.describe(source)} -> {graph.describe(target)}"
        case DelEdge(source, target):
            return f"del_edge {graph.describe(source)} -> {graph.describe(target)}"


def _concerns(op: Op, task_id: str) -> bool:
    match op:
        case AddTask(task) | SaveTask(task):
            return task.task_id == task_id
        case DelTask(other):
            return other == task_id
        case AddEdge(source, target) | DelEdge(source, target):
            return task_id in (source, target)


def _size(task: Vertex) -> int:
    """Return about how many bytes a task takes in a request."""
    size = 256
    for spec in task.inputs.values():
        data = spec if isinstance(spec, bytes) else spec.data
        if data is not None:
            size += len(data)
    return size
