"""Ratios of pairs, tables of them, and what stamps say of a killed worker."""

from __future__ import annotations

import pytest
from _ratios import ratio_of, row, summary, table
from _stamps import Stamp, after_kill


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
        "| W1 | tasks_per_second | maze: 12,500 (12,000 to 13,000) | ray: 1,150 (1,000 to 1,300)"
        " | **11.00** (10.00 to 12.00) |"
    )


def test_a_table_has_dashes_where_there_is_no_figure_and_room_where_there_is_one_system() -> None:
    died = {"workload": "W8", "metric": "restart_s", "systems": ["maze", "futures"], "maze": summary([0.05])}
    alone = {"workload": "W5-nodes", "metric": "mb_per_second", "systems": ["maze"], "maze": summary([812.0])}
    assert table([died, alone]).split("\n")[2:] == [
        "| W8 | restart_s | maze: 0.05 (0.05 to 0.05) | futures: – |  |",
        "| W5-nodes | mb_per_second | maze: 812 (812 to 812) |  |  |",
    ]


def test_what_a_killed_worker_lost_starts_again_at_some_place_in_the_queue() -> None:
    stamps = [
        Stamp(1, 7, "b", 0.0), Stamp(2, 8, "b", 0.1), Stamp(1, 7, "e", 1.0), Stamp(3, 7, "b", 1.1),
        Stamp(2, 8, "e", 2.0), Stamp(4, 8, "b", 2.1), Stamp(3, 9, "b", 2.5), Stamp(4, 8, "e", 3.0),
        Stamp(3, 9, "e", 3.5),
    ]  # fmt: skip
    told = after_kill(stamps, pid=7, at=1.5)
    assert told == {"lost": 1, "restart_s": 1.0, "started_before_it": 1, "ended_twice": 0}
    again = [*stamps, Stamp(1, 9, "b", 4.0), Stamp(1, 9, "e", 5.0)]
    assert after_kill(again, pid=7, at=1.5)["ended_twice"] == 1


def test_what_never_starts_again_has_no_time() -> None:
    told = after_kill([Stamp(1, 7, "b", 0.0)], pid=7, at=0.5)
    assert told == {"lost": 1, "restart_s": None, "started_before_it": None, "ended_twice": 0}
