"""Vertices, and a head of one workflow small enough to be believed: the oracle of the draft's tests.

`ModelHead` keeps the same facts as the head does, in the plainest way, with networkx to find cycles. It applies edits
all or none, with a revision, as `POST /workflows/{id}/edits` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx

from maze._graph import AddEdge, AddTask, Definition, DelEdge, DelTask, InputSpec, Op, SaveTask, Vertex

Edge = tuple[str, str]


class Refused(Exception):
    """An operation was refused; `index` says which, None if the revision was wrong."""

    def __init__(self, index: int | None, reason: str) -> None:
        self.index = index
        super().__init__(reason)


def task_of(
    task_id: str,
    name: str,
    func_name: str = "",
    code: Any = None,
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    *types_and_amounts: Any,
    same_node_as: str = "",
    **said: Any,
) -> Vertex:
    """Return a task with a definition of its own."""
    definition = Definition(func_name, code, tuple(outputs), *types_and_amounts, **said)
    return Vertex(task_id, name, definition, dict(inputs or {}), same_node_as)


def vertex(
    task_id: str, *sources: str, outputs: Sequence[str] = ("y",), saved: bool = True, same_node_as: str = ""
) -> Vertex:
    """Return a task whose input number i is output `y` of source number i."""
    inputs = {f"x{number}": InputSpec(refs=((source, "y"),)) for number, source in enumerate(sources)}
    code = "hash" if saved else None
    return task_of(task_id, task_id, "f", code, inputs, outputs, same_node_as=same_node_as)


class ModelHead:
    """One workflow."""

    def __init__(self) -> None:
        self.tasks: dict[str, Vertex] = {}
        self.manual: set[Edge] = set()
        self.revision = 0

    @property
    def references(self) -> set[Edge]:
        return {(source, task.task_id) for task in self.tasks.values() for source in task.sources()}

    @property
    def edges(self) -> set[Edge]:
        return self.references | self.manual

    def edit(self, ops: Iterable[Op], base_revision: int | None) -> int:
        """Apply all operations or none."""
        if base_revision is not None and base_revision != self.revision:
            raise Refused(None, "revision")
        before = dict(self.tasks), set(self.manual)
        for index, op in enumerate(ops):
            reason = self._apply(op)
            if reason:
                self.tasks, self.manual = before
                raise Refused(index, reason)
        self.revision += 1
        return self.revision

    def allows(self, op: Op) -> bool:
        """Tell whether an operation would be carried out."""
        before = dict(self.tasks), set(self.manual)
        reason = self._apply(op)
        self.tasks, self.manual = before
        return not reason

    def _apply(self, op: Op) -> str:
        match op:
            case AddTask(task) | SaveTask(task):
                return self._define(task, new=isinstance(op, AddTask))
            case DelTask(task_id):
                return self._delete(task_id)
            case AddEdge(source, target):
                if not {source, target} <= self.tasks.keys():
                    return "unknown task"
                if self._cyclic({(source, target)}):
                    return "cycle"
                self.manual.add((source, target))
            case DelEdge(source, target):
                if (source, target) in self.references or (source, target) not in self.manual:
                    return "no such manual edge"
                self.manual.remove((source, target))
        return ""

    def _define(self, task: Vertex, *, new: bool) -> str:
        if new and task.task_id in self.tasks:
            return "" if self.tasks[task.task_id] == task else "another task"
        if not new and task.task_id not in self.tasks:
            return "unknown task"
        if not task.sources().keys() <= self.tasks.keys() | {task.task_id}:
            return "unknown source"
        before = self.tasks.get(task.task_id)
        self.tasks[task.task_id] = task
        if self._cyclic(set()) or not self._outputs_fit():
            if before is None:
                del self.tasks[task.task_id]
            else:
                self.tasks[task.task_id] = before
            return "cycle or missing output"
        return ""

    def _delete(self, task_id: str) -> str:
        if task_id not in self.tasks:
            return "unknown task"
        if any(source == task_id for source, _ in self.references):
            return "in use"
        del self.tasks[task_id]
        self.manual = {edge for edge in self.manual if task_id not in edge}
        return ""

    def _cyclic(self, more: set[Edge]) -> bool:
        return not networkx.is_directed_acyclic_graph(networkx.DiGraph(list(self.edges | more)))

    def _outputs_fit(self) -> bool:
        return all(
            key in self.tasks[source].definition.outputs
            for task in self.tasks.values()
            for spec in task.inputs.values()
            if not isinstance(spec, bytes)
            for source, key in spec.refs
        )
