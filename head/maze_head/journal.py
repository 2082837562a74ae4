"""The journal: everything the head has acknowledged, in one SQLite database of the state directory.

Rules
* Exactly one connection writes and checkpoints: the BatchWriter's. All others are read-only and never checkpoint.
* Read methods block on the disk and may be called from any thread; callers on the event loop use an executor.
* Durability `process` survives the death of the head at any instant, `power` the death of the machine too; the
  epoch is always on disk before the first lease is made.
* A database that fails its check is refused, never repaired or replaced by an empty one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from heapq import merge
from operator import itemgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import msgspec

from maze_head.batch import Batch
from maze_head.database import (
    RESTORE,
    begin_epoch,
    connect,
    connect_reader,
    last_commit,
    prepare,
    read_meta,
    refusal,
)
from maze_head.errors import JournalUnusable
from maze_head.holes import Place
from maze_head.journal_writer import BatchWriter, Done, Relieve
from maze_head.schema import task_key
from maze_protocol.events import RunSubmitted, Segment
from maze_protocol.values import OutputValue

__all__ = ["POWER", "PROCESS", "AttemptLog", "ClusterRow", "GraphRow", "Journal", "Row", "SealedRow", "SegmentRow"]

PROCESS: Final = "process"
POWER: Final = "power"
FILE_NAME: Final = "journal.db"
PATIENCE: Final = 10.0
"""Seconds for which a failing commit is tried again before the head gives up (exit 75)."""

_decode_segment: Final = msgspec.msgpack.Decoder(Segment).decode
_decode_outputs: Final = msgspec.msgpack.Decoder(tuple[OutputValue, ...]).decode
_decode_body: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class GraphRow(NamedTuple):
    """A version of a workflow's graph; without its body if no run of it is live."""

    workflow_id: bytes
    version: int
    body: bytes | None


class ClusterRow(NamedTuple):
    """An event of the cluster's log; of a workflow whose newest revision is saved edits are without their changes."""

    kind: str
    body: dict[str, Any]
    time: float


class SegmentRow(NamedTuple):
    """What one commit added to one run's log."""

    run_no: int
    segment: Segment


class SealedRow(NamedTuple):
    """What is kept in short of a run that is over; its log is not read."""

    run_no: int
    body: bytes


Row = GraphRow | ClusterRow | SegmentRow | SealedRow
Ask = Callable[..., Iterable[Any]]
"""Takes a query and its values."""
_Placed = tuple[Place, Place, Row | None]
"""The first and the last place that a row takes (a hole: several), and the row, unless recovery need not see it."""


class AttemptLog(NamedTuple):
    """The kept tails of an attempt's output, and how much there was in all."""

    stdout: bytes
    stderr: bytes
    stdout_size: int
    stderr_size: int


def _nothing() -> None:
    """Have no space to free."""


