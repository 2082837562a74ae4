"""A compiled graph: one version of a workflow, immutable, shared by all its runs, indexed by task number.

Rules
* A task is kept packed (tasks.py) and unpacked when it is leased or shown: a million tasks are a million short
  `bytes`, which the garbage collector never looks at. Those of one function mostly come out of one mould (mould.py).
* What a pass of the scheduler needs without unpacking lies in flat arrays: predecessor counts, successors (compressed
  rows: those of task i are `successors[first[i]:first[i + 1]]`, in the order of their numbers), and the numbers of its
  shape and of its function.
* What follows from each task by itself is collected one task at a time (`Outline`): by a workflow as its tasks come,
  so that little is left to do when a run is submitted; from the packed tasks where nobody has collected it.
* Nothing here knows runs, nodes or how a graph is edited (workflows.py).

The saved body is [FORMAT, name, packed tasks, manual edges as pairs of task numbers]; `load_graph` reads it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from maze_head.core.mould import Mould
from maze_head.core.observed import kind_of
from maze_head.core.tasks import TaskSpec, func_name_of, name_of, unpack
from maze_protocol.resources import Request
from maze_protocol.terms import NO_TERMS, Terms

if TYPE_CHECKING:
    from maze_head.core.lineage import Groups, Standing, Stretch

__all__ = ["Graph", "Outline", "Shape", "assemble", "compile_graph", "load_graph", "read_body", "sources_of"]

FORMAT: Final = 1
MOST_MOULDS: Final = 64
"""Of a graph: a mould takes as much memory as several tasks."""


class Shape(NamedTuple):
    """What decides where a task fits: its resources, its Python, its terms, how long it may take, its sandbox."""

    request: Request
    python: tuple[int, int]
    terms: Terms = NO_TERMS
    seconds: float = 0.0
    """Its time limit: a node that leaves before is none for it; 0: not known."""
    sandbox: bool = False
    """Only for nodes that know what that is."""


_body = msgspec.msgpack.Decoder(tuple[int, str, list[bytes], list[tuple[int, int]]])


def sources_of(graph: Graph, task: int) -> list[int]:
    """Return the numbers of the tasks whose outputs a task gets, each once, in order."""
    refs = (task_id for entry in graph.spec(task).inputs for task_id, _ in entry.refs)
    return [graph.index[task_id] for task_id in dict.fromkeys(refs)]


_ShapeKey = tuple[Request, tuple[int, int], Terms, float, bool]


class Outline:
    """What a graph has of each of its tasks by itself, collected in their order."""

    __slots__ = ("_last", "_number", "_numbers", "anchors", "function_of", "functions", "shape_of", "shapes", "uploads")

    def __init__(self) -> None:
        self._numbers: dict[_ShapeKey, int] = {}
        """Of the shapes."""
        self._last: _ShapeKey | None = None
        self._number = 0
        """That of the last task's shape."""
        self.shapes: list[Shape] = []
        self.shape_of = array("I")
        self.functions: dict[bytes, int] = {}
        self.function_of = array("I")
        self.anchors: dict[int, bytes] = {}
        self.uploads: dict[int, None] = {}

    @classmethod
    def of(cls, packed: Iterable[bytes]) -> Outline:
        """Collect it from packed tasks."""
        outline = cls()
        for body in packed:
            outline.add(unpack(body))
        return outline

    def add(self, spec: TaskSpec) -> None:
        """Take in the next task."""
        key = spec.request, spec.python, spec.terms, spec.timeout, spec.sandbox
        if key != self._last:  # a third of the time that looking it up takes, and nearly always the same
            self._last, self._number = key, self._number_of(key)
        task = len(self.shape_of)
        self.shape_of.append(self._number)
        self.function_of.append(self.functions.setdefault(spec.code, len(self.functions)))
        if spec.same_node_as:
            self.anchors[task] = spec.same_node_as
        for entry in spec.inputs:
            if entry.upload:
                self.uploads[task] = None

    def add_alike(self, spec: TaskSpec, count: int) -> None:
        """Take in so many tasks that are all like this one, of which nothing has an upload or the node of another."""
        self.add(spec)
        self.shape_of.extend(self.shape_of[-1:] * (count - 1))
        self.function_of.extend(self.function_of[-1:] * (count - 1))

    def _number_of(self, key: _ShapeKey) -> int:
        number = self._numbers.setdefault(key, len(self.shapes))
        if number == len(self.shapes):
            self.shapes.append(Shape(*key))
        return number


