"""Ratios of pairs, and one comparison that really runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from _ratios import ratio_of, row, summary


def test_a_ratio_is_that_of_pairs_not_of_medians() -> None:
    assert ratio_of([10.0, 2.0, 30.0], [1.0, 2.0, 10.0]) == {"median": 3.0, "least": 1.0, "most": 10.0}


def test_what_makes_no_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="make no pairs"):
        ratio_of([1.0], [])
    with pytest.raises(ValueError, match="make no pairs"):
        ratio_of([], [])


def test_a_row_tells_medians_and_ranges() -> None:
    record = {
        "workload": "W1", "metric": "tasks_per_second", "systems": ["maze", "ray"],
        "maze": summary([12_000.0, 13_000.0]), "ray": summary([1_000.0, 1_300.0]), "ratio": summary([10.0, 12.0]),
    }  # fmt: skip
    assert row(record) == (
        "| W1 | tasks_per_second | 12,500 (12,000 to 13,000) | ray: 1,150 (1,000 to 1,300)"
        " | **11.00** (10.00 to 12.00) |"
    )


@pytest.mark.parametrize(("workload", "size"), [("W1", "50"), ("W3", "5")])
def test_a_small_comparison_runs(workload: str, size: str) -> None:
    command = [sys.executable, "bench/compare.py", workload, "--pairs", "1", "--size", size]
    record = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert record["systems"] == ["maze", "futures"]
    assert record["ratio"]["median"] > 0
