"""A compiled graph: one version of a workflow, immutable, shared by all its runs, indexed by task number.

Rules
* A task is kept packed (the MessagePack of its `TaskSpec`) and unpacked when it is leased or shown: a million tasks
  are a million short `bytes`, which the garbage collector never looks at.
* What a pass of the scheduler needs without unpacking lies in flat arrays: predecessor counts, successors (compressed
  rows: those of task i are `successors[first[i]:first[i + 1]]`), and the numbers of its shape and of its function.
* Nothing here knows runs, nodes or how a graph is edited (workflows.py).

The saved body is [FORMAT, name, packed tasks, manual edges as pairs of task numbers]; `load_graph` reads it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from maze_protocol.messages import OutputDecl
from maze_protocol.resources import Request
from maze_protocol.terms import NO_TERMS, Terms

if TYPE_CHECKING:
    from maze_head.core.lineage import Groups, Standing, Stretch

__all__ = [
    "ENCODED",
    "Graph",
    "InputSpec",
    "SOURCE",
    "Shape",
    "TaskSpec",
    "UPLOADED",
    "VALUE",
    "load_graph",
    "read_body",
    "pack",
    "sources_of",
    "unpack",
]

FORMAT: Final = 1
VALUE: Final = 0
SOURCE: Final = 1
ENCODED: Final = 2
UPLOADED: Final = 3
"""How an input was authored: a literal of JSON types, a reference, or an SDK-encoded literal with holes, whose bytes
were sent with the task or uploaded before."""


class InputSpec(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One input: a body in some codec, references (task id, output key), or both."""

    name: str
    form: int
    codec: int = 0
    body: bytes = b""
    refs: tuple[tuple[bytes, str], ...] = ()
    upload: bytes = b""
    """The content hash of an uploaded body."""
    size: int = 0
    """Of an uploaded body."""


class TaskSpec(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A task as authored, in the core's own words; fields are only appended."""

    task_id: bytes
    name: str
    request: Request
    python: tuple[int, int]
    """The Python minor version that its code needs; (0, 0) for any."""
    code: bytes = b""
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputDecl, ...] = ()
    strict_outputs: bool = True
    keep: bool = False
    func_name: str = ""
    task_type: str = "code"
    data_types: dict[str, str] = {}
    resources: dict[str, float] = {}
    retries: int = 0
    retry_backoff: float = 0.5
    retry_on: tuple[str, ...] = ()
    timeout: float = 0.0
    idle_timeout: float = 0.0
    at_most_once: bool = False
    terms: Terms = NO_TERMS
    same_node_as: bytes = b""
    sandbox: bool = False

    def sources(self) -> tuple[bytes, ...]:
        """Return the ids of the tasks that this one names, as references or its node's, each once, in order."""
        found: dict[bytes, None] = {}
        for entry in self.inputs:
            for task_id, _ in entry.refs:
                found[task_id] = None
        if self.same_node_as:
            found[self.same_node_as] = None
        return tuple(found)


