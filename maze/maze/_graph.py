"""The graph of a workflow as its author sees it, and the operations that change it. Pure; standard library only.

An operation is a value: it is applied to the local graph at once, sent to the head later, and applied again on top of
what somebody else made of the workflow meanwhile (`_draft.py`). `apply` either changes the graph or raises and leaves
it as it was. What cannot be proved here is deferred to the head: an id that this graph has never seen may be a task
that another client has just added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from maze.errors import CycleError, GraphError, UnknownOutputError, UnknownTaskError
from maze_protocol.graph import depth, find_path, topological_order
from maze_protocol.ids import short_id
from maze_protocol.policy import NO_POLICY, Policy
from maze_protocol.terms import NO_TERMS, Terms

__all__ = [
    "AddEdge", "AddTask", "Code", "Definition", "DelEdge", "DelTask", "Edge", "Graph", "Input", "InputSpec", "Literal",
    "Op", "SaveTask", "Vertex",
]  # fmt: skip

Edge = tuple[str, str]


@dataclass(slots=True, eq=False)
class Code:
    """A function of one workflow. `body` and `digest` are empty until it is pickled, at the first flush."""

    kind: str
    function: Callable[..., Any] | None = None
    name: str = ""
    body: bytes = b""
    digest: str = ""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Literal:
    """A literal that is too large to be sent with its task. `body` goes once the head has it.

    `source` is in place of a body what the bytes are to be fetched from: a value of another run.
    """

    size: int
    body: bytes | memoryview = b""
    source: Any = None
    digest: str = ""
    sent: bool = False


@dataclass(slots=True)
class InputSpec:
    """One input: the encoded literal with a hole for each reference, or (no `data`, no `literal`) the reference itself.

    A spec that came from the head keeps its references only; it is never sent back. A value that nobody changes:
    frozen, it would cost twice as much.
    """

    refs: tuple[tuple[str, str], ...] = ()
    codec: int = 0
    data: bytes | None = None
    literal: Literal | None = None


Input = InputSpec | bytes
"""A short literal without references is the bytes of its MessagePack: there are as many of them as there are tasks."""
_NONE: Final[dict[str, Any]] = {}
"""Nobody changes what a definition holds."""


class Definition(NamedTuple):
    """What a task does and asks for. Most tasks of a function share one, which is told once (docs/adr/0030).

    `code` is None while a task of the legacy flow is not saved, a text if the head has it.
    """

    func_name: str = ""
    code: Code | str | None = None
    outputs: tuple[str, ...] = ()
    data_types: dict[str, str] = _NONE
    resources: dict[str, int | float] = _NONE
    policy: Policy = NO_POLICY
    terms: Terms = NO_TERMS
    keep: bool = False
    sandbox: bool = False


UNSAVED: Final = Definition()


@dataclass(slots=True)
class Vertex:
    """A task as authored. Nobody changes it."""

    task_id: str
    name: str
    definition: Definition = UNSAVED
    inputs: dict[str, Input] = field(default_factory=dict)
    same_node_as: str = ""

    def sources(self) -> dict[str, list[str]]:
        """Return the tasks that this one names, each with the inputs that do; `same_node_as` is no input."""
        found: dict[str, list[str]] = {self.same_node_as: []} if self.same_node_as else {}
        for name, spec in self.inputs.items():
            if isinstance(spec, bytes) or not spec.refs:
                continue
            for task_id in dict.fromkeys(task_id for task_id, _ in spec.refs):
                found.setdefault(task_id, []).append(name)
        return found


@dataclass(slots=True)
class AddTask:
    """Add a task. Nobody changes it: frozen, one costs twice as much."""

    task: Vertex


@dataclass(frozen=True, slots=True)
class SaveTask:
    """Replace the definition of a task."""

    task: Vertex


@dataclass(frozen=True, slots=True)
class DelTask:
    """Delete a task and its manual edges."""

    task_id: str


@dataclass(frozen=True, slots=True)
class AddEdge:
    """Add a manual edge."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class DelEdge:
    """Delete a manual edge."""

    source: str
    target: str


Op = AddTask | SaveTask | DelTask | AddEdge | DelEdge


