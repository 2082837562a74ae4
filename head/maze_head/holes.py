"""The places of rows that were removed for good, kept as ranges: so a journal that lacks a row can still be told from
one whose row was removed.

Rows and holes together are gapless in (commit_no, pos). A range spans removed rows only; two that touch become one, so
there are never more ranges than rows that are left, plus one. Everything here happens in the caller's transaction.

Segments have no index by place: their rowids grow with it. `near` is a rowid between the segments before a place and
those after it.
"""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["Place", "dig", "split"]

Place = tuple[int, int]
"""(commit_no, pos)"""

_HOLE_BEFORE: Final = "SELECT * FROM hole WHERE (commit_no, pos) < (?,?) ORDER BY commit_no DESC, pos DESC LIMIT 1"
_HOLE_AFTER: Final = "SELECT * FROM hole WHERE (commit_no, pos) > (?,?) ORDER BY commit_no, pos LIMIT 1"
_EVENT_BETWEEN: Final = "SELECT 1 FROM cluster_event WHERE (commit_no, pos) > (?,?) AND (commit_no, pos) < (?,?)"
_GRAPH_BETWEEN: Final = "SELECT 1 FROM graph WHERE (commit_no, pos) > (?,?) AND (commit_no, pos) < (?,?)"
_SEGMENT_BEFORE: Final = "SELECT commit_no, pos FROM segment WHERE rowid<? ORDER BY rowid DESC LIMIT 1"
_SEGMENT_AFTER: Final = "SELECT commit_no, pos FROM segment WHERE rowid>=? ORDER BY rowid LIMIT 1"


def dig(connection: sqlite3.Connection, place: Place, near: int) -> None:
    """Note that the row of a place is gone; it is deleted already."""
    first = last = place
    before = connection.execute(_HOLE_BEFORE, place).fetchone()
    if before is not None and not _row_between(connection, before[2:], place, near):
        first = before[:2]
        connection.execute("DELETE FROM hole WHERE commit_no=? AND pos=?", first)
    after = connection.execute(_HOLE_AFTER, place).fetchone()
    if after is not None and not _row_between(connection, place, after[:2], near):
        last = after[2:]
        connection.execute("DELETE FROM hole WHERE commit_no=? AND pos=?", after[:2])
    connection.execute("INSERT INTO hole VALUES(?,?,?,?)", (*first, *last))


def split(connection: sqlite3.Connection, place: Place) -> int:
    """Return a rowid above all segments before a place and not above any after it."""
    low, high = 0, int(connection.execute("SELECT ifnull(max(rowid), 0) + 1 FROM segment").fetchone()[0])
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(_SEGMENT_AFTER, (middle,)).fetchone()
        if found is None or found > place:
            high = middle
        else:
            low = middle + 1
    return high


def _row_between(connection: sqlite3.Connection, low: Place, high: Place, near: int) -> bool:
    if high == (low[0], low[1] + 1):
        return False
    for query in (_EVENT_BETWEEN, _GRAPH_BETWEEN):
        if connection.execute(f"{query} LIMIT 1", (*low, *high)).fetchone() is not None:
            return True
    below = connection.execute(_SEGMENT_BEFORE, (near,)).fetchone()
    above = connection.execute(_SEGMENT_AFTER, (near,)).fetchone()
    return (below is not None and below > low) or (above is not None and above < high)
