"""The test of the tests: every deliberate bug is found within 200 seeds."""

from __future__ import annotations

import pytest

from sim.mutants import MUTANTS, SEEDS, Patch, hunt
from sim.world import run


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str) -> None:
    assert hunt(name) is not None, f"{name} lives through {SEEDS} seeds"


def test_there_are_enough_mutants_and_none_outlives_its_hunt() -> None:
    assert len(MUTANTS) >= 12
    before = run(7)
    patch = Patch()
    for break_it in MUTANTS.values():
        break_it(patch)
    patch.undo()
    assert run(7) == before
