"""A workflow as authored: tasks in the order they were added, and edges that say who made them.

`Workflow` is data; every change goes through an `Edit`, which remembers how to take itself back (all or none, at a
cost proportional to the edit) and what to journal. Rules of what may be done are in edits.py; replaying the journal
(`replay`) trusts them.

After a restart most workflows are never looked at again, so their edits are kept as they were journalled until then.
Of one whose newest revision is saved as a graph not even those are needed: it is put away, and brought back from there.

Odd: a deleted task stays as None in `tasks` until the edit is kept, so that taking it back restores its place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from maze_head.core.graph import Graph, TaskSpec, compile_graph, pack, read_body, unpack
from maze_head.core.order import Order

__all__ = ["Edit", "MANUAL", "REFERENCE", "Workflow", "bring_back", "replay"]

REFERENCE: Final = 1
MANUAL: Final = 2
EDITS_REMEMBERED: Final = 1_000
"""How many edit ids of a workflow are kept to recognise repeated requests."""

_PUT, _REMOVE, _JOIN, _PART = range(4)
_record = msgspec.msgpack.Decoder(list[tuple[int, bytes, bytes]])


class _Contents:
    """The tasks and edges of a workflow."""

    __slots__ = ("after", "before", "order", "tasks", "unsaved")

    def __init__(self) -> None:
        self.tasks: dict[bytes, bytes | None] = {}
        self.unsaved: dict[bytes, None] = {}
        self.before: dict[bytes, dict[bytes, int]] = {}
        """target -> source -> REFERENCE | MANUAL"""
        self.after: dict[bytes, dict[bytes, None]] = {}
        self.order: Order[bytes] = Order()


class Workflow:
    """The current graph of one workflow; while it is `away`, all of it but tasks and edges."""

    __slots__ = ("_contents", "_edits", "_postponed", "_size", "away", "created_at", "id", "name", "revision")

    def __init__(self, workflow_id: bytes, name: str, created_at: float) -> None:
        self.id = workflow_id
        self.name = name
        self.created_at = created_at
        self.revision = 0
        self._contents: _Contents | None = None
        self._postponed: list[tuple[bytes, str]] = []
        """Journalled edits that nobody has needed yet."""
        self._edits: dict[str, int] = {}
        self._size = 0
        self.away = False

    @property
    def tasks(self) -> dict[bytes, bytes | None]:
        """Return the packed tasks by id, in the order they were added."""
        return self._needed().tasks

    @property
    def unsaved(self) -> dict[bytes, None]:
        """Return the tasks without a function."""
        return self._needed().unsaved

    @property
    def before(self) -> dict[bytes, dict[bytes, int]]:
        """Return target -> source -> REFERENCE | MANUAL."""
        return self._needed().before

    @property
    def after(self) -> dict[bytes, dict[bytes, None]]:
        """Return source -> targets."""
        return self._needed().after

    @property
    def order(self) -> Order[bytes]:
        """Return the order that finds cycles."""
        return self._needed().order

    @property
    def edits(self) -> dict[str, int]:
        """Return the revisions that the remembered edit ids made."""
        self._apply_postponed()
        return self._edits

    @property
    def size(self) -> int:
        """Return the number of tasks, whether or not they are at hand."""
        return self._size if self._contents is None or self._postponed else len(self._contents.tasks)

    @property
    def lacks_changes(self) -> bool:
        """Tell whether the changes of a postponed edit were not given, so that it can only be put away."""
        return any(not changes for changes, _ in self._postponed)

    def postpone(self, changes: bytes, edit_id: str, size: int) -> None:
        """Take note of a journalled edit, after which there are so many tasks; it is applied when somebody looks.

        The changes may be empty if the newest revision is saved, and the workflow about to be put away.
        """
        self._postponed.append((changes, edit_id))
        self._size = size
        self.revision += 1

    def remember(self, edit_id: str, revision: int) -> None:
        """Note which revision an edit made, if it has an id; the oldest are forgotten."""
        if edit_id:
            self._edits[edit_id] = revision
            if len(self._edits) > EDITS_REMEMBERED:
                del self._edits[next(iter(self._edits))]

    def put_away(self) -> None:
        """Forget tasks and edges: the graph of this revision is saved."""
        self._size = self.size
        first = self.revision - len(self._postponed) + 1
        for revision, (_, edit_id) in enumerate(self._postponed, first):
            self.remember(edit_id, revision)
        self._postponed, self._contents, self.away = [], None, True

    def _needed(self) -> _Contents:
        contents = self._contents
        if contents is None or self._postponed:
            assert not self.away, f"workflow {self.id.hex()} is put away"
            contents = self._contents = contents or _Contents()
            self._apply_postponed()
        return contents

    def _apply_postponed(self) -> None:
        if self._postponed:
            postponed, self._postponed = self._postponed, []
            self.revision -= len(postponed)
            for changes, edit_id in postponed:
                replay(self, changes, edit_id)

    def spec(self, task_id: bytes) -> TaskSpec | None:
        """Return the definition of a task, or None."""
        packed = self.tasks.get(task_id)
        return None if packed is None else unpack(packed)

    def edge(self, source: bytes, target: bytes) -> int:
        """Return who made an edge: 0 for nobody, else REFERENCE, MANUAL or both."""
        return self.before.get(target, {}).get(source, 0)

    def compile(self) -> Graph:
        """Return the current revision as a runnable graph."""
        packed = [body for body in self.tasks.values() if body is not None]
        graph = Graph(self.id, self.revision, self.name, packed)
        number = {task_id: index for index, task_id in enumerate(self.tasks)}
        manual = sorted((number[s], number[t]) for s, t in self.edges() if self.edge(s, t) & MANUAL)
        compile_graph(graph, manual, self.tasks)
        return graph

    def edges(self) -> list[tuple[bytes, bytes]]:
        """Return all edges (source, target), in no particular order."""
        return [(source, target) for target, sources in self.before.items() for source in sources]


class Edit:
    """A change of a workflow that is kept or taken back as a whole."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.changes: list[tuple[int, bytes, bytes]] = []
        self._undo: list[Callable[[], object]] = []
        self._removed: list[bytes] = []
        self._codes: dict[bytes, None] = {}
        self._uploads: dict[bytes, None] = {}

    def put(self, spec: TaskSpec) -> bytes | None:
        """Add or replace a task with its reference edges; return the first source that would close a cycle."""
        packed = self.place(spec)
        culprit = self.refer(spec)
        if culprit is not None:
            return culprit
        self.changes.append((_PUT, packed, b""))
        if spec.code:
            self._codes[spec.code] = None
        for entry in spec.inputs:
            if entry.upload:
                self._uploads[entry.upload] = None
        return None

    def place(self, spec: TaskSpec) -> bytes:
        """Add or replace a task, whose edges are another matter; return it packed."""
        # Anew, even if it is at hand as an older version packed it: tasks are compared by these bytes.
        packed = pack(spec)
        self._set_task(spec.task_id, packed, saved=bool(spec.code))
        return packed

    def refer(self, spec: TaskSpec) -> bytes | None:
        """Make the reference edges of a task what its definition says; return the first source that closes a cycle."""
        task_id, sources = spec.task_id, spec.sources()
        before = self.workflow.before.get(task_id)
        for source in list(before) if before else ():
            if source not in sources:
                self._mark(source, task_id, self.workflow.edge(source, task_id) & MANUAL)
        for source in sources:
            if not self._connect(source, task_id, REFERENCE):
                return source
        return None

    def remove(self, task_id: bytes) -> None:
        """Delete a task with its edges."""
        workflow = self.workflow
        for source in list(workflow.before.get(task_id, ())):
            self._mark(source, task_id, 0)
        for target in list(workflow.after.get(task_id, ())):
            self._mark(task_id, target, 0)
        self._set_task(task_id, None, saved=True)
        self._removed.append(task_id)
        self.changes.append((_REMOVE, task_id, b""))

    def join(self, source: bytes, target: bytes) -> bool:
        """Add a manual edge; return False if it would close a cycle."""
        if not self._connect(source, target, MANUAL):
            return False
        self.changes.append((_JOIN, source, target))
        return True

    def part(self, source: bytes, target: bytes) -> None:
        """Delete the manual edge between two tasks."""
        self._mark(source, target, self.workflow.edge(source, target) & REFERENCE)
        self.changes.append((_PART, source, target))

    def keep(self, edit_id: str) -> bytes:
        """Make the changes final as the next revision; return them for the journal."""
        workflow = self.workflow
        for task_id in self._removed:
            if workflow.tasks.get(task_id, b"") is None:
                del workflow.tasks[task_id]
                workflow.order.remove(task_id)
        workflow.revision += 1
        workflow.remember(edit_id, workflow.revision)
        return msgspec.msgpack.encode(self.changes)

    def codes(self) -> list[bytes]:
        """Return the functions that the tasks put here use, each once."""
        return list(self._codes)

    def uploads(self) -> list[bytes]:
        """Return the uploads that they use, each once."""
        return list(self._uploads)

    def take_back(self) -> None:
        """Restore what was before."""
        while self._undo:
            self._undo.pop()()

    def _connect(self, source: bytes, target: bytes, maker: int) -> bool:
        workflow = self.workflow
        made = workflow.edge(source, target)
        if made & maker:
            return True
        if not made and (
            source == target or workflow.order.closes_cycle(source, target, workflow.after, workflow.before)
        ):
            return False
        self._mark(source, target, made | maker)
        return True

    def _set_task(self, task_id: bytes, packed: bytes | None, *, saved: bool) -> None:
        workflow = self.workflow
        tasks, unsaved = workflow.tasks, workflow.unsaved
        if task_id in tasks:
            self._undo.append(partial(_put_back, workflow, task_id, tasks[task_id], task_id in unsaved))
        else:
            self._undo.append(partial(_forget, workflow, task_id))
            workflow.order.add(task_id)
        tasks[task_id] = packed
        _flag(unsaved, task_id, on=not saved)

    def _mark(self, source: bytes, target: bytes, makers: int) -> None:
        old = self.workflow.edge(source, target)
        self._undo.append(lambda: _set_edge(self.workflow, source, target, old))
        _set_edge(self.workflow, source, target, makers)


