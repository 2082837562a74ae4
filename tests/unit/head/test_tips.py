"""Which runs are due a tip, and for how long."""

from __future__ import annotations

import pytest

from maze_head import tips as tips_module
from maze_head.tips import Tips

ONE, TWO = b"1" * 16, b"2" * 16


def take(tips: Tips, now: float, *, sealed: bool = False) -> list[bytes]:
    """Return who is due, and tell them."""
    due = tips.due(now)
    for run_id in due:
        tips.told(run_id, now, sealed=sealed)
    return due


def test_a_run_is_due_every_second() -> None:
    tips = Tips()
    tips.watch(ONE, 10.0)
    tips.watch(TWO, 10.5)
    tips.watch(ONE, 10.9)
    assert [take(tips, now) for now in (10.9, 11.0, 11.5, 11.9, 12.0)] == [[], [ONE], [TWO], [], [ONE]]


def test_a_sealed_run_is_due_three_times_more() -> None:
    tips = Tips()
    tips.watch(ONE, 0.0)
    assert [take(tips, float(now), sealed=True) for now in range(1, 6)] == [[ONE], [ONE], [ONE], [], []]
    assert not len(tips)


def test_who_joins_late_begins_the_count_anew() -> None:
    tips = Tips()
    tips.watch(ONE, 0.0)
    assert [take(tips, float(now), sealed=True) for now in (1, 2)] == [[ONE], [ONE]]
    tips.watch(ONE, 2.5)
    assert [take(tips, float(now), sealed=True) for now in range(3, 7)] == [[ONE], [ONE], [ONE], []]


def test_a_forgotten_run_is_not_due_any_more() -> None:
    tips = Tips()
    tips.watch(ONE, 0.0)
    for run_id in tips.due(1.0):
        tips.forget(run_id)
    assert take(tips, 5.0) == []


def test_one_call_hands_out_a_bounded_share_and_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tips_module, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(tips_module, "MOST_RUNS", 3)
    tips = Tips()
    runs = [bytes([number]) * 16 for number in range(4)]
    for run_id in runs:
        tips.watch(run_id, 0.0)
    assert [take(tips, 1.0), take(tips, 1.0), take(tips, 1.0)] == [runs[:2], runs[2:3], []]
