"""docs/bad_input.md keeps its word: every row of the catalogue has tests that exist."""

from __future__ import annotations

import pytest

from support.catalogue import exists, names, rows

ROWS = rows("bad_input.md")
NAMED = sorted(names([cells[4] for cells in ROWS]))
LATER = {"1", "65"}

pytestmark = pytest.mark.skipif(not ROWS, reason="only in a checkout")


def test_the_catalogue_has_all_sixty_five_rows() -> None:
    assert [int(cells[0]) for cells in ROWS] == list(range(1, 66))
    assert {len(cells) for cells in ROWS} == {5}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    assert exists(name)


def test_every_row_has_a_test() -> None:
    assert [number for number, _, _, _, tests in ROWS if "::" not in tests] == []