class Graph:
    """Tasks and edges. An edge exists if its target names its source, or if it was added by hand, or both."""

    def __init__(self, tasks: Iterable[Vertex] = (), manual: Iterable[Edge] = ()) -> None:
        self.tasks: dict[str, Vertex] = {task.task_id: task for task in tasks}
        self.manual: dict[Edge, None] = dict.fromkeys(manual)
        self.edges: dict[Edge, None] = {}
        self.successors: dict[str, dict[str, None]] = {}
        self.deleted: dict[str, str] = {}
        """Names of tasks deleted here, so that a stale handle is told from an id not seen yet."""
        for task in self.tasks.values():
            self._link_sources(task)
        for edge in self.manual:
            self._link(*edge)

    def describe(self, task_id: str) -> str:
        """Return how a task is called in messages: `'name' (task_12345678)`."""
        if task_id in self.tasks:
            return f"'{self.tasks[task_id].name}' ({short_id(task_id)})"
        return f"'{self.deleted[task_id]}' ({short_id(task_id)})" if task_id in self.deleted else short_id(task_id)

    def depth(self) -> int:
        """Return the number of tasks on the longest path."""
        known = {source: [to for to in there if to in self.tasks] for source, there in self.successors.items()}
        return depth(list(self.tasks), known)

    def known_edges(self) -> Iterator[Edge]:
        """Yield the edges whose two tasks are known here, in the order in which they came to be."""
        return (edge for edge in self.edges if edge[0] in self.tasks and edge[1] in self.tasks)

    def unsaved(self) -> list[Vertex]:
        """Return the tasks of the legacy flow that have no code yet."""
        return [task for task in self.tasks.values() if task.definition.code is None]

    def apply(self, op: Op) -> bool:
        """Carry out an operation.

        Returns:
            Whether the graph changed.

        Raises:
            GraphError: the operation is against the rules; the message names tasks and inputs.
            UnknownTaskError: it concerns a deleted task.
            UnknownOutputError: it references an output that a task does not have.
        """
        if isinstance(op, AddTask):  # nearly always; to match it costs twice as much
            return self._add_task(op.task)
        match op:
            case SaveTask(task):
                return self._save_task(task)
            case DelTask(task_id):
                return self._delete_task(task_id)
            case AddEdge(source, target):
                return self._add_edge(source, target)
            case DelEdge(source, target):
                return self._delete_edge(source, target)

    def holds(self, op: Op) -> bool:
        """Tell whether what an operation wants is already so."""
        match op:
            case AddTask(task):
                return task.task_id in self.tasks
            case DelTask(task_id):
                return task_id not in self.tasks
            case AddEdge(source, target):
                return (source, target) in self.manual
            case DelEdge(source, target):
                return (source, target) not in self.edges
            case SaveTask():
                return False

    def users(self, task_id: str) -> list[str]:
        """Return a task and all that use its outputs, directly or not, each before its own users."""
        uses: dict[str, list[str]] = {}
        for task in self.tasks.values():
            for source in task.sources():
                uses.setdefault(source, []).append(task.task_id)
        found = {task_id: None}
        queue = [task_id]
        for here in queue:
            queue += [there for there in uses.get(here, ()) if there not in found]
            found |= dict.fromkeys(uses.get(here, ()))
        return topological_order(list(found), {here: uses.get(here, ()) for here in found})

    def missing(self, op: Op) -> list[str]:
        """Return the ids that an operation presumes and that this graph does not have."""
        return [task_id for task_id in _presumed(op) if task_id not in self.tasks]

    def _add_task(self, task: Vertex) -> bool:
        if task.task_id in self.tasks:
            return False
        sources = task.sources()
        if sources:
            self._check_sources(task, sources)
        self.tasks[task.task_id] = task
        for source in sources:
            self._link(source, task.task_id)
        return True

    def _save_task(self, task: Vertex) -> bool:
        self._check_alive(task.task_id)
        self._check_sources(task, task.sources())
        self._check_kept_outputs(task)
        before = self.tasks.get(task.task_id)
        self.tasks[task.task_id] = task
        for source in before.sources() if before else ():
            self._unlink(source, task.task_id)
        self._link_sources(task)
        return True

    def _delete_task(self, task_id: str) -> bool:
        self._check_alive(task_id)
        if task_id not in self.tasks:
            return True
        needed = self._needed(task_id)
        if needed:
            raise GraphError(f"task {self.describe(task_id)} cannot be deleted: {needed}", code="task_in_use")
        self.deleted[task_id] = self.tasks[task_id].name
        for edge in [edge for edge in self.manual if task_id in edge]:
            del self.manual[edge]
            self._unlink(*edge)
        for source in self.tasks.pop(task_id).sources():
            self._unlink(source, task_id)
        return True

    def _add_edge(self, source: str, target: str) -> bool:
        self._check_alive(source)
        self._check_alive(target)
        if (source, target) in self.manual:
            return False
        self._check_cycle(source, target)
        self.manual[source, target] = None
        self._link(source, target)
        return True

    def _delete_edge(self, source: str, target: str) -> bool:
        carrying = self._carrying(source, target)
        arrow = f"{self.describe(source)} -> {self.describe(target)}"
        if carrying is not None:
            inputs = ", ".join(repr(name) for name in carrying)
            what = f"it carries input {inputs}" if inputs else "the second runs on the node of the first (same_node_as)"
            raise GraphError(f"edge {arrow} cannot be deleted: {what}", code="edge_in_use")
        if (source, target) not in self.manual and source in self.tasks and target in self.tasks:
            raise GraphError(f"there is no edge {arrow}", code="edge_not_found")
        self._check_alive(source)
        self._check_alive(target)
        self.manual.pop((source, target), None)
        self._unlink(source, target)
        return True

    def _carrying(self, source: str, target: str) -> list[str] | None:
        """Return the inputs by which a task names another one; None if it does not."""
        task = self.tasks.get(target)
        return task.sources().get(source) if task else None

    def _needed(self, task_id: str) -> str:
        """Say for what other tasks need this one; nothing if none does."""
        named = {there: self._carrying(task_id, there) for there in self.successors.get(task_id, ())}
        users = ", ".join(self.describe(there) for there, inputs in named.items() if inputs)
        followers = ", ".join(self.describe(there) for there, inputs in named.items() if inputs == [])
        reasons = (users and f"its outputs are used by {users}", followers and f"its node is to be that of {followers}")
        return "; ".join(filter(None, reasons))

    def _check_alive(self, task_id: str) -> None:
        if task_id in self.deleted and task_id not in self.tasks:
            raise UnknownTaskError(f"task {self.describe(task_id)} was deleted", code="task_not_found", task_id=task_id)

    def _check_sources(self, task: Vertex, sources: Iterable[str]) -> None:
        """Check the tasks that one names."""
        for source, key in _references(task):
            self._check_alive(source)
            self._check_output(source, key)
        for source in sources:
            self._check_alive(source)
            if task.task_id in self.successors or source == task.task_id:
                self._check_cycle(source, task.task_id)

    def _check_output(self, source: str, key: str) -> None:
        producer = self.tasks.get(source)
        if producer is not None and key not in producer.definition.outputs:
            keys = ", ".join(producer.definition.outputs) or "none (the task is not saved yet)"
            raise UnknownOutputError(
                f"task {self.describe(source)} has no output {key!r}; it has: {keys}", code="unknown_output"
            )

    def _check_kept_outputs(self, task: Vertex) -> None:
        """Refuse to take an output away from those who use it."""
        for there in self.successors.get(task.task_id, ()):
            for source, key in _references(self.tasks[there]) if there in self.tasks else ():
                if source == task.task_id and key not in task.definition.outputs:
                    raise GraphError(
                        f"output {key!r} of {self.describe(source)} cannot go: {self.describe(there)} uses it",
                        code="output_in_use",
                    )

    def _check_cycle(self, source: str, target: str) -> None:
        path = find_path(self.successors, target, source)
        if path is not None:
            names = " -> ".join(self.describe(task_id) for task_id in [source, *path])
            raise CycleError(f"an edge would close a cycle: {names}", tasks=[source, *path])

    def _link_sources(self, task: Vertex) -> None:
        for source in task.sources():
            self._link(source, task.task_id)

    def _link(self, source: str, target: str) -> None:
        self.edges[source, target] = None
        self.successors.setdefault(source, {})[target] = None

    def _unlink(self, source: str, target: str) -> None:
        """Forget an edge unless its target or the author's hand still holds it."""
        if (source, target) in self.manual or self._carrying(source, target) is not None:
            return
        self.edges.pop((source, target), None)
        self.successors.get(source, {}).pop(target, None)


def _references(task: Vertex) -> Iterator[tuple[str, str]]:
    """Yield the outputs of other tasks that one uses."""
    for spec in task.inputs.values():
        if not isinstance(spec, bytes):
            yield from spec.refs


def _presumed(op: Op) -> list[str]:
    match op:
        case AddTask(task):
            return list(task.sources())
        case SaveTask(task):
            return [task.task_id, *task.sources()]
        case AddEdge(source, target) | DelEdge(source, target):
            return [source, target]
        case DelTask(task_id):
            return [task_id]