class Graph:
    """One version of a workflow, ready to run."""

    __slots__ = (
        "_moulds", "anchors", "first", "followed", "function_of", "functions", "ids", "index", "kinds", "live_runs",
        "manual", "missing", "name", "packed", "roots", "shape_of", "shapes", "standings", "stretches", "successors",
        "uploads", "version", "workflow_id",
    )  # fmt: skip

    def __init__(self, workflow_id: bytes, version: int, name: str, packed: list[bytes]) -> None:
        self.workflow_id = workflow_id
        self.version = version
        self.name = name
        self.packed = packed
        self.ids: list[bytes] = []
        self.index: dict[bytes, int] = {}
        self.manual: list[tuple[int, int]] = []
        self.shapes: list[Shape] = []
        self.shape_of = array("I")
        self.kinds: list[str] = []
        """Per shape, what its tasks are mostly busy with."""
        self.functions: list[bytes] = []
        """Hashes of code."""
        self.function_of = array("I")
        self.anchors: dict[int, int] = {}
        """Of tasks that run where another one ran: that one."""
        self.followed: dict[int, None] = {}
        """Those others."""
        self.uploads: dict[int, None] = {}
        """Tasks with uploads among their inputs."""
        self.missing = array("I")
        self.first = array("I")
        self.successors = array("I")
        self.roots = array("I")
        self.live_runs = 0
        self._moulds: dict[int, Mould | None] = {}
        """Per function, by its number: that of a task which others are likely to be like; None: one was unpacked."""
        self.standings: Groups[Standing] | None = None
        self.stretches: Groups[Stretch] | None = None
        """What a discipline asked of lineage.py."""

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.packed)

    def spec(self, task: int) -> TaskSpec:
        """Return the definition of a task."""
        packed, function = self.packed[task], self.function_of[task]
        mould = self._moulds.get(function)
        spec = None if mould is None else mould.unpack(self.ids[task], packed)
        return self._unpack(function, packed) if spec is None else spec

    def _unpack(self, function: int, packed: bytes) -> TaskSpec:
        """Unpack a task whole; if it is the second one of its function, let others be taken out of its mould."""
        spec, moulds = unpack(packed), self._moulds
        if function not in moulds:
            if len(moulds) < MOST_MOULDS:
                moulds[function] = None
        elif moulds[function] is None:
            moulds[function] = Mould(spec)
        return spec

    def task_name(self, task: int) -> str:
        """Return the display name of a task."""
        packed = self.packed[task]
        mould = self._moulds.get(self.function_of[task])
        return mould.name if mould is not None and mould.gave_name(packed) else name_of(packed)

    def func_name(self, task: int) -> str:
        """Return the name of a task's function, or nothing."""
        return func_name_of(self.packed[task])

    def shape(self, task: int) -> Shape:
        """Return what decides where a task fits."""
        return self.shapes[self.shape_of[task]]

    def kind(self, task: int) -> str:
        """Return what a task is mostly busy with."""
        return self.kinds[self.shape_of[task]]

    def function(self, task: int) -> bytes:
        """Return the hash of a task's code."""
        return self.functions[self.function_of[task]]

    def after(self, task: int) -> array[int]:
        """Return the numbers of the tasks that wait for this one."""
        return self.successors[self.first[task] : self.first[task + 1]]

    def only_after(self, task: int) -> int | None:
        """Return the one task that waits for this one, if it waits for nothing else and nothing else for this one."""
        first = self.first[task]
        if self.first[task + 1] - first != 1:
            return None
        there = self.successors[first]
        return there if self.missing[there] == 1 else None

    def encode(self) -> bytes:
        """Return the body that `load_graph` reads."""
        return msgspec.msgpack.encode((FORMAT, self.name, self.packed, self.manual))


