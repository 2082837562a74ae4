"""The tables of docs/ whose rows name the tests that prove them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def rows(page: str) -> list[list[str]]:
    """Return the cells of every numbered row of a page of docs/; none if there is no checkout."""
    path = ROOT / "docs" / page
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.strip("| ").split(" | ") for line in lines if re.match(r"\| \d+ \|", line)]


def names(cells: list[str]) -> set[str]:
    """Return what stands in backticks."""
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def exists(name: str) -> bool:
    """Tell whether a test or a file is there, by `folder/file.py::function` below tests/ or a path."""
    path, colons, function = name.partition("::")
    return function in _functions(ROOT / "tests" / path) if colons else (ROOT / path).exists()


@cache
def _functions(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
