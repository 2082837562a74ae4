"""The arithmetic of what to claim."""

from __future__ import annotations

from typing import Any

import pytest

from maze.cli.suggest import Suggestion, nice_cpus, nice_mib, suggestions


def task(peak: int, *, wall: float = 1000.0, cpu: float = 500.0, function: str = "f", **claim: Any) -> dict[str, Any]:
    return {
        "name": f"{function} of {peak}", "func_name": function, "peak_rss_kib": peak * 1024, "wall_ms": wall,
        "cpu_ms": cpu, "claim": {"cpu": 1.0, "cpu_mem": 0, "gpus": [], **claim},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mib", "nice"),
    [(1, 32), (32, 32), (32.1, 64), (500, 512), (513, 640), (2000, 2048), (2049, 2560), (8193, 9216), (70_000, 70_656)],
)
def test_sizes_that_people_would_write(mib: float, nice: int) -> None:
    assert nice_mib(mib) == nice


@pytest.mark.parametrize(
    ("cpus", "nice"), [(0, 0.25), (0.25, 0.25), (0.26, 0.5), (1.0, 1.0), (1.05, 1.0), (1.2, 2.0), (3.07, 3.0)]
)
def test_cpus_that_people_would_write(cpus: float, nice: float) -> None:
    assert nice_cpus(cpus) == nice


def test_the_largest_peak_counts_and_95_of_100_are_told() -> None:
    (found,) = suggestions(task(peak, cpu_mem=4096) for peak in range(1, 101))
    assert found == Suggestion("f", 100, 1.0, 4096, {}, 0.5, 100, 95)
    assert found.resources == {"cpu": 0.5, "cpu_mem": 128}


def test_one_busy_task_in_many_does_not_decide_about_cpus_but_one_in_ten_does() -> None:
    idle = [task(10, cpu=100.0)] * 38
    assert suggestions([*idle, task(10, cpu=3000.0)])[0].cpu_used == 0.1
    assert suggestions([*idle, *[task(10, cpu=3000.0)] * 4])[0].cpu_used == 3.0


def test_short_tasks_say_nothing_about_cpus_and_the_claim_stays() -> None:
    (found,) = suggestions([task(10, wall=49.0, cpu=49.0)])
    assert found.cpu_used is None
    assert found.resources["cpu"] == 1.0


def test_functions_are_told_apart_and_tasks_without_one_go_by_their_names() -> None:
    nameless = task(5) | {"func_name": ""}
    assert [each.function for each in suggestions([task(1, function="b"), task(2, function="a"), nameless])] == [
        "a", "b", "f of 5",
    ]  # fmt: skip


def test_what_was_not_measured_is_left_out() -> None:
    waiting = task(1) | {"peak_rss_kib": None, "claim": {}}
    reused = task(1) | {"peak_rss_kib": None}
    assert suggestions([waiting, reused, task(0)]) == []


@pytest.mark.parametrize(
    ("gpus", "claimed"),
    [
        ([], {}),
        ([{"index": 0, "share": 1.0, "gpu_mem": 80_000}, {"index": 1, "share": 1.0, "gpu_mem": 80_000}], {"gpu": 2}),
        ([{"index": 0, "share": 0.5, "gpu_mem": 4000}], {"gpu": 0.5, "gpu_mem": 4000}),
        ([{"index": 3, "share": 0.0, "gpu_mem": 4000}], {"gpu_mem": 4000}),
    ],
)
def test_gpus_stay_as_they_were_claimed(gpus: list[dict[str, Any]], claimed: dict[str, float]) -> None:
    (found,) = suggestions([task(100, gpus=gpus)])
    assert found.resources == {"cpu": 0.5, "cpu_mem": 128, **claimed}
