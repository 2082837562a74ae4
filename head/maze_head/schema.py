"""The journal's tables and how a database file becomes, or is refused as, a journal of this version.

Rules
* `segment`, `graph` and `cluster_event` carry (commit_no, pos); together with `hole`, the ranges of what was removed,
  these are gapless, and that is the order of recovery. The first two are rowid tables filled in that order, so reading
  by rowid needs no index of its own.
* `sealed_run` sums up a run that is over, so that recovery need not read its log; a run in `doomed_run` is removed, and
  what is left of it is being deleted (sweep.py). A run without either is live, or was sealed before version 2.
* `subject` finds the events of `cluster_event` that made and edited a workflow or saved a function, by its id or hash,
  for the day when it is removed.
* `removal` numbers the events of `cluster_event` that tell of removals, so that the oldest of very many can go.
* `accepted` is the only row per task. Its integer key makes a second accepted result impossible.
* Numbers that may exceed 63 bits (leases) are stored as signed 64-bit integers.
* A migration is appended to MIGRATIONS and never edited; `user_version` counts those applied.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from maze_head.errors import JournalUnusable

__all__ = [
    "APPLICATION_ID",
    "MIGRATIONS",
    "OF_REMOVALS",
    "SEGMENT_MSGPACK",
    "SUBJECTS",
    "from_signed",
    "migrate",
    "task_key",
    "to_signed",
]

APPLICATION_ID: Final = 0x4D415A45
SEGMENT_MSGPACK: Final = 1
"""`segment.fmt`: MessagePack of maze_protocol.events.Segment."""

_V1: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE segment(
    run_no INTEGER NOT NULL, first_seq INTEGER NOT NULL, n INTEGER NOT NULL, commit_no INTEGER NOT NULL,
    pos INTEGER NOT NULL, fmt INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(run_no, first_seq)) STRICT;
CREATE TABLE graph(
    workflow_id BLOB NOT NULL, version INTEGER NOT NULL, commit_no INTEGER NOT NULL, pos INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY(workflow_id, version)) STRICT;
CREATE TABLE cluster_event(
    commit_no INTEGER NOT NULL, pos INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(commit_no, pos)) STRICT, WITHOUT ROWID;
CREATE TABLE accepted(k INTEGER PRIMARY KEY, lease INTEGER NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE code(hash BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE attempt_log(
    k INTEGER NOT NULL, attempt INTEGER NOT NULL, stdout BLOB NOT NULL, stderr BLOB NOT NULL,
    stdout_size INTEGER NOT NULL, stderr_size INTEGER NOT NULL, PRIMARY KEY(k, attempt)) STRICT;
"""

_V2: Final = """
CREATE TABLE sealed_run(run_no INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE doomed_run(run_no INTEGER PRIMARY KEY) STRICT;
CREATE TABLE doomed_workflow(workflow_id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE hole(
    commit_no INTEGER NOT NULL, pos INTEGER NOT NULL, last_commit INTEGER NOT NULL, last_pos INTEGER NOT NULL,
    PRIMARY KEY(commit_no, pos)) STRICT, WITHOUT ROWID;
CREATE INDEX graph_place ON graph(commit_no, pos);
"""

_V3: Final = """
CREATE TABLE subject(
    id BLOB NOT NULL, commit_no INTEGER NOT NULL, pos INTEGER NOT NULL,
    PRIMARY KEY(id, commit_no, pos)) STRICT, WITHOUT ROWID;
INSERT INTO subject SELECT subject_of(kind, body), commit_no, pos FROM cluster_event
    WHERE kind IN ('workflow_created', 'workflow_edited', 'code_saved');
CREATE TABLE removal(no INTEGER PRIMARY KEY, commit_no INTEGER NOT NULL, pos INTEGER NOT NULL) STRICT;
INSERT INTO removal(commit_no, pos) SELECT commit_no, pos FROM cluster_event
    WHERE kind IN ('runs_removed', 'workflow_removed') ORDER BY commit_no, pos;
"""

MIGRATIONS: Final = (_V1, _V2, _V3)
SUBJECTS: Final = {"workflow_created": "workflow_id", "workflow_edited": "workflow_id", "code_saved": "hash"}
"""Kinds of cluster events that stand in `subject`, too, and what of them tells of whom they are."""
OF_REMOVALS: Final = frozenset({"runs_removed", "workflow_removed"})
"""Those that stand in `removal`."""
_TASK_BITS: Final = 24
_SIGN: Final = 1 << 63


def task_key(run_no: int, task_no: int) -> int:
    """Return the integer key of a task: run_no<<24 | task_no."""
    assert 0 <= task_no < 1 << _TASK_BITS, task_no
    return run_no << _TASK_BITS | task_no


def to_signed(number: int) -> int:
    """Map an unsigned 64-bit number to what SQLite stores."""
    return number - (_SIGN << 1) if number >= _SIGN else number


def from_signed(number: int) -> int:
    """Undo `to_signed`."""
    return number + (_SIGN << 1) if number < 0 else number


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring an empty or older database to the current version, each migration in one transaction.

    Raises:
        JournalUnusable: the file belongs to another program, or to a newer Maze.
    """
    version = _version(connection)
    if version == len(MIGRATIONS):
        return
    if version > len(MIGRATIONS):
        raise JournalUnusable(
            f"{path} was written by a newer Maze (journal version {version}, this one knows {len(MIGRATIONS)})",
            remedy="start that version of maze-head, or give another --state-dir",
        )
    _refuse_foreign(connection, path, version)
    connection.create_function("subject_of", 2, _subject_of, deterministic=True)
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{statements}\n"
            f"PRAGMA application_id={APPLICATION_ID};\nPRAGMA user_version={number};\nCOMMIT;"
        )


def _subject_of(kind: str, body: bytes) -> bytes:
    event: dict[str, Any] = msgspec.msgpack.decode(body)
    return bytes(event[SUBJECTS[kind]])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_foreign(connection: sqlite3.Connection, path: str, version: int) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    empty = tables == 0 and application == 0
    if not empty and (application != APPLICATION_ID or version == 0):
        raise JournalUnusable(f"{path} is not a Maze journal", remedy="give another --state-dir")
