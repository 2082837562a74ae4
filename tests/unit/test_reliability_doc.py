"""docs/reliability.md keeps its word: every row of the catalogue has tests that exist, or a reason."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.M) if PAGE.exists() else []
NAMED = sorted({name for *_, tests, _ in ROWS for name in re.findall(r"`([^`]+)`", tests)})

pytestmark = pytest.mark.skipif(not ROWS, reason="only in a checkout")


@cache
def functions(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_catalogue_has_all_sixty_rows() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 61))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    path, colons, function = name.partition("::")
    assert function in functions(ROOT / "tests" / path) if colons else (ROOT / path).exists()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_has_a_test_or_a_reason(row: tuple[str, ...]) -> None:
    *_, tests, figure = row
    assert "`" in tests or re.match(r"(later|nothing to test|not here)", figure), "say why nothing proves this"
