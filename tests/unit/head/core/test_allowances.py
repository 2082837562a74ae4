"""Named limits: how many at once, how many in a time, and what a task is told that has to wait for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_head.core.allowances import Allowances, Lack, Limit
from maze_protocol.rates import Rate, parse_rate

ONE = (("openai", 1),)


def limited(concurrency: int | None = None, rate: str = "") -> Allowances:
    allowances = Allowances()
    allowances.set("openai", Limit(concurrency, parse_rate(rate) if rate else None), 0.0)
    return allowances


def test_a_name_that_nobody_has_set_holds_nobody_back_but_is_counted() -> None:
    allowances = Allowances()
    for _ in range(100):
        assert allowances.admits(ONE, 0.0)
        allowances.take(ONE, 0.0)
    assert allowances.held == {"openai": 100}
    assert allowances.impossible((("openai", 1000),)) is None


def test_no_more_units_than_the_limit_are_held_at_once() -> None:
    allowances = limited(3)
    allowances.take((("openai", 2),), 0.0)
    assert allowances.admits(ONE, 0.0)
    assert not allowances.admits((("openai", 2),), 0.0)
    assert allowances.lacking((("openai", 2),), 0.0) == Lack(
        "openai", "2 of 3 units of limit 'openai' are held, and it needs 2", None
    )
    allowances.give_back((("openai", 2),))
    assert allowances.admits((("openai", 3),), 0.0)
    assert allowances.held == {}


def test_every_name_of_a_task_must_admit_it() -> None:
    allowances = limited(1)
    allowances.set("db", Limit(5), 0.0)
    both = (("db", 5), ("openai", 1))
    assert allowances.admits(both, 0.0)
    allowances.take(both, 0.0)
    assert not allowances.admits((("db", 1),), 0.0)
    assert not allowances.admits((("openai", 1),), 0.0)
    assert allowances.admits((("other", 1),), 0.0)


def test_more_units_than_are_ever_allowed_are_impossible() -> None:
    allowances = limited(3, "1/day")
    assert allowances.impossible((("openai", 3), ("unset", 9))) is None
    assert allowances.impossible((("openai", 4),)) == "openai"
    allowances.set("openai", Limit(0), 0.0)
    assert allowances.impossible(ONE) == "openai"


def test_a_limit_lowered_below_what_is_held_takes_nothing_away_and_one_set_late_knows_what_runs() -> None:
    allowances = Allowances()
    for _ in range(5):
        allowances.take(ONE, 0.0)
    allowances.set("openai", Limit(3), 0.0)
    for _ in range(3):
        assert not allowances.admits(ONE, 0.0)
        allowances.give_back(ONE)
    assert allowances.held == {"openai": 2}
    assert allowances.admits(ONE, 0.0)


def test_a_removed_limit_holds_nobody_back() -> None:
    allowances = limited(0, "1/day")
    assert not allowances.admits(ONE, 0.0)
    allowances.remove("openai")
    assert allowances.admits(ONE, 0.0)
    assert allowances.limits == {}


def test_more_than_was_taken_never_comes_back() -> None:
    allowances = limited(3)
    allowances.take(ONE, 0.0)
    with pytest.raises(AssertionError, match="more units came back"):
        allowances.give_back((("openai", 2),))


def starts(allowances: Allowances, units: int, step: float, until: float) -> list[float]:
    """Return when tasks of so many units begin, if as many as may do so at each step."""
    wanted, found, ticks = (("openai", units),), [], 0
    while ticks * step < until:
        now = ticks * step
        while allowances.admits(wanted, now):
            allowances.take(wanted, now)
            allowances.give_back(wanted)
            found.append(now)
        ticks += 1
    return found


def test_a_bucket_holds_what_one_second_gives_and_the_long_run_is_exact() -> None:
    times = starts(limited(rate="20/s"), 1, 0.25, 10.0)
    assert times.count(0.0) == 20
    assert [times.count(0.25 * tick) for tick in range(1, 40)] == [5] * 39


def test_a_slow_rate_lets_one_begin_at_a_time() -> None:
    assert starts(limited(rate="6/min"), 1, 0.25, 60.0) == [0.0, 9.5, 19.5, 29.5, 39.5, 49.5, 59.5]


@pytest.mark.parametrize(("rate", "units"), [("55/min", 550), ("1/s", 600), ("100/min", 1000), ("7/s", 4200)])
def test_passes_that_come_late_cost_nothing_in_the_long_run(rate: str, units: int) -> None:
    assert len(starts(limited(rate=rate), 1, 0.2603, 600.0)) - units in range(9)


def test_who_asks_for_more_than_a_bucket_holds_waits_for_a_full_one_and_leaves_a_debt() -> None:
    assert starts(limited(rate="60/min"), 5, 0.25, 21.0) == [0.0, 5.0, 10.0, 15.0, 20.0]


def test_who_waits_for_a_rate_is_told_for_how_long() -> None:
    allowances = limited(rate="6/min")
    allowances.take(ONE, 100.0)
    lack = allowances.lacking(ONE, 102.5)
    assert lack == Lack("openai", "limit 'openai' lets 6/min begin, the next in 7 s", 7.0)
    assert allowances.admits(ONE, 110.0)


def test_a_changed_rate_keeps_what_was_spent_in_units() -> None:
    allowances = limited(rate="1/h")
    allowances.take(ONE, 0.0)
    allowances.set("openai", Limit(None, Rate(60, 60)), 1.0)
    assert not allowances.admits(ONE, 1.0)
    assert allowances.admits(ONE, 2.0)


def test_setting_a_limit_again_gives_nothing() -> None:
    allowances = limited(rate="6/min")
    allowances.take(ONE, 0.0)
    for _ in range(3):
        allowances.set("openai", Limit(None, Rate(6, 60)), 5.0)
    assert not allowances.admits(ONE, 9.4)
    assert allowances.admits(ONE, 9.5)


def test_what_a_restart_finds_held_counts_at_once_and_costs_no_rate() -> None:
    allowances = limited(2, "1/h")
    allowances.restore(ONE)
    assert allowances.admits(ONE, 0.0)
    allowances.restore(ONE)
    assert not allowances.admits(ONE, 0.0)


@given(
    units=st.integers(1, 100),
    seconds=st.sampled_from([1, 60, 3600]),
    asks=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 3)), max_size=60),
)
def test_in_any_stretch_of_time_at_most_its_rate_and_one_bucket_begin(
    units: int, seconds: int, asks: list[tuple[float, int]]
) -> None:
    allowances, now, begun = limited(rate=str(Rate(units, seconds))), 0.0, list[tuple[float, int]]()
    for pause, count in asks:
        now += pause
        if allowances.admits((("openai", count),), now):
            allowances.take((("openai", count),), now)
            begun.append((now, count))
    bucket = max(units / seconds, 1 + 0.5 * units / seconds)
    for first, (start, _) in enumerate(begun):
        for last in range(first, len(begun)):
            # The last of them may take the bucket into debt.
            spent = sum(count for _, count in begun[first:last])
            assert spent <= bucket + (begun[last][0] - start) * units / seconds + 1e-3
