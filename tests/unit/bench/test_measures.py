"""Figures of a schedule, on schedules small enough to know them by heart."""

from __future__ import annotations

import pytest
from _baselines import Attempt
from _core import capacity
from _measures import Meter, confidence, jain, percentile
from _workloads import App, Function, Job, Step, Workload

from maze_protocol.declare import normalise_resources
from maze_protocol.resources import Claim, DeviceClaim, Request


def work(*shapes, last=10.0):
    steps = tuple(Step(Function("f", "cpu", r, Request.of(normalise_resources(r)), lambda random: 1.0)) for r in shapes)
    app = App("a", steps, ((),) * len(steps))
    seconds = (1.0,) * len(steps)
    return Workload("w", (app,), (Job(0.0, app, seconds, "p0"), Job(last, app, seconds, "p0")))


def share(milli, mem):
    return Claim(1000, 0, (DeviceClaim(0, milli, mem),))


def test_jain_is_one_for_equals_and_one_in_n_for_all_to_one():
    assert jain([2.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


def test_percentiles_are_values_that_occurred():
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 1.0) == 4.0


def test_an_interval_holds_the_mean_and_shrinks_with_the_spread():
    low, high = confidence([1.0, 2.0, 3.0, 4.0, 5.0])
    assert low < 3.0 < high
    assert confidence([3.0, 3.0]) == (3.0, 3.0)


def test_utilisation_is_the_share_that_was_given_away_until_the_last_arrival():
    meter = Meter([capacity(4, 8, 1, 10)], work({"cpu": 1}))
    one = Attempt(0, 0, 0, share(500, 1024))
    meter.placed(one, 2.0)
    meter.advance(5.0)
    meter.ended(one)
    meter.advance(50.0)
    report = meter.report()
    assert report["utilisation"] == {"cpu": 0.125, "gpu": 0.25}
    assert report["wait_s"]["max"] == 2.0


def test_a_device_counts_with_the_larger_of_thousandths_and_memory():
    meter = Meter([capacity(8, 8, 1, 10)], work({"cpu": 1}))
    meter.placed(Attempt(0, 0, 0, share(500, 1024)), 0.0)
    meter.placed(Attempt(0, 1, 0, share(0, 8192)), 0.0)
    assert meter.gpu == pytest.approx(0.9)


def test_a_schedule_that_gives_away_too_much_is_refused():
    meter = Meter([capacity(1, 8)], work({"cpu": 1}))
    meter.placed(Attempt(0, 0, 0, Claim(1000, 0)), 0.0)
    with pytest.raises(AssertionError, match="more than it has"):
        meter.placed(Attempt(0, 1, 0, Claim(1000, 0)), 0.0)


def test_devices_are_fragmented_if_the_next_task_cannot_use_what_is_free():
    meter = Meter([capacity(8, 8, 2, 10)], work({"cpu": 1, "gpu": 1}))
    meter.placed(Attempt(0, 0, 0, share(400, 0)), 0.0)
    meter.advance(1.0)
    # 0.6 of one device is free and of no use to whole claims; the other is whole.
    assert meter.report()["fragmentation"]["gpu"] == pytest.approx(0.6 / 1.6, abs=1e-3)


def test_free_devices_are_lost_where_the_cpus_are_gone():
    meter = Meter([capacity(1, 8, 1, 10), capacity(1, 8, 1, 10)], work({"cpu": 1, "gpu": 1}))
    meter.placed(Attempt(0, 0, 0, Claim(1000, 0)), 0.0)
    meter.advance(1.0)
    assert meter.report()["fragmentation"]["gpu"] == 0.5


def test_free_cpus_are_fragmented_if_they_are_too_few_together():
    meter = Meter([capacity(4, 8), capacity(4, 8)], work({"cpu": 4}))
    meter.placed(Attempt(0, 0, 0, Claim(1000, 0)), 0.0)
    meter.advance(1.0)
    assert meter.report()["fragmentation"]["cpu"] == pytest.approx(3 / 7, abs=1e-3)
