"""What is kept of followed runs: for whom, how much, and until when."""

from __future__ import annotations

import pytest

from maze import _followed
from maze._followed import FOLLOWED, FOLLOWED_BYTES, Followed
from maze_protocol.streams import End, Log


def said(number: int, *, sealed: bool = False) -> Log:
    return Log(number, sealed, [])


def test_what_was_said_is_given_once_and_in_order() -> None:
    followed = Followed()
    followed.begin(3, "run_1", 0.01)
    first, last = said(3), said(3, sealed=True)
    assert followed.keep(3, first, 10)
    assert followed.keep(3, last, 10)
    assert 3 in followed
    assert followed.take("run_1", 0.0) is None, "who wants events at once gets them from the head"
    followed.begin(4, "run_1", 0.01)
    assert followed.take("run_1", 0.01) == (4, []), "that one was over, and somebody read something else"
    assert followed.take("run_1", 0.01) is None
    followed.begin(5, "run_2", 0.01)
    followed.keep(5, first, 10)
    followed.keep(5, last, 10)
    assert followed.take("run_2", 0.01) == (5, [first, last])
    assert 5 not in followed


def test_so_many_runs_and_so_many_bytes_are_kept() -> None:
    followed = Followed()
    for number in range(FOLLOWED):
        assert followed.room
        followed.begin(number, f"run_{number}", 0.01)
    assert not followed.room
    assert followed.keep(0, said(0), FOLLOWED_BYTES)
    assert not followed.keep(0, said(0), 1)
    assert followed.forget(0), "more would have been said"
    assert followed.room
    followed.clear()
    assert 1 not in followed


@pytest.mark.parametrize("last", [said(1, sealed=True), End(1, "run_expired", 410)])
def test_of_a_run_that_is_over_nothing_more_comes(last: Log | End) -> None:
    followed = Followed()
    followed.begin(1, "run_1", 0.01)
    assert followed.keep(1, said(1), 1)
    followed.keep(1, last, 1)
    assert not followed.forget(1)
    assert not followed.forget(1), "nor of one that is not followed"


def test_its_bounds_are_small() -> None:
    assert _followed.FOLLOWED * _followed.FOLLOWED_BYTES <= 4 * 2**20
