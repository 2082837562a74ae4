"""The shape of the code base: sizes, broad excepts, public names. Cheap rules that keep a house tidy."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("maze/maze", "head/maze_head", "node/maze_node", "protocol/maze_protocol")
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
ADR = ROOT / "docs/adr/0011-broad-except.md"

pytestmark = pytest.mark.skipif(not SOURCES, reason="only in a checkout")


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_its_rules_and_stays_small(path: Path) -> None:
    tree = _tree(path)
    if tree.body:
        assert ast.get_docstring(tree), "a module opens with its rules"
    assert len(path.read_text().splitlines()) <= 500, "two ideas live here"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_small(path: Path) -> None:
    long = [
        f"{node.name}: {length} lines"
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or 0) - node.lineno + 1) > 80
    ]
    assert not long


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler takes everything and does not pass it on as it was."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    names = {name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)} if handler.type else {"bare"}
    return bool(names & {"bare", "Exception", "BaseException"})


def test_every_broad_except_is_listed_in_the_adr() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(isinstance(node, ast.ExceptHandler) and _swallows(node) for node in ast.walk(_tree(path)))
    }
    listed = set(re.findall(r"`((?:maze|head|node|protocol)/[\w/]+\.py)`", ADR.read_text()))
    assert found == listed


def test_commands_print_through_what_escapes() -> None:
    raw = {"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}
    for path in {*(ROOT / "maze/maze/cli").glob("*.py")} - {ROOT / "maze/maze/cli/_render.py"}:
        assert not raw & {ast.unparse(node.func) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)}, path
