"""Pictures of a workflow: as text, as Mermaid, as an image. Returns them or writes the file asked for; prints nothing.

graphviz is used only if its `dot` program is on PATH: the Python package alone draws nothing. matplotlib is used
through its object interface, so that no global figure, backend or window is touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maze.errors import GraphError, MissingDependencyError
from maze_protocol.declare import normalise_resources
from maze_protocol.graph import topological_order
from maze_protocol.ids import short_id
from maze_protocol.shown import shown

if TYPE_CHECKING:
    from maze._graph import Graph

__all__ = ["dot_of", "draw", "graph_info", "graph_lines", "mermaid"]

_WIDTH: Final = 62
_TITLE: Final = "Workflow Structure Visualization"
FORMATS: Final = {".png": "png", ".pdf": "pdf", ".svg": "svg", ".jpg": "jpg", ".jpeg": "jpg"}
METHODS: Final = ("auto", "graphviz", "matplotlib")


def graph_lines(graph: Graph) -> list[str]:
    """Return the graph as lines of text."""
    bar = "═" * _WIDTH
    lines = [f"╔{bar}╗", f"║{_TITLE.center(_WIDTH)}║", f"╚{bar}╝", "", "Nodes (Tasks):"]
    lines += [f"  • {short_id(task.task_id)}... [{shown(task.name)}]" for task in graph.tasks.values()] or ["  (none)"]
    edges = [f"  {short_id(source)}... → {short_id(target)}..." for source, target in graph.known_edges()]
    return [*lines, "", "Dependencies (Edges):", *(edges or ["  (none)"])]


def mermaid(graph: Graph) -> str:
    """Return the graph as Mermaid text."""
    nodes = [f'    {task.task_id}["{_escaped(task.name)}"]' for task in graph.tasks.values()]
    edges = [f"    {source} --> {target}" for source, target in graph.known_edges()]
    return "\n".join(["graph TD", *nodes, *edges])


def graph_info(graph: Graph) -> dict[str, Any]:
    """Return the structure of the graph as the reference shows it."""
    edges = [[source, target] for source, target in graph.known_edges()]
    nodes = {
        task.task_id: {
            "name": task.name,
            "func_name": task.definition.func_name,
            "inputs": list(task.inputs),
            "outputs": list(task.definition.outputs),
            "resources": normalise_resources(task.definition.resources).shown,
        }
        for task in graph.tasks.values()
    }
    stats = {"total_nodes": len(nodes), "total_edges": len(edges), "max_depth": graph.depth()}
    return {"nodes": nodes, "edges": edges, "stats": stats}


def draw(graph: Graph, output_path: str, method: str, figsize: tuple[float, float], dpi: int) -> str:
    """Write the graph as an image and return its path.

    Raises:
        GraphError: an empty workflow, an unknown method or file extension.
        MissingDependencyError: what the method needs is not installed.
    """
    target = Path(output_path)
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        known = ", ".join(FORMATS)
        raise GraphError(f"output_path {str(output_path)!r} must end in one of {known}", code="bad_format")
    if method not in METHODS:
        raise GraphError(f"method must be one of {', '.join(METHODS)}, not {method!r}", code="bad_method")
    if not graph.tasks:
        raise GraphError("an empty workflow cannot be drawn", code="empty_workflow")
    drawer = _drawer(method)
    target.parent.mkdir(parents=True, exist_ok=True)
    drawer(graph, target, kind, figsize, dpi)
    return str(output_path)


Drawer = Callable[["Graph", Path, str, Sequence[float], int], None]


def _drawer(method: str) -> Drawer:
    if method == "graphviz" or (method == "auto" and _has_dot()):
        if not _has_dot():
            raise MissingDependencyError(
                "the program `dot` of graphviz is not on PATH", hint="apt install graphviz && pip install graphviz"
            )
        return _draw_graphviz
    return _draw_matplotlib


def _has_dot() -> bool:
    return shutil.which("dot") is not None


def _draw_graphviz(graph: Graph, target: Path, kind: str, figsize: Sequence[float], dpi: int) -> None:
    target.write_bytes(dot_of(graph, dpi).pipe(format=kind))


def dot_of(graph: Graph, dpi: int) -> Any:
    """Return the graph as graphviz's own object.

    Raises:
        MissingDependencyError: graphviz is not installed.
    """
    try:
        import graphviz
    except ImportError as error:
        raise MissingDependencyError("graphviz is not installed", hint="pip install graphviz") from error
    dot = graphviz.Digraph(graph_attr={"dpi": str(dpi)}, node_attr={"shape": "box", "style": "rounded"})
    for task in graph.tasks.values():
        # A backslash or <...> in a name is text, not markup.
        label = rf"{graphviz.escape(shown(task.name))}\n{short_id(task.task_id)}"
        dot.node(task.task_id, graphviz.nohtml(label))
    for source, to in graph.known_edges():
        dot.edge(source, to)
    return dot


def _draw_matplotlib(graph: Graph, target: Path, kind: str, figsize: Sequence[float], dpi: int) -> None:
    try:
        import networkx
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "neither graphviz nor matplotlib with networkx is available", hint="pip install matplotlib networkx"
        ) from error
    figure = Figure(figsize=(figsize[0], figsize[1]))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    drawn = networkx.DiGraph(list(graph.known_edges()))
    drawn.add_nodes_from(graph.tasks)
    # `$` would start mathematics.
    labels = {task.task_id: shown(task.name).replace("$", r"\$") for task in graph.tasks.values()}
    networkx.draw_networkx(
        drawn, _layers(graph), ax=axes, labels=labels, node_color="#cfe2f3", node_size=2600, node_shape="s", font_size=8
    )
    figure.savefig(target, format=kind, dpi=dpi, bbox_inches="tight")


def _layers(graph: Graph) -> dict[str, tuple[float, float]]:
    """Place tasks in rows: one row below the lowest of its predecessors."""
    row = dict.fromkeys(graph.tasks, 0)
    successors: dict[str, list[str]] = {}
    for source, target in graph.known_edges():
        successors.setdefault(source, []).append(target)
    for task_id in topological_order(list(graph.tasks), successors):
        for there in successors.get(task_id, ()):
            row[there] = max(row[there], row[task_id] + 1)
    rows: dict[int, list[str]] = {}
    for task_id, number in row.items():
        rows.setdefault(number, []).append(task_id)
    return {
        task_id: (place - (len(members) - 1) / 2, -float(number))
        for number, members in rows.items()
        for place, task_id in enumerate(members)
    }


def _escaped(name: str) -> str:
    """Return a name as the text of a Mermaid label: entities for what would end or mark it up."""
    marks = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"}
    return "".join(marks.get(character, character) for character in shown(name))
