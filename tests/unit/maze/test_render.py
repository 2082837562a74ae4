"""Pictures of a workflow."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from maze import _render
from maze._graph import Graph, InputSpec
from maze.errors import MissingDependencyError
from support.drafts import task_of, vertex

ONE, TWO = "task_" + "1" * 32, "task_" + "2" * 32
HAS_DOT = shutil.which("dot") is not None


@pytest.fixture
def graph() -> Graph:
    first = task_of(ONE, "process_data", "process", "h", {"text": InputSpec()}, ("y",), {}, {"gpu_mem": 4096})
    return Graph([first, vertex(TWO, ONE)])


def test_the_printed_form_is_the_documented_one(graph: Graph) -> None:
    bar = "═" * 62
    assert _render.graph_lines(graph) == [
        f"╔{bar}╗",
        f"║{'Workflow Structure Visualization':^62}║",
        f"╚{bar}╝",
        "",
        "Nodes (Tasks):",
        "  • task_11111111... [process_data]",
        f"  • task_22222222... [{TWO}]",
        "",
        "Dependencies (Edges):",
        "  task_11111111... → task_22222222...",
    ]


def test_an_empty_graph_prints_too() -> None:
    assert _render.graph_lines(Graph())[4:] == ["Nodes (Tasks):", "  (none)", "", "Dependencies (Edges):", "  (none)"]


def test_mermaid_has_full_ids_and_escaped_names(graph: Graph) -> None:
    assert _render.mermaid(graph).splitlines() == [
        "graph TD", f'    {ONE}["process_data"]', f'    {TWO}["{TWO}"]', f"    {ONE} --> {TWO}"
    ]  # fmt: skip
    assert '["a #quot;b#quot; #lt;i#gt; #35;1"]' in _render.mermaid(Graph([task_of(ONE, 'a "b" <i> #1')]))


def test_info_is_the_documented_dictionary(graph: Graph) -> None:
    info = _render.graph_info(graph)
    assert info["nodes"][ONE] == {
        "name": "process_data",
        "func_name": "process",
        "inputs": ["text"],
        "outputs": ["y"],
        "resources": {"cpu": 1, "cpu_mem": 0, "gpu": 1, "gpu_mem": 4096},
    }
    assert info["edges"] == [[ONE, TWO]]
    assert info["stats"] == {"total_nodes": 2, "total_edges": 1, "max_depth": 2}
    assert _render.graph_info(Graph())["stats"] == {"total_nodes": 0, "total_edges": 0, "max_depth": 0}


def test_edges_to_tasks_not_seen_yet_are_left_out(graph: Graph) -> None:
    graph.manual["task_elsewhere", ONE] = None
    later = Graph(graph.tasks.values(), graph.manual)
    assert _render.graph_info(later)["stats"] == {"total_nodes": 2, "total_edges": 1, "max_depth": 2}


MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<", "jpg": b"\xff\xd8"}


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.parametrize(
    "method", ["matplotlib", pytest.param("graphviz", marks=pytest.mark.skipif(not HAS_DOT, reason="needs dot"))]
)
def test_every_format_is_drawn(graph: Graph, tmp_path: Path, kind: str, method: str) -> None:
    target = tmp_path / "deep" / f"graph.{kind.upper()}"
    assert _render.draw(graph, str(target), method, (4, 3), 50) == str(target)
    assert target.read_bytes().startswith(MAGIC[kind])


def test_odd_names_are_drawn(tmp_path: Path) -> None:
    odd = Graph([task_of(ONE, "costs $5 <b> \\N {x} $")])
    assert Path(_render.draw(odd, str(tmp_path / "odd.png"), "matplotlib", (4, 3), 50)).exists()


@pytest.mark.parametrize(("path", "method"), [("a.gif", "auto"), ("a", "auto"), ("a.png", "paint")])
def test_unknown_formats_and_methods_are_value_errors(graph: Graph, tmp_path: Path, path: str, method: str) -> None:
    with pytest.raises(ValueError, match="one of"):
        _render.draw(graph, str(tmp_path / path), method, (4, 3), 50)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_workflow_is_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        _render.draw(Graph(), str(tmp_path / "a.png"), "auto", (4, 3), 50)


def test_auto_without_dot_takes_matplotlib(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(_render.draw(graph, str(tmp_path / "a.png"), "auto", (4, 3), 50)).exists()
    with pytest.raises(ImportError, match="apt install graphviz"):
        _render.draw(graph, str(tmp_path / "b.png"), "graphviz", (4, 3), 50)


def test_what_is_not_installed_is_told_with_the_command(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(MissingDependencyError, match="pip install matplotlib networkx"):
        _render.draw(graph, str(tmp_path / "a.png"), "matplotlib", (4, 3), 50)


def test_graphviz_is_asked_with_escaped_names(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no `dot`: a stand-in records what it gets."""
    script = tmp_path / "dot"
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write(sys.stdin.read())\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    odd = Graph([task_of(ONE, "<b>"), vertex(TWO, ONE)])
    drawn = Path(_render.draw(odd, str(tmp_path / "a.svg"), "auto", (4, 3), 50)).read_text()
    assert f"{ONE} -> {TWO}" in drawn
    assert "dpi=50" in drawn
    assert 'label="<b>' in drawn


def test_where_nothing_can_be_written_is_an_os_error(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "a.png", tmp_path / "file.png"):
        (tmp_path / "file.png").mkdir(exist_ok=True)
        with pytest.raises(OSError, match="file"):
            _render.draw(graph, str(target), "matplotlib", (4, 3), 50)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m\x00", "\u202eforged", "名前 🔗", '"]; x --> y["'])
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_names_that_should_have_been_refused_are_drawn_as_escapes(tmp_path: Path, name: str) -> None:
    odd = Graph([task_of(ONE, name)])
    assert Path(_render.draw(odd, str(tmp_path / "odd.svg"), "matplotlib", (4, 3), 50)).exists()
    assert _render.mermaid(odd).count("\n") == 1
