"""Worlds by the hundred: no seed may break a rule. `MAZE_SIM_SEEDS` says how many (500; `tox -e sim` 2,000)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim.world import run

SEEDS = int(os.environ.get("MAZE_SIM_SEEDS", "500"))
CHUNK = 50
REGRESSIONS = [
    int(line.split("#")[0])
    for line in (Path(__file__).parent / "regressions.txt").read_text().splitlines()
    if line.split("#")[0].strip()
]


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_rule(first: int) -> None:
    failed = [report for seed in range(first, min(first + CHUNK, SEEDS)) if not (report := run(seed)).ok]
    assert not failed, _story(failed)


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_failed_once(seed: int) -> None:
    report = run(seed)
    assert report.ok, _story([report])


def _story(failed: list) -> str:
    first = failed[0]
    seeds = [report.seed for report in failed]
    return (
        f"seeds {seeds}; the first one: {first.problem}\n{first.knobs}\n"
        f"repeat with: MAZE_SIM_SEED={first.seed} python tests/sim/run.py"
    )
