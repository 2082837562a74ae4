"""Keys, and which files become journals."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from maze_head.errors import JournalUnusable
from maze_head.schema import APPLICATION_ID, MIGRATIONS, from_signed, migrate, task_key, to_signed


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize("lease", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_leases_survive_the_sign(lease: int) -> None:
    stored = to_signed(lease)
    assert -(1 << 63) <= stored < 1 << 63
    assert from_signed(stored) == lease


def test_task_keys_are_distinct_and_bounded() -> None:
    keys = {task_key(run, task) for run in (1, 2, 3) for task in (0, 1, (1 << 24) - 1)}
    assert len(keys) == 9
    with pytest.raises(AssertionError):
        task_key(1, 1 << 24)


def test_an_empty_database_is_migrated_once(connection: sqlite3.Connection) -> None:
    migrate(connection, "x")
    migrate(connection, "x")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    assert tables == {
        "meta",
        "segment",
        "graph",
        "cluster_event",
        "accepted",
        "code",
        "attempt_log",
        "sealed_run",
        "doomed_run",
        "doomed_workflow",
        "hole",
        "subject",
        "removal",
    }


def test_a_newer_journal_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(JournalUnusable, match="newer Maze"):
        migrate(connection, "x")


def test_a_foreign_database_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE photos(x)")
    with pytest.raises(JournalUnusable, match="not a Maze journal"):
        migrate(connection, "x")


def test_a_task_has_one_accepted_row(connection: sqlite3.Connection) -> None:
    migrate(connection, "x")
    connection.execute("INSERT INTO accepted VALUES(?,?,?)", (task_key(1, 2), 1, b""))
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO accepted VALUES(?,?,?)", (task_key(1, 2), 9, b""))
