"""How removed things leave the disk: marked in the commit that removes them, deleted little by little afterwards.

Rules
* The mark makes a run or workflow removed, whatever is left of its rows; recovery skips them.
* `sweep` deletes so few rows at a time that a commit hardly waits for it, each with its hole (holes.py), and looks at
  no others: its cost does not grow with what is kept. The mark goes last. A crash in between loses nothing: the next
  head goes on.
* The facts of removals themselves go when there are very many: they are remembered so that who asks is told that
  something was here, and the newest are enough for that. Not before all that they tell of is deleted.
* Pages that become free are given back to the file system if the database was made with incremental vacuum (version 2
  and later do), and else used again.

Everything here happens in the caller's transaction, on the journal's one writing connection.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from maze_head.batch import Drop
from maze_head.core.effects import DropGraph, DropRuns
from maze_head.holes import Place, dig, split
from maze_head.schema import task_key

__all__ = ["drop", "has_work", "sweep", "used_bytes"]

STEP_ROWS: Final = 32
"""Most rows that a step deletes of one table and thing; once it has deleted so many it begins with nothing more."""
STEP_PAGES: Final = 64
REMOVALS_KEPT: Final = 100_000
"""Facts of removals, each of one thing or more; as many things are remembered (state.py)."""

_DOOMED: Final = "SELECT (SELECT min(run_no) FROM doomed_run), (SELECT min(workflow_id) FROM doomed_workflow)"
_SURPLUS: Final = "SELECT (SELECT max(no) FROM removal) - (SELECT min(no) FROM removal) + 1 - ?"
_OLDEST: Final = "SELECT no, commit_no, pos FROM removal ORDER BY no LIMIT ?"
_EVENTS_OF: Final = "SELECT commit_no, pos FROM subject WHERE id=? ORDER BY commit_no DESC, pos DESC LIMIT ?"


def drop(connection: sqlite3.Connection, order: Drop) -> None:
    """Mark what is removed, or remove it at once if it is one row."""
    if isinstance(order, DropRuns):
        keys = [(run_no,) for run_no in order.run_nos]
        connection.executemany("DELETE FROM sealed_run WHERE run_no=?", keys)
        connection.executemany("INSERT OR IGNORE INTO doomed_run VALUES(?)", keys)
    elif isinstance(order, DropGraph):
        key = (order.workflow_id, order.version)
        places = connection.execute("SELECT commit_no, pos FROM graph WHERE workflow_id=? AND version=?", key)
        for place in places.fetchall():
            connection.execute("DELETE FROM graph WHERE workflow_id=? AND version=?", key)
            dig(connection, place, split(connection, place))
    else:
        for hash_ in order.codes:
            connection.execute("DELETE FROM code WHERE hash=?", (hash_,))
            _delete_events(connection, hash_)
        connection.execute("INSERT OR IGNORE INTO doomed_workflow VALUES(?)", (order.workflow_id,))


def has_work(connection: sqlite3.Connection) -> bool:
    """Tell whether there is anything to sweep or to give back."""
    doomed = connection.execute(_DOOMED).fetchone() != (None, None)
    return doomed or _surplus(connection) > 0 or bool(_spare_pages(connection))


def sweep(connection: sqlite3.Connection) -> None:
    """Delete a few rows of what is marked; once nothing is, give a few pages back."""
    gone = 0
    while gone < STEP_ROWS:
        run_no, workflow_id = connection.execute(_DOOMED).fetchone()
        if run_no is not None:
            gone += _sweep_run(connection, run_no)
        elif workflow_id is not None:
            gone += _sweep_workflow(connection, workflow_id)
        else:
            gone += _sweep_removals(connection)
            break
    if not gone:
        connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return how much of the database is in use."""
    pages, spare, size = (_pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - spare) * size


def _sweep_run(connection: sqlite3.Connection, run_no: int) -> int:
    """Delete some rows of a run, the mark last; return how many."""
    span = (task_key(run_no, 0), task_key(run_no + 1, 0), STEP_ROWS)
    gone = connection.execute(
        "DELETE FROM accepted WHERE k IN (SELECT k FROM accepted WHERE k>=? AND k<? LIMIT ?)", span
    ).rowcount
    gone += connection.execute(
        "DELETE FROM attempt_log WHERE rowid IN (SELECT rowid FROM attempt_log WHERE k>=? AND k<? LIMIT ?)", span
    ).rowcount
    if gone >= STEP_ROWS:
        return gone
    segments = _sweep_log(connection, run_no)
    if segments < STEP_ROWS:
        # A run that ended in the turn that removed it was summed up after it was marked.
        connection.execute("DELETE FROM sealed_run WHERE run_no=?", (run_no,))
        connection.execute("DELETE FROM doomed_run WHERE run_no=?", (run_no,))
    return gone + segments + 1


def _sweep_log(connection: sqlite3.Connection, run_no: int) -> int:
    """Delete some segments of a run; return how many."""
    query = "SELECT rowid, commit_no, pos FROM segment WHERE run_no=? ORDER BY first_seq LIMIT ?"
    rows = connection.execute(query, (run_no, STEP_ROWS)).fetchall()
    for rowid, *place in rows:
        connection.execute("DELETE FROM segment WHERE rowid=?", (rowid,))
        dig(connection, (place[0], place[1]), rowid)
    return len(rows)


def _sweep_workflow(connection: sqlite3.Connection, workflow_id: bytes) -> int:
    """Delete some events of a workflow, the mark last; return how many rows."""
    # The newest first: what is left of a workflow is always its beginning, which recovery can read.
    gone = _delete_events(connection, workflow_id, STEP_ROWS)
    if gone < STEP_ROWS:
        connection.execute("DELETE FROM doomed_workflow WHERE workflow_id=?", (workflow_id,))
    return gone + 1


def _delete_events(connection: sqlite3.Connection, subject: bytes, limit: int = -1) -> int:
    """Delete events of a workflow or a function, the newest first; return how many."""
    places: list[Place] = connection.execute(_EVENTS_OF, (subject, limit)).fetchall()
    for place in places:
        connection.execute("DELETE FROM subject WHERE id=? AND commit_no=? AND pos=?", (subject, *place))
        _delete_event(connection, place)
    return len(places)


def _delete_event(connection: sqlite3.Connection, place: Place) -> None:
    connection.execute("DELETE FROM cluster_event WHERE commit_no=? AND pos=?", place)
    dig(connection, place, split(connection, place))


def _surplus(connection: sqlite3.Connection) -> int:
    """Return how many facts of removals there are too many."""
    return int(connection.execute(_SURPLUS, (REMOVALS_KEPT,)).fetchone()[0] or 0)


def _sweep_removals(connection: sqlite3.Connection) -> int:
    """Delete some of the oldest facts of removals if there are too many; return how many."""
    surplus = min(_surplus(connection), STEP_ROWS)
    if surplus <= 0:
        return 0
    for no, commit_no, pos in connection.execute(_OLDEST, (surplus,)).fetchall():
        connection.execute("DELETE FROM removal WHERE no=?", (no,))
        _delete_event(connection, (commit_no, pos))
    return surplus


def _spare_pages(connection: sqlite3.Connection) -> int:
    """Return how many free pages can be given back."""
    incremental = _pragma(connection, "auto_vacuum") == 2
    return _pragma(connection, "freelist_count") if incremental else 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