class Journal:
    """An open journal. Made by `Journal.open`; `close` it to mark a clean stop."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, durability: str, patience: float, relieve: Relieve
    ) -> None:
        self.path = path
        self.durability = durability
        self.epoch = int(read_meta(connection, "epoch"))
        self.cluster_id = bytes(read_meta(connection, "cluster_id"))
        self._connection = connection
        self._writer = BatchWriter(connection, last_commit(connection), patience, relieve, prompt=durability != POWER)
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()

    @classmethod
    def open(
        cls,
        directory: Path,
        durability: str,
        unix_time: float,
        *,
        patience: float = PATIENCE,
        relieve: Relieve = _nothing,
        readers: int = 0,
    ) -> Journal:
        """Open or make the journal of a state directory that the caller has locked; start a new epoch.

        `relieve` is called on the writer's thread whenever a commit failed. So many `readers` are opened at once, so
        that reading needs no file descriptor later.

        Raises:
            JournalUnusable: corrupt, foreign, or written by a newer Maze.
            StateDirUnusable: the file cannot be opened or written.
        """
        path = directory / FILE_NAME
        connection = connect(path)
        with ExitStack() as undo:
            undo.callback(connection.close)
            try:
                prepare(connection, path)
                begin_epoch(connection, int(unix_time))
                connection.execute(f"PRAGMA synchronous={'FULL' if durability == POWER else 'NORMAL'}")
                journal = cls(path, connection, durability, patience, relieve)
                for _ in range(readers):
                    journal._readers.put(connect_reader(path))
            except sqlite3.DatabaseError as error:
                raise refusal(path, error) from error
            undo.pop_all()
        return journal

    def commit_now(self, batch: Batch) -> bool:
        """Commit a batch on this thread if that takes no time; False: `submit` it."""
        return self._writer.commit_now(batch)

    def submit(self, batch: Batch, done: Done) -> None:
        """Commit a batch on the writer's thread, then call `done` there: with None, or with what went wrong."""
        self._writer.submit(batch, done)

    def close(self) -> None:
        """Finish queued batches, fold the log into the database and mark the stop as clean."""
        self._writer.close()
        while not self._readers.empty():
            self._readers.get().close()
        try:
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES('clean', 1)")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.DatabaseError:
            pass  # a full disk: the next start checks the database, as after a crash
        finally:
            self._connection.close()

    @property
    def failing(self) -> bool:
        """Tell whether a batch is being tried again."""
        return self._writer.failing

    @property
    def size(self) -> int | None:
        """Return how many bytes are in use, or None while removed things are still being swept."""
        return None if self._writer.sweeping else self._writer.used_bytes

    def counters(self) -> dict[str, int | float]:
        """Return how often and for how long the writer wrote."""
        writer = self._writer
        return {
            "journal_commits_total": writer.commits,
            "journal_commit_seconds_total": writer.seconds,
            "journal_failures_total": writer.failures,
            "journal_failing": int(writer.failing),
            "journal_used_bytes": writer.used_bytes,
            "journal_sweeping": int(writer.sweeping),
        }

    def load(self, *, sparing: bool = True) -> Iterator[Row]:
        """Yield what recovery needs: the summaries of runs that are over, then all other rows in commit order.

        Args:
            sparing: give tasks only of live runs, and of workflows that were edited since they were last run, so that
                the memory which a recovery takes does not grow with what is over. Else all are given, so that the rows
                up to any one can be recovered from.

        Raises:
            JournalUnusable: a commit or a row of one is missing.
        """
        try:
            with self._reading() as connection, ExitStack() as cursors:

                def ask(query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
                    # One that is left open half-way, because of a gap, would go on reading, and `close` wait for it.
                    return cursors.enter_context(closing(connection.execute(query, values)))

                for run_no, body in ask("SELECT run_no, body FROM sealed_run ORDER BY run_no"):
                    yield SealedRow(run_no, body)
                yield from _contiguous(self.path, merge(*_sources(ask, sparing=sparing), key=itemgetter(0)))
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            raise JournalUnusable(f"{self.path} cannot be read: {error}", remedy=RESTORE) from error

    def segments(self, run_no: int, after_seq: int, limit: int) -> list[Segment]:
        """Return up to `limit` segments of a run that hold events after `after_seq`, oldest first."""
        # The segment that holds `after_seq + 1` is found first, so that a long run is not scanned from its start.
        start = "SELECT max(first_seq) FROM segment WHERE run_no=? AND first_seq<=?"
        rest = "SELECT body FROM segment WHERE run_no=? AND first_seq>=? AND first_seq+n>? ORDER BY first_seq LIMIT ?"
        with self._reading() as connection:
            (first,) = connection.execute(start, (run_no, after_seq + 1)).fetchone()
            rows = connection.execute(rest, (run_no, first or 0, after_seq + 1, limit))
            return [_decode_segment(body) for (body,) in rows]

    def accepted(self, run_no: int, task_no: int) -> tuple[OutputValue, ...] | None:
        """Return the accepted outputs of a task, bodies inline, or None."""
        row = self._one("SELECT value FROM accepted WHERE k=?", (task_key(run_no, task_no),))
        return None if row is None else _decode_outputs(row[0])

    def code(self, hash_: bytes) -> bytes | None:
        """Return the kept body of a function, or None."""
        row = self._one("SELECT body FROM code WHERE hash=?", (hash_,))
        return None if row is None else bytes(row[0])

    def graph(self, workflow_id: bytes, version: int) -> bytes | None:
        """Return a graph version in the core's encoding, or None."""
        row = self._one(_GRAPH, (workflow_id, version))
        return None if row is None else bytes(row[0])

    def attempt_log(self, run_no: int, task_no: int, attempt: int) -> AttemptLog | None:
        """Return the kept output of an attempt, or None."""
        query = "SELECT stdout, stderr, stdout_size, stderr_size FROM attempt_log WHERE k=? AND attempt=?"
        row = self._one(query, (task_key(run_no, task_no), attempt))
        return None if row is None else AttemptLog(*row)

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        with self._reading() as connection:
            row: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
            return row

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._readers.get_nowait()
        except Empty:
            connection = connect_reader(self.path)
        try:
            yield connection
        finally:
            self._readers.put(connection)


def _sources(ask: Ask, *, sparing: bool) -> tuple[Iterator[_Placed], ...]:
    graphs = ask("SELECT commit_no, pos, workflow_id, version FROM graph ORDER BY rowid")
    events = ask("SELECT commit_no, pos, kind, body, time FROM cluster_event ORDER BY commit_no, pos")
    holes = ask("SELECT commit_no, pos, last_commit, last_pos FROM hole ORDER BY commit_no, pos")
    live = frozenset(_live_graphs(ask)) if sparing else frozenset()
    whole = frozenset(workflow_id for (workflow_id,) in ask(_WHOLE)) if sparing else frozenset()
    codes = frozenset(hash_ for (hash_,) in ask("SELECT hash FROM code"))

    def graph(workflow_id: bytes, version: int) -> GraphRow:
        key = workflow_id, version
        ((body,),) = ask(_GRAPH, key) if key in live or not sparing else [(None,)]
        return GraphRow(workflow_id, version, body)

    return (
        (((c, p), (c, p), graph(workflow_id, version)) for c, p, workflow_id, version in graphs),
        (((c, p), (c, p), _cluster_row(kind, body, time, whole, codes)) for c, p, kind, body, time in events),
        _segments(ask(_LIVE_SEGMENTS)),
        (((c, p), (last_c, last_p), None) for c, p, last_c, last_p in holes),
    )


def _live_graphs(ask: Ask) -> Iterator[tuple[bytes, int]]:
    """Yield the graphs that runs are of which are neither summed up nor removed."""
    for (body,) in ask(_LIVE_BEGINNINGS):
        submitted = _decode_segment(body).events[0]
        assert isinstance(submitted, RunSubmitted), f"a run begins with {type(submitted).__name__}"
        yield submitted.workflow_id, submitted.version


def _cluster_row(
    kind: str, packed: bytes, time: float, whole: frozenset[bytes], codes: frozenset[bytes]
) -> ClusterRow | None:
    body = _decode_body(packed)
    # Versions before 3 left the event behind when a function was removed; that it was may be forgotten (sweep.py).
    if kind == "code_saved" and body["hash"] not in codes:
        return None
    # What journals of version 1 tell of an edit follows from its changes only.
    if kind == "workflow_edited" and body["workflow_id"] in whole and "codes" in body:
        del body["changes"]
    return ClusterRow(kind, body, time)


def _segments(rows: Iterable[Any]) -> Iterator[_Placed]:
    """Yield all places of segments; the content only of runs that are neither summed up nor removed."""
    for c, p, run_no, body in rows:
        yield (c, p), (c, p), None if body is None else SegmentRow(run_no, _decode_segment(body))


_GRAPH: Final = "SELECT body FROM graph WHERE workflow_id=? AND version=?"
_WHOLE: Final = """
SELECT workflow_id FROM graph JOIN (SELECT id, count(*) - 1 AS revision FROM subject GROUP BY id) ON workflow_id = id
    WHERE version = revision
"""
"""Workflows whose newest revision is saved: a workflow's events are its creation and one for each revision."""
_LIVE_BEGINNINGS: Final = """
SELECT body FROM segment WHERE rowid IN (
    SELECT rowid FROM segment WHERE first_seq = 1
    AND run_no NOT IN (SELECT run_no FROM sealed_run) AND run_no NOT IN (SELECT run_no FROM doomed_run))
"""
_LIVE_SEGMENTS: Final = """
SELECT commit_no, pos, run_no, iif(
    run_no IN (SELECT run_no FROM sealed_run) OR run_no IN (SELECT run_no FROM doomed_run), NULL, body)
FROM segment ORDER BY rowid
"""


def _contiguous(path: Path, placed: Iterable[_Placed]) -> Iterator[Row]:
    end = (0, -1)
    for first, last, row in placed:
        if first not in ((end[0], end[1] + 1), (end[0] + 1, 0)):
            raise JournalUnusable(f"{path} has a gap: row {first} follows {end}", remedy=RESTORE)
        end = last
        if row is not None:
            yield row
