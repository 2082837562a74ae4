"""A workflow as authored: tasks in the order they were added, and edges that say who made them.

`Workflow` is data; every change of its contents goes through an `Edit`, which remembers how to take itself back (all or
none, at a cost proportional to the edit) and what to journal. Rules of what may be done are in edits.py; replaying the
journal (`replay`) trusts them.

After a restart most workflows are never looked at again, so their edits are kept as they were journalled until then.
Of one whose newest revision is saved as a graph not even those are needed: it is put away, and brought back from there.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from maze_head.core.contents import MANUAL, REFERENCE, Contents
from maze_head.core.graph import Graph
from maze_head.core.tasks import TaskSpec, pack, unpack

__all__ = ["Edit", "Workflow", "replay"]

EDITS_REMEMBERED: Final = 1_000
"""How many edit ids of a workflow are kept to recognise repeated requests."""

_PUT, _REMOVE, _JOIN, _PART = range(4)
_record = msgspec.msgpack.Decoder(list[tuple[int, bytes, bytes]])


class Workflow:
    """The current graph of one workflow; while it is `away`, all of it but tasks and edges."""

    __slots__ = ("_contents", "_edits", "_postponed", "_size", "away", "created_at", "id", "name", "revision")

    def __init__(self, workflow_id: bytes, name: str, created_at: float) -> None:
        self.id = workflow_id
        self.name = name
        self.created_at = created_at
        self.revision = 0
        self._contents: Contents | None = None
        self._postponed: list[tuple[bytes, str]] = []
        """Journalled edits that nobody has needed yet."""
        self._edits: dict[str, int] = {}
        self._size = 0
        self.away = False

    @property
    def contents(self) -> Contents:
        """Return tasks and edges."""
        contents = self._contents
        if contents is None or self._postponed:
            assert not self.away, f"workflow {self.id.hex()} is put away"
            contents = self._contents = contents or Contents()
            self._apply_postponed()
        return contents

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

    def bring_back(self, contents: Contents) -> None:
        """Give a workflow that was put away its tasks and edges again: those of the saved graph of its revision."""
        self._contents, self.away = contents, False

    def _apply_postponed(self) -> None:
        if self._postponed:
            postponed, self._postponed = self._postponed, []
            self.revision -= len(postponed)
            for changes, edit_id in postponed:
                replay(self, changes, edit_id)

    def compile(self) -> Graph:
        """Return the current revision as a runnable graph."""
        return self.contents.compile(self.id, self.revision, self.name)


class Edit:
    """A change of a workflow that is kept or taken back as a whole."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.contents = workflow.contents
        self.changes: list[tuple[int, bytes, bytes]] = []
        self._added: list[bytes] = []
        self._undo: list[tuple[Any, ...]] = []
        """What takes back everything else: methods of the contents, with their arguments."""
        self._removed: list[bytes] = []
        self._codes: dict[bytes, None] = {}
        self._uploads: dict[bytes, None] = {}
        self._specs: dict[bytes, TaskSpec] = {}
        """Those that this edit had in its hands: tasks mostly name others that came with them."""

    def spec(self, task_id: bytes) -> TaskSpec | None:
        """Return the definition of a task, or None."""
        spec = self._specs.get(task_id)
        if spec is None:
            spec = self.contents.spec(task_id)
            if spec is not None:
                self._specs[task_id] = spec
        return spec

    def put(self, spec: TaskSpec) -> bytes | None:
        """Add or replace a task with its reference edges; return the first source that would close a cycle."""
        packed, task_id, contents = pack(spec), spec.task_id, self.contents
        if task_id not in contents.tasks:
            contents.add(spec, packed, spec.sources())
            self._added.append(task_id)
        else:
            self._replace(task_id, packed, saved=bool(spec.code))
            culprit = self.refer(spec)
            if culprit is not None:
                return culprit
        self._specs[task_id] = spec
        self.changes.append((_PUT, packed, b""))
        if spec.code:
            self._codes[spec.code] = None
        for entry in spec.inputs:
            if entry.upload:
                self._uploads[entry.upload] = None
        return None

    def add_alike(self, spec: TaskSpec, task_ids: list[bytes], packed: list[bytes]) -> None:
        """Add tasks that are not there: all like one that names no task and no upload."""
        self.contents.add_alike(spec, task_ids, packed)
        self._added += task_ids
        self.changes += [(_PUT, body, b"") for body in packed]
        if spec.code:
            self._codes[spec.code] = None

    def refer(self, spec: TaskSpec) -> bytes | None:
        """Make the reference edges of a task what its definition says; return the first source that closes a cycle."""
        task_id, sources = spec.task_id, spec.sources()
        before = self.contents.before.get(task_id)
        for source in list(before) if before else ():
            if source not in sources:
                self._mark(source, task_id, self.contents.edge(source, task_id) & MANUAL)
        for source in sources:
            if not self._connect(source, task_id, REFERENCE):
                return source
        return None

    def remove(self, task_id: bytes) -> None:
        """Delete a task with its edges."""
        contents = self.contents
        for source in list(contents.before.get(task_id, ())):
            self._mark(source, task_id, 0)
        for target in list(contents.after.get(task_id, ())):
            self._mark(task_id, target, 0)
        self._replace(task_id, None, saved=True)
        self._specs.pop(task_id, None)
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
        self._mark(source, target, self.contents.edge(source, target) & REFERENCE)
        self.changes.append((_PART, source, target))

    def keep(self, edit_id: str) -> bytes:
        """Make the changes final as the next revision; return them for the journal."""
        workflow, tasks = self.workflow, self.contents.tasks
        for task_id in self._removed:
            if tasks.get(task_id, b"") is None:
                self.contents.forget(task_id)
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
        self._specs.clear()
        while self._undo:
            step, *given = self._undo.pop()
            step(self.contents, *given)
        while self._added:
            self.contents.forget(self._added.pop())

    def _connect(self, source: bytes, target: bytes, maker: int) -> bool:
        contents = self.contents
        made = contents.edge(source, target)
        if made & maker:
            return True
        if not contents.connect(source, target, made | maker):
            return False
        self._undo.append((Contents.mark, source, target, made))
        return True

    def _replace(self, task_id: bytes, packed: bytes | None, *, saved: bool) -> None:
        contents = self.contents
        self._undo.append((Contents.put, task_id, contents.tasks[task_id], task_id not in contents.unsaved))
        contents.put(task_id, packed, saved)

    def _mark(self, source: bytes, target: bytes, makers: int) -> None:
        contents = self.contents
        self._undo.append((Contents.mark, source, target, contents.edge(source, target)))
        contents.mark(source, target, makers)


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
