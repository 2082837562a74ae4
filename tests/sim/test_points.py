"""The head dies at every point of its journal, one after the other: before a write, after it, after it was told.

A small world without other faults; the death is followed by a recovery, and everything that was acknowledged must be
there and be finished.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.knobs import Knobs
from sim.nemesis import POINTS
from sim.world import World, run

SEED = 3
CALM = Knobs(
    nodes=2, workflows=1, tasks=5, slow_task=0.3, crash_once=0.3, poison=0.0, user_error=0.0, hang=0.0,
    cancel=0.0, retry=0.0, storm=8.0,
)  # fmt: skip


def commits() -> int:
    """Return how many batches the world without any crash writes."""
    report = run(SEED, CALM)
    assert report.ok, report.problem
    return report.commits


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("point", POINTS)
def test_the_head_may_die_at_any_point_of_the_journal(point: str, durability: str) -> None:
    knobs = replace(CALM, durability=durability)
    crashed = 0
    for number in range(1, commits() + 1):
        world = World(SEED, knobs)
        world.point = point, number
        report = world.run()
        assert report.ok, f"death no. {number} at {point!r}: {report.problem}"
        crashed += report.lives > 1
    assert crashed >= commits() * 0.8, "most of the points were reached"
