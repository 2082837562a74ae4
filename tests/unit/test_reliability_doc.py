"""docs/reliability.md keeps its word: every row of the catalogue has tests that exist, or a reason."""

from __future__ import annotations

import re

import pytest

from support.catalogue import exists, names, rows

ROWS = rows("reliability.md")
NAMED = sorted(names([cells[3] for cells in ROWS]))

pytestmark = pytest.mark.skipif(not ROWS, reason="only in a checkout")


def test_the_catalogue_has_all_sixty_rows() -> None:
    assert [int(cells[0]) for cells in ROWS] == list(range(1, 61))
    assert {len(cells) for cells in ROWS} == {5}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    assert exists(name)


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: cells[0])
def test_a_row_has_a_test_or_a_reason(cells: list[str]) -> None:
    *_, tests, figure = cells
    assert "`" in tests or re.match(r"(later|nothing to test|not here)", figure), "say why nothing proves this"