def load_graph(workflow_id: bytes, version: int, body: bytes) -> Graph:
    """Read a saved body.

    Raises:
        ValueError: the body is damaged or of another format.
    """
    name, packed, manual = read_body(body)
    return compile_graph(Graph(workflow_id, version, name, packed), manual)


def read_body(body: bytes) -> tuple[str, list[bytes], list[tuple[int, int]]]:
    """Return the name, the packed tasks and the manual edges (pairs of task numbers) of a saved body.

    Raises:
        ValueError: the body is damaged or of another format.
    """
    fmt, name, packed, manual = _body.decode(body)
    if fmt != FORMAT:
        raise ValueError(f"graph body of format {fmt}, this version reads {FORMAT}")
    return name, packed, manual


def compile_graph(graph: Graph, manual: Iterable[tuple[int, int]]) -> Graph:
    """Fill in everything that follows from the packed tasks and the manual edges (pairs of task numbers).

    Args:
        graph: a graph with its tasks and nothing else.
        manual: the edges that no input carries.
    """
    # One task at a time: unpacked all at once they would be the largest thing in the head.
    outline, ids, before = Outline(), list[bytes](), dict[bytes, dict[bytes, None]]()
    for packed in graph.packed:
        spec = unpack(packed)
        outline.add(spec)
        ids.append(spec.task_id)
        if sources := spec.sources():
            before[spec.task_id] = dict.fromkeys(sources)
    graph.manual = list(manual)
    for source, target in graph.manual:
        before.setdefault(ids[target], {})[ids[source]] = None
    return assemble(graph, outline, ids, before)


def assemble(
    graph: Graph, outline: Outline, ids: Iterable[bytes], before: Mapping[bytes, Mapping[bytes, object]]
) -> Graph:
    """Fill in what is known of a graph's tasks already.

    Args:
        graph: a graph with its tasks and manual edges and nothing else.
        outline: of its tasks.
        ids: of its tasks, in their order; the graph shares these objects, which halves what a task costs.
        before: the tasks before each task that has any, by their ids.
    """
    graph.ids = list(ids)
    graph.index = {task_id: number for number, task_id in enumerate(graph.ids)}
    graph.shapes, graph.shape_of = outline.shapes.copy(), outline.shape_of[:]
    graph.kinds = [kind_of(shape.request) for shape in graph.shapes]
    graph.functions, graph.function_of = list(outline.functions), outline.function_of[:]
    graph.uploads = outline.uploads.copy()
    graph.anchors = {target: graph.index[source] for target, source in outline.anchors.items()}
    graph.followed = dict.fromkeys(graph.anchors.values())
    _link(graph, before)
    return graph


def _link(graph: Graph, before: Mapping[bytes, Mapping[bytes, object]]) -> None:
    """Fill in who waits for whom; the successors of a task come in the order of their numbers."""
    size, index = len(graph), graph.index
    counts, missing = [0] * size, array("I", bytes(4 * size))
    for target, sources in before.items():
        missing[index[target]] = len(sources)
        for source in sources:
            counts[index[source]] += 1
    graph.first = array("I", accumulate(counts, initial=0))
    successors = graph.successors = array("I", bytes(4 * graph.first[-1]))
    free = list(graph.first)
    for number, task_id in enumerate(graph.ids if before else ()):
        for source in before.get(task_id, ()):
            place = index[source]
            successors[free[place]] = number
            free[place] += 1
    graph.missing = missing
    graph.roots = array("I", [task for task, waits_for in enumerate(missing) if not waits_for])