class _Label(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first fields of a TaskSpec; the decoder skips the rest."""

    task_id: bytes
    name: str


class _Function(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The fields of a TaskSpec up to the name of its function; what is `Raw` is skipped unread."""

    task_id: bytes
    name: str
    request: msgspec.Raw
    python: msgspec.Raw
    code: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()
    outputs: msgspec.Raw = msgspec.Raw()
    strict_outputs: msgspec.Raw = msgspec.Raw()
    keep: msgspec.Raw = msgspec.Raw()
    func_name: str = ""


class Shape(NamedTuple):
    """What decides where a task fits: its resources, its Python, its terms, how long it may take, its sandbox."""

    request: Request
    python: tuple[int, int]
    terms: Terms = NO_TERMS
    seconds: float = 0.0
    """Its time limit: a node that leaves before is none for it; 0: not known."""
    sandbox: bool = False
    """Only for nodes that know what that is."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TaskSpec).decode
_label = msgspec.msgpack.Decoder(_Label).decode
_function = msgspec.msgpack.Decoder(_Function).decode
_body = msgspec.msgpack.Decoder(tuple[int, str, list[bytes], list[tuple[int, int]]])


def sources_of(graph: Graph, task: int) -> list[int]:
    """Return the numbers of the tasks whose outputs a task gets, each once, in order."""
    refs = (task_id for entry in graph.spec(task).inputs for task_id, _ in entry.refs)
    return [graph.index[task_id] for task_id in dict.fromkeys(refs)]


def pack(spec: TaskSpec) -> bytes:
    """Return the compact form of a task."""
    return _encode(spec)


def unpack(packed: bytes) -> TaskSpec:
    """Return the task of a compact form."""
    return _decode(packed)


class Graph:
    """One version of a workflow, ready to run."""

    __slots__ = (
        "anchors", "first", "followed", "function_of", "functions", "ids", "index", "live_runs", "manual", "missing",
        "name", "packed", "roots", "shape_of", "shapes", "standings", "stretches", "successors", "uploads",
        "version", "workflow_id",
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
        self.standings: Groups[Standing] | None = None
        self.stretches: Groups[Stretch] | None = None
        """What a discipline asked of lineage.py."""

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.packed)

    def spec(self, task: int) -> TaskSpec:
        """Return the definition of a task."""
        return _decode(self.packed[task])

    def task_name(self, task: int) -> str:
        """Return the display name of a task."""
        return _label(self.packed[task]).name

    def func_name(self, task: int) -> str:
        """Return the name of a task's function, or nothing."""
        return _function(self.packed[task]).func_name

    def shape(self, task: int) -> Shape:
        """Return what decides where a task fits."""
        return self.shapes[self.shape_of[task]]

    def function(self, task: int) -> bytes:
        """Return the hash of a task's code."""
        return self.functions[self.function_of[task]]

    def after(self, task: int) -> array[int]:
        """Return the numbers of the tasks that wait for this one."""
        return self.successors[self.first[task] : self.first[task + 1]]

    def encode(self) -> bytes:
        """Return the body that `load_graph` reads."""
        return _encode((FORMAT, self.name, self.packed, self.manual))


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


def compile_graph(graph: Graph, manual: Iterable[tuple[int, int]], ids: Iterable[bytes] | None = None) -> Graph:
    """Fill in everything that follows from the packed tasks and the manual edges (pairs of task numbers).

    Args:
        graph: a graph with its tasks and nothing else.
        manual: the edges that no input carries.
        ids: the ids of the tasks, if the caller has them: sharing the objects halves what a task costs.
    """
    # One task at a time: unpacked all at once they would be the largest thing in the head.
    shapes: dict[Shape, int] = {}
    functions: dict[bytes, int] = {}
    references: list[tuple[bytes, int]] = []
    anchors: list[tuple[bytes, int]] = []
    own_ids: list[bytes] = []
    for target, packed in enumerate(graph.packed):
        spec = _decode(packed)
        own_ids.append(spec.task_id)
        graph.shape_of.append(
            shapes.setdefault(Shape(spec.request, spec.python, spec.terms, spec.timeout, spec.sandbox), len(shapes))
        )
        graph.function_of.append(functions.setdefault(spec.code, len(functions)))
        references += [(source, target) for source in spec.sources()]
        if any(entry.upload for entry in spec.inputs):
            graph.uploads[target] = None
        if spec.same_node_as:
            anchors.append((spec.same_node_as, target))
    graph.ids = own_ids if ids is None else list(ids)
    graph.index = {task_id: number for number, task_id in enumerate(graph.ids)}
    graph.shapes = list(shapes)
    graph.functions = list(functions)
    graph.manual = list(manual)
    graph.anchors = {target: graph.index[source] for source, target in anchors}
    graph.followed = dict.fromkeys(graph.anchors.values())
    edges = dict.fromkeys((graph.index[source], target) for source, target in (*references, *anchors))
    edges.update(dict.fromkeys(graph.manual))
    _link(graph, edges)
    return graph


def _link(graph: Graph, edges: dict[tuple[int, int], None]) -> None:
    size = len(graph)
    counts, missing = [0] * size, array("I", bytes(4 * size))
    for source, target in edges:
        counts[source] += 1
        missing[target] += 1
    graph.first = array("I", accumulate(counts, initial=0))
    graph.successors = array("I", bytes(4 * len(edges)))
    free = list(graph.first)
    for source, target in edges:
        graph.successors[free[source]] = target
        free[source] += 1
    graph.missing = missing
    graph.roots = array("I", (task for task in range(size) if missing[task] == 0))