def _put_back(workflow: Workflow, task_id: bytes, packed: bytes | None, was_unsaved: bool) -> None:
    workflow.tasks[task_id] = packed
    _flag(workflow.unsaved, task_id, on=was_unsaved)


def _forget(workflow: Workflow, task_id: bytes) -> None:
    del workflow.tasks[task_id]
    workflow.order.remove(task_id)
    workflow.unsaved.pop(task_id, None)


def _flag(flags: dict[bytes, None], key: bytes, *, on: bool) -> None:
    if on:
        flags[key] = None
    else:
        flags.pop(key, None)


def _set_edge(workflow: Workflow, source: bytes, target: bytes, makers: int) -> None:
    if makers:
        workflow.before.setdefault(target, {})[source] = makers
        workflow.after.setdefault(source, {})[target] = None
        return
    _drop(workflow.before, target, source)
    _drop(workflow.after, source, target)


def _drop(table: dict[bytes, dict[bytes, int]] | dict[bytes, dict[bytes, None]], key: bytes, inner: bytes) -> None:
    row = table.get(key)
    if row is not None:
        row.pop(inner, None)
        if not row:
            del table[key]


def replay(workflow: Workflow, changes: bytes, edit_id: str) -> list[bytes]:
    """Apply a journalled edit again; return the functions that it used."""
    edit = Edit(workflow)
    for kind, one, two in _record.decode(changes):
        if kind == _PUT:
            edit.put(unpack(one))
        elif kind == _REMOVE:
            edit.remove(one)
        elif kind == _JOIN:
            edit.join(one, two)
        else:
            edit.part(one, two)
    edit.keep(edit_id)
    return edit.codes()


def bring_back(workflow: Workflow, body: bytes) -> None:
    """Give a workflow that was put away its tasks and edges again: those of the saved graph of its revision."""
    _, packed, manual = read_body(body)
    specs = [unpack(one) for one in packed]
    workflow.away = False
    edit = Edit(workflow)
    for spec in specs:
        edit.place(spec)
    for spec in specs:
        edit.refer(spec)
    for source, target in manual:
        edit.join(specs[source].task_id, specs[target].task_id)
