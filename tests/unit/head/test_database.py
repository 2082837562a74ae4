"""Opening the database: private, prepared, checked only after an unclean stop, a higher epoch each time."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from maze_head.database import begin_epoch, connect, connect_reader, last_commit, prepare, read_meta, refusal
from maze_head.errors import JournalFailed, JournalUnusable, StateDirUnusable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(path)
    prepare(connection, path)
    yield connection
    connection.close()


def test_the_file_is_private_and_prepared(connection: sqlite3.Connection, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "trusted_schema": 0}
    assert {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in values} == values


@pytest.mark.parametrize(
    ("clocks", "epochs"), [((100, 200), [100, 200]), ((200, 100), [200, 201]), ((100, 100), [100, 101])]
)
def test_an_epoch_is_the_time_but_always_higher(
    connection: sqlite3.Connection, clocks: tuple[int, int], epochs: list[int]
) -> None:
    seen, ids = [], []
    for clock in clocks:
        begin_epoch(connection, clock)
        seen.append(read_meta(connection, "epoch"))
        ids.append(read_meta(connection, "cluster_id"))
    assert seen == epochs
    assert ids[0] == ids[1]
    assert len(ids[0]) == 16


def test_the_check_of_the_whole_file_is_skipped_after_a_clean_stop(connection: sqlite3.Connection, path: Path) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    begin_epoch(connection, 1)
    prepare(connection, path)
    assert any("quick_check" in one for one in statements)
    statements.clear()
    connection.execute("UPDATE meta SET value=1 WHERE key='clean'")
    prepare(connection, path)
    assert not any("quick_check" in one for one in statements)


def test_the_newest_commit_is_found_in_any_table(connection: sqlite3.Connection) -> None:
    assert last_commit(connection) == 0
    connection.execute("INSERT INTO cluster_event VALUES(3, 0, 0.0, 'x', x'')")
    assert last_commit(connection) == 3
    connection.execute("INSERT INTO graph VALUES(x'00', 1, 5, 0, x'')")
    connection.execute("INSERT INTO segment VALUES(1, 1, 1, 4, 0, 1, x'')")
    assert last_commit(connection) == 5


def test_a_reader_cannot_write(connection: sqlite3.Connection, path: Path) -> None:
    reader = connect_reader(path)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("INSERT INTO meta VALUES('x', 1)")
    reader.close()


def test_a_full_disk_and_a_damaged_file_are_told_apart(path: Path) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert isinstance(refusal(path, full), JournalFailed)
    assert isinstance(refusal(path, sqlite3.OperationalError("readonly database")), StateDirUnusable)
    assert isinstance(refusal(path, sqlite3.DatabaseError("malformed")), JournalUnusable)
