"""The two benches of the scheduler run, at sizes that take a second, and what they print can be true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


def bench(name, *arguments):
    command = [sys.executable, str(BENCH / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_decisions_are_counted_and_the_backlog_stays():
    record = json.loads(bench("decisions.py", "--nodes", 20, "--waiting", 400, "--turns", 10, "--backlogs", "200,2000"))
    steady = record["steady"]
    assert steady["decisions"] > 0
    assert steady["decisions_per_cpu_second"] > 0
    assert steady["waiting"] >= 400
    assert record["backlogs"]["many"]["waiting"] >= 10 * record["backlogs"]["few"]["waiting"] / 8
    assert record["backlogs"]["cost_ratio"] > 0


def test_decisions_can_be_profiled():
    assert "placement.py" in bench("decisions.py", "--nodes", 5, "--waiting", 100, "--turns", 5, "--profile")


@pytest.mark.parametrize("workload", ["agents", "fans", "mixed"])
def test_every_scheduler_does_all_the_work_and_none_beats_the_bound(workload):
    record = json.loads(bench("sched_sim.py", "--nodes", 3, "--tasks", 400, "--workload", workload))
    (run,) = record["runs"]
    for name in ("maze fcfs", "first-fit", "head-of-line"):
        assert run[name]["jct_over_bound"] >= 1.0
        assert run[name]["makespan_s"] >= run["bounds"]["makespan_s"]
    assert run["maze fcfs"]["core"]["decisions"] == run["tasks"]


def test_seeds_are_repeatable():
    """All but the times that the machine takes."""
    first, second = (json.loads(bench("sched_sim.py", "--nodes", 3, "--tasks", 300))["runs"][0] for _ in range(2))
    for record in (first, second):
        del record["maze fcfs"]["core"]
    assert first == second


def test_a_picture_is_written(tmp_path):
    bench("sched_sim.py", "--nodes", 3, "--tasks", 200, "--no-baselines", "--plot", tmp_path / "sim.svg")
    assert "</svg>" in (tmp_path / "sim.svg").read_text()
