"""Holes: rows and holes together stay gapless, whatever is removed in whatever order, and holes that touch are one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

import pytest

from maze_head.holes import Place, dig, split
from maze_head.schema import migrate

TABLES = ("segment", "graph", "cluster_event")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "x")
    yield connection
    connection.close()


def fill(connection: sqlite3.Connection, choices: random.Random, commits: int) -> dict[Place, str]:
    """Write rows as a head would; return where each place is."""
    rows: dict[Place, str] = {}
    for commit_no in range(1, commits + 1):
        for pos in range(choices.randint(1, 4)):
            table = rows[commit_no, pos] = choices.choice(TABLES)
            place = (commit_no, pos)
            if table == "segment":
                connection.execute("INSERT INTO segment VALUES(?,?,1,?,?,1,x'')", (commit_no * 10 + pos, 1, *place))
            elif table == "graph":
                connection.execute("INSERT INTO graph VALUES(?,1,?,?,x'')", (b"%d/%d" % place, *place))
            else:
                connection.execute("INSERT INTO cluster_event VALUES(?,?,0.0,'x',x'')", place)
    return rows


def remove(connection: sqlite3.Connection, place: Place, table: str) -> None:
    near = split(connection, place)
    connection.execute(f"DELETE FROM {table} WHERE commit_no=? AND pos=?", place)
    dig(connection, place, near)


def expected(places: list[Place], removed: set[Place]) -> list[tuple[int, int, int, int]]:
    """Return the ranges that an honest scribe would write down."""
    ranges: list[list[Place]] = []
    before_removed = False
    for place in places:
        if place in removed:
            if before_removed:
                ranges[-1][1] = place
            else:
                ranges.append([place, place])
        before_removed = place in removed
    return [(*first, *last) for first, last in ranges]


@pytest.mark.parametrize("seed", range(30))
def test_holes_are_the_ranges_of_what_was_removed(connection: sqlite3.Connection, seed: int) -> None:
    choices = random.Random(seed)
    rows = fill(connection, choices, commits=25)
    places = list(rows)
    removed: set[Place] = set()
    for place in choices.sample(places, len(places)):
        remove(connection, place, rows[place])
        removed.add(place)
        holes = connection.execute("SELECT * FROM hole ORDER BY commit_no, pos").fetchall()
        assert holes == expected(places, removed)
    assert connection.execute("SELECT count(*) FROM hole").fetchone() == (1,)


def test_rows_that_come_later_do_not_touch_a_hole_at_the_end(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO segment VALUES(1,1,1,1,0,1,x'')")
    remove(connection, (1, 0), "segment")
    connection.execute("INSERT INTO segment VALUES(2,1,1,2,0,1,x'')")
    connection.execute("INSERT INTO segment VALUES(3,1,1,3,0,1,x'')")
    remove(connection, (3, 0), "segment")
    assert connection.execute("SELECT * FROM hole").fetchall() == [(1, 0, 1, 0), (3, 0, 3, 0)]
