"""The speed benchmarks run: tiny sizes, no figure is judged; Maze and the process pool only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def record_of(program: str, *arguments: str) -> dict:
    command = [sys.executable, str(BENCH / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("workload", "size"), [("W1", 50), ("W4", 20)])
def test_a_comparison_runs(workload: str, size: int) -> None:
    record = record_of("compare.py", workload, "--pairs", "1", "--size", str(size))
    assert record["systems"] == ["maze", "futures"]
    assert record["ratio"]["median"] > 0


def test_a_killed_worker_loses_one_task_and_nothing_ends_twice_but_a_pool_gives_up() -> None:
    measured = record_of("compare.py", "W8", "--pairs", "1", "--size", "60")["measured"]
    ours, pool = measured["maze"][0], measured["futures"][0]
    assert (ours["finished"], ours["lost"], ours["ended_twice"]) == (60, 1, 0)
    assert pool["finished"] < 60


def test_four_nodes_are_a_variant() -> None:
    record = record_of("compare.py", "W7-rate", "--systems", "maze-4", "--pairs", "1", "--size", "40")
    assert record["maze-4"]["median"] > 0


def test_values_between_nodes_are_timed() -> None:
    assert record_of("compare.py", "W5-nodes", "--systems", "maze", "--pairs", "1", "--size", "1")["maze"]["median"] > 0


def test_a_million_is_as_many_as_it_is_told() -> None:
    record = record_of("million.py", "--runs", "4", "--tasks", "20")
    assert (record["tasks"], [each["runs"] for each in record["rss_mb"]]) == (80, [1, 2, 3, 4])


def test_the_budget_divides_all_that_was_measured() -> None:
    record = record_of("budget.py", "--tasks", "200", "--rounds", "1", "--batches", "16", "--json")
    for part, cost in record["measured"]["parts_us"].items():
        assert sum(record["measured"]["stages_us"][part].values()) == pytest.approx(cost, abs=1.5)
    assert record["alone_us"]["16"]["together"] > 0


def test_what_token_and_curve_cost_is_compared_with_a_head_without() -> None:
    record = record_of("security.py", "--tasks", "1000", "--runs", "40", "--requests", "800", "--rounds", "1")
    assert record["http_p50_ms"]["token"]["median"] > 0
    assert record["w2_p50_ms"]["ratio_to_off"].keys() == {"token", "curve"}
    assert record["w2_p50_ms"]["curve"]["median"] > 0


def test_objects_travel_with_curve_beside_those_without() -> None:
    record = record_of("transfer.py", "--mib", "4", "--rounds", "1", "--pings", "0", "--curve")
    assert record["moved"]["mb_per_second"] > 0
    assert record["moved_with_curve"]["mb_per_second"] > 0
