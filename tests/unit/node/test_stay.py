"""A node leaves by itself: in time for its end, or after long idleness."""

from __future__ import annotations

import pytest

from maze_node.core.events import DrainAsked
from maze_node.core.stay import RESERVE, Stay


def test_without_limits_it_stays() -> None:
    stay = Stay.of(100.0, None, 30.0, 0.0)
    stay.welcomed(100.0)
    assert stay.look(1e9, busy=False) is None
    assert stay.remaining(1e9) == 0.0


def test_the_drain_begins_in_time() -> None:
    stay = Stay.of(100.0, 3600.0, 30.0, 0.0)
    assert stay.look(3669.9, busy=True) is None
    assert stay.look(3670.0, busy=True) == DrainAsked("time limit", 30.0 - RESERVE)
    assert stay.look(3690.0, busy=False) == DrainAsked("time limit", 10.0 - RESERVE)
    assert stay.look(9999.0, busy=False) == DrainAsked("time limit", 0.0)


def test_the_head_is_told_how_long_tasks_may_run() -> None:
    stay = Stay.of(100.0, 3600.0, 30.0, 0.0)
    assert stay.remaining(100.0) == 3600.0 - RESERVE
    assert stay.remaining(600.0) == 3100.0 - RESERVE
    assert 0 < stay.remaining(9999.0) < 0.01, "0 would mean that there is no end"


@pytest.mark.parametrize("limit", [1.0, 8.0, 60.0])
def test_of_a_short_time_half_is_for_work(limit: float) -> None:
    stay = Stay.of(0.0, limit, 30.0, 0.0)
    assert stay.look(limit / 2 - 0.01, busy=True) is None
    due = stay.look(limit / 2, busy=True)
    assert due is not None
    assert limit / 4 <= due.timeout < limit / 2, "and there is time for the last words"


def test_idleness_counts_from_the_last_work_on() -> None:
    stay = Stay.of(0.0, None, 30.0, 60.0)
    stay.welcomed(10.0)
    assert stay.look(50.0, busy=True) is None
    assert stay.look(109.0, busy=False) is None
    assert stay.look(110.0, busy=False) == DrainAsked("no work for 60 s", 0.0)


def test_another_session_is_no_work() -> None:
    stay = Stay.of(0.0, None, 30.0, 60.0)
    stay.welcomed(10.0)
    stay.welcomed(60.0)
    assert stay.look(70.0, busy=False) is not None


def test_who_never_found_a_head_was_not_idle() -> None:
    stay = Stay.of(0.0, None, 30.0, 60.0)
    assert stay.look(1e6, busy=False) is None
