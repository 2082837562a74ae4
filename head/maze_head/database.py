"""Connections to the journal's database: how it is opened for writing, checked, and given a new epoch.

One connection writes; readers are opened `mode=ro` and never checkpoint. The check of the whole file runs only if
the last head did not mark its stop as clean.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from maze_head.errors import JournalFailed, JournalUnusable, StateDirUnusable
from maze_head.schema import migrate

__all__ = [
    "RESTORE", "begin_epoch", "connect", "connect_reader", "last_commit", "prepare", "read_meta", "refusal",
]  # fmt: skip

CLUSTER_ID_BYTES: Final = 16
RESTORE: Final = "restore a backup, or move the file away to begin with an empty history"


def connect(path: Path) -> sqlite3.Connection:
    """Open the connection that writes, making the file with mode 0600 if it is not there.

    Raises:
        JournalUnusable: the file is missing but its log is there, or it has lost its content.
        StateDirUnusable: it cannot be opened.
    """
    _refuse_orphaned_log(path)
    try:
        if not path.exists():
            _make(path)
        if not path.stat().st_size:
            raise JournalUnusable(f"{path} is empty, which no journal ever is", remedy=RESTORE)
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    except (OSError, sqlite3.OperationalError) as error:
        raise StateDirUnusable(f"cannot open {path}: {error}", remedy="give a writable --state-dir") from error


def _make(path: Path) -> None:
    """Make a journal beside its place and move it there, so that a file without tables is never one of ours."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        migrate(connection, str(new))
    os.replace(new, path)


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can neither write nor checkpoint."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA trusted_schema=OFF")
    # SQLite opens its files at the first read; a reader that is made has all that it will ever need.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


def _refuse_orphaned_log(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size and not path.exists():
        raise JournalUnusable(f"{path} is missing but its log {wal.name} is there", remedy="restore the file")


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set up the writing connection, check the file after a crash, and bring it to the current schema.

    Raises:
        sqlite3.DatabaseError: the file is damaged or cannot be written (see `refusal`).
        JournalUnusable: foreign or newer.
    """
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
                   "busy_timeout=5000", "trusted_schema=OFF"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")
    if not _stopped_cleanly(connection):
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            # Its verdict is several lines, and a refusal is one.
            raise sqlite3.DatabaseError(" ".join(verdict.split()))
    migrate(connection, str(path))


def _stopped_cleanly(connection: sqlite3.Connection) -> bool:
    if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name='meta'").fetchone()[0]:
        return False
    row = connection.execute("SELECT value FROM meta WHERE key='clean'").fetchone()
    return row is not None and row[0] == 1


def begin_epoch(connection: sqlite3.Connection, unix_seconds: int) -> None:
    """Commit a higher epoch than any before, with synchronous=FULL: no lease of it exists yet."""
    connection.execute("BEGIN IMMEDIATE")
    with closing(connection.cursor()) as cursor:
        cursor.execute("INSERT OR IGNORE INTO meta VALUES('cluster_id', ?)", (os.urandom(CLUSTER_ID_BYTES),))
        cursor.execute("INSERT OR IGNORE INTO meta VALUES('epoch', 0)")
        cursor.execute("UPDATE meta SET value=max(value+1, ?) WHERE key='epoch'", (unix_seconds,))
        cursor.execute("INSERT OR REPLACE INTO meta VALUES('clean', 0)")
    connection.execute("COMMIT")


def read_meta(connection: sqlite3.Connection, key: str) -> Any:
    """Return a value of the table `meta`, which must be there."""
    return connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()[0]


def last_commit(connection: sqlite3.Connection) -> int:
    """Return the number of the newest commit, or 0."""
    rows = (connection.execute(query).fetchone() for query in _LAST)
    return max((row[0] for row in rows if row is not None), default=0)


_LAST: Final = (
    "SELECT commit_no FROM segment ORDER BY rowid DESC LIMIT 1",
    "SELECT commit_no FROM graph ORDER BY rowid DESC LIMIT 1",
    "SELECT commit_no FROM cluster_event ORDER BY commit_no DESC LIMIT 1",
    "SELECT last_commit FROM hole ORDER BY commit_no DESC LIMIT 1",
)


def refusal(path: Path, error: sqlite3.DatabaseError) -> JournalUnusable | JournalFailed | StateDirUnusable:
    """Return what to raise for an error of SQLite while opening."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return JournalFailed(f"the disk of {path} is full", remedy="free space there; nothing acknowledged is lost")
    if isinstance(error, sqlite3.OperationalError):
        return StateDirUnusable(f"cannot write {path}: {error}", remedy="give a writable --state-dir")
    return JournalUnusable(f"{path} is damaged: {error}", remedy=RESTORE)
