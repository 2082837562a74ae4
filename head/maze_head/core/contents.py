"""The tasks and edges of one workflow, as long as they are at hand.

Data, and the smallest steps by which it changes; which of them make up an edit is the business of workflows.py, which
are allowed that of edits.py.

Odd
* A deleted task stays as None in `tasks` until the edit is kept, so that taking it back restores its place.
* The outline holds as long as tasks are added and nothing else is done: so big workflows come. Any other step drops it,
  and the next compilation makes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maze_head.core.graph import Graph, Outline, assemble, read_body
from maze_head.core.order import Order
from maze_head.core.tasks import TaskSpec, pack, unpack

__all__ = ["MANUAL", "REFERENCE", "Contents"]

REFERENCE: Final = 1
MANUAL: Final = 2


class Contents:
    """What a workflow consists of."""

    __slots__ = ("_joined", "_outline", "after", "before", "order", "tasks", "unsaved")

    def __init__(self) -> None:
        self.tasks: dict[bytes, bytes | None] = {}
        """The packed tasks by id, in the order they were added."""
        self.unsaved: dict[bytes, None] = {}
        """The tasks without a function."""
        self.before: dict[bytes, dict[bytes, int]] = {}
        """target -> source -> REFERENCE | MANUAL"""
        self.after: dict[bytes, dict[bytes, None]] = {}
        self.order: Order[bytes] = Order()
        self._outline: Outline | None = Outline()
        self._joined = False
        """There may be manual edges."""

    @classmethod
    def read(cls, body: bytes) -> Contents:
        """Return those of a saved graph; for very many tasks this takes longer than a turn may.

        Raises:
            ValueError: the body is damaged or of another format.
        """
        _, packed, manual = read_body(body)
        contents, odd = cls(), list[TaskSpec]()
        for one in packed:
            spec = unpack(one)
            sources = spec.sources()
            if not all(source in contents.tasks for source in sources):
                odd.append(spec)  # saved anew when a task was there already that was added after it
                sources = ()
            # Packed anew, for an older version may have saved it: tasks are compared by these bytes.
            contents.add(spec, pack(spec), sources)
        for spec in odd:
            for source in spec.sources():
                contents.connect(source, spec.task_id, REFERENCE)
        ids = list(contents.tasks)
        for source, target in ((ids[source], ids[target]) for source, target in manual):
            contents.connect(source, target, contents.edge(source, target) | MANUAL)
        return contents

    def spec(self, task_id: bytes) -> TaskSpec | None:
        """Return the definition of a task, or None."""
        packed = self.tasks.get(task_id)
        return None if packed is None else unpack(packed)

    def edge(self, source: bytes, target: bytes) -> int:
        """Return who made an edge: 0 for nobody, else REFERENCE, MANUAL or both."""
        sources = self.before.get(target)
        return 0 if sources is None else sources.get(source, 0)

    def edges(self) -> list[tuple[bytes, bytes]]:
        """Return all edges (source, target), in no particular order."""
        return [(source, target) for target, sources in self.before.items() for source in sources]

    def add(self, spec: TaskSpec, packed: bytes, sources: Sequence[bytes] = ()) -> None:
        """Add a task that is not there, at the end, with the reference edges that lead to it.

        They close no cycle, since nothing is after it, and they agree with the order, in which it comes last.
        """
        task_id = spec.task_id
        self.tasks[task_id] = packed
        self.order.add(task_id)
        if not spec.code:
            self.unsaved[task_id] = None
        if self._outline is not None:
            self._outline.add(spec)
        if sources:
            self.before[task_id] = dict.fromkeys(sources, REFERENCE)
        for source in sources:
            after = self.after.get(source)
            if after is None:
                after = self.after[source] = {}
            after[task_id] = None

    def add_alike(self, spec: TaskSpec, task_ids: Sequence[bytes], packed: Sequence[bytes]) -> None:
        """Add tasks that are not there, at the end: all like one that names no task and no upload."""
        self.tasks.update(zip(task_ids, packed, strict=True))
        self.order.add_all(task_ids)
        if not spec.code:
            self.unsaved.update(dict.fromkeys(task_ids))
        if self._outline is not None:
            self._outline.add_alike(spec, len(task_ids))

    def put(self, task_id: bytes, packed: bytes | None, saved: bool) -> None:
        """Replace a task; by None if it is deleted."""
        self._outline = None
        self.tasks[task_id] = packed
        if saved:
            self.unsaved.pop(task_id, None)
        else:
            self.unsaved[task_id] = None

    def forget(self, task_id: bytes) -> None:
        """Remove a task as if it had never been there, with the edges that lead to it; none may lead away."""
        self._outline = None
        for source in self.before.pop(task_id, ()):
            _drop(self.after, source, task_id)
        del self.tasks[task_id]
        self.order.remove(task_id)
        self.unsaved.pop(task_id, None)

    def mark(self, source: bytes, target: bytes, makers: int) -> None:
        """Say who made an edge; 0 for nobody."""
        if not makers:
            _drop(self.before, target, source)
            _drop(self.after, source, target)
            return
        before, after = self.before.get(target), self.after.get(source)
        if before is None:
            before = self.before[target] = {}
        if after is None:
            after = self.after[source] = {}
        before[source] = makers
        after[target] = None
        if makers & MANUAL:
            self._joined = True

    def connect(self, source: bytes, target: bytes, makers: int) -> bool:
        """Make an edge, or tell more of who made it; return False, and do nothing, if it would close a cycle."""
        if not self.edge(source, target) and (
            source == target or self.order.closes_cycle(source, target, self.after, self.before)
        ):
            return False
        self.mark(source, target, makers)
        return True

    def compile(self, workflow_id: bytes, version: int, name: str) -> Graph:
        """Return all of it as a runnable graph."""
        packed = [body for body in self.tasks.values() if body is not None]
        if self._outline is None:
            self._outline = Outline.of(packed)
        graph = assemble(Graph(workflow_id, version, name, packed), self._outline, self.tasks, self.before)
        if self._joined:
            graph.manual = self._manual(graph.index)
        return graph

    def _manual(self, index: dict[bytes, int]) -> list[tuple[int, int]]:
        """Return the manual edges as pairs of task numbers."""
        return sorted(
            (index[source], index[target])
            for target, sources in self.before.items()
            for source, makers in sources.items()
            if makers & MANUAL
        )


def _drop(table: dict[bytes, dict[bytes, int]] | dict[bytes, dict[bytes, None]], key: bytes, inner: bytes) -> None:
    row = table.get(key)
    if row is not None:
        row.pop(inner, None)
        if not row:
            del table[key]
