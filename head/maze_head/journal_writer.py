"""Who writes the journal and checkpoints it: one connection, and one thread at a time (with a second writing or
checkpointing connection, SQLite before 3.51.3 may corrupt a WAL). Batches in, callbacks out.

Two roads: a batch is queued for the writer's thread, or, where no disk is waited for (durability `process`), committed
at once on the caller's (`commit_now`): a fifth of the time and no change of threads. The thread keeps what may take
long: batches that are large or that failed, checkpoints, the sweep. Whoever writes holds the lock; the caller never
waits for it.

A batch whose commit fails is kept and tried again until `patience` seconds have passed; then the callback gets
JournalFailed and so does every later batch. `relieve` is called at each failure, on this thread: it frees space, and
makes the head read-only (ballast.py). An error that is not the disk's (a second accepted result, a row that cannot be
encoded) is a bug: it is handed over at once, as it is.

Between batches the thread sweeps what was removed (sweep.py), a few rows at a time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Final

import msgspec

from maze_head.batch import Batch, RunSegment
from maze_head.core.effects import Accept, AppendCluster, CopyAccepted, SaveGraph
from maze_head.errors import JournalFailed
from maze_head.schema import OF_REMOVALS, SEGMENT_MSGPACK, SUBJECTS, task_key, to_signed
from maze_head.sweep import drop, has_work, sweep, used_bytes
from maze_protocol.values import OutputValue, Value, body_of

__all__ = ["BatchWriter", "Done", "Relieve", "inline_outputs", "write_batch"]

log = logging.getLogger(__name__)

Done = Callable[[BaseException | None], None]
"""Called on the writer's thread, once per batch, in order."""
Relieve = Callable[[], None]
"""Called on the writer's thread when a commit failed, before it is tried again."""
FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 1.0
SWEEP_EVERY: Final = 0.01
"""Seconds from one step of the sweep to the next: most of them are for commits."""
MEASURE_EVERY: Final = 1.0
CHECKPOINT_BYTES: Final = 4 * 2**20
"""So much is written to SQLite's log before it is folded into the database."""
COMMIT_BYTES: Final = 8 * 2**10
SWEEP_BYTES: Final = 128 * 2**10
"""What a commit and a step of the sweep add to that log, roughly: whole pages are written."""
NOW_EVENTS: Final = 2_000
NOW_BYTES: Final = 2**20
"""A larger batch is the thread's."""
ROWS_AT_ONCE: Final = 16
"""So many results are stored by one statement, where there are as many: a quarter less for each than one by one."""

_INSERT_SEGMENT: Final = "INSERT INTO segment VALUES(?,?,?,?,?,?,?)"
_INSERT_GRAPH: Final = "INSERT INTO graph VALUES(?,?,?,?,?)"
_INSERT_CLUSTER: Final = "INSERT INTO cluster_event VALUES(?,?,?,?,?)"
_INSERT_PLACE: Final = "INSERT INTO subject VALUES(?,?,?)"
_INSERT_REMOVAL: Final = "INSERT INTO removal(commit_no, pos) VALUES(?,?)"
_INSERT_ACCEPTED: Final = "INSERT INTO accepted VALUES(?,?,?)"
_INSERT_SEVERAL: Final = _INSERT_ACCEPTED + ",(?,?,?)" * (ROWS_AT_ONCE - 1)
_COPY_ACCEPTED: Final = "INSERT INTO accepted SELECT ?, lease, value FROM accepted WHERE k=?"
_INSERT_CODE: Final = "INSERT OR IGNORE INTO code VALUES(?,?)"
_INSERT_SEALED: Final = "INSERT OR REPLACE INTO sealed_run VALUES(?,?)"
_INSERT_LOG: Final = "INSERT OR REPLACE INTO attempt_log VALUES(?,?,?,?,?,?)"

_AcceptedRow = tuple[int, int, bytearray]
_encode: Final = msgspec.msgpack.Encoder().encode


def inline_outputs(accept: Accept) -> tuple[OutputValue, ...]:
    """Return the outputs with every body in its value (frame 0), as they are stored and cached."""
    if not accept.payloads:
        return accept.outputs
    return tuple(_inlined(output, accept.payloads) for output in accept.outputs)


def _inlined(output: OutputValue, payloads: tuple[bytes, ...]) -> OutputValue:
    value = output.value
    if value.frame == 0:
        return output
    return OutputValue(output.key, Value(value.codec, value.size, body_of(value, payloads)))


def write_batch(connection: sqlite3.Connection, batch: Batch, commit_no: int) -> None:
    """Put a batch's rows into the open transaction."""
    # First, since what is saved in the same turn may be the same function or graph again.
    for order in batch.drops:
        drop(connection, order)
    for pos, row in enumerate(batch.ordered):
        _write_ordered(connection, row, batch, (commit_no, pos))
    if batch.accepted:
        _write_accepted(connection, _accepted_rows(batch.accepted))
    for copy in batch.copies:
        _copy_accepted(connection, copy)
    if batch.codes:
        connection.executemany(_INSERT_CODE, ((code.hash, code.body) for code in batch.codes))
    if batch.logs:
        connection.executemany(_INSERT_LOG, _log_rows(batch))
    if batch.sealed:
        connection.executemany(_INSERT_SEALED, ((sealed.run_no, sealed.body) for sealed in batch.sealed))


def _write_ordered(
    connection: sqlite3.Connection, row: RunSegment | SaveGraph | AppendCluster, batch: Batch, place: tuple[int, int]
) -> None:
    match row:
        case RunSegment():
            body = _encode(row.freeze(batch.epoch, batch.time))
            values = (row.run_no, row.first_seq, len(row.events), *place, SEGMENT_MSGPACK, body)
            connection.execute(_INSERT_SEGMENT, values)
        case SaveGraph():
            connection.execute(_INSERT_GRAPH, (row.workflow_id, row.version, *place, row.body))
        case AppendCluster():
            connection.execute(_INSERT_CLUSTER, (*place, batch.time, row.kind, _encode(row.body)))
            if row.kind in SUBJECTS:
                connection.execute(_INSERT_PLACE, (row.body[SUBJECTS[row.kind]], *place))
            elif row.kind in OF_REMOVALS:
                connection.execute(_INSERT_REMOVAL, place)


def _write_accepted(connection: sqlite3.Connection, rows: list[_AcceptedRow]) -> None:
    whole = len(rows) - len(rows) % ROWS_AT_ONCE
    several = (list(chain.from_iterable(rows[at : at + ROWS_AT_ONCE])) for at in range(0, whole, ROWS_AT_ONCE))
    connection.executemany(_INSERT_SEVERAL, several)
    connection.executemany(_INSERT_ACCEPTED, rows[whole:])


def _accepted_rows(accepted: Iterable[Accept]) -> list[_AcceptedRow]:
    # As bytearray: of bytes sqlite3 asks each time whether somebody adapts them, which takes a fifth of storing a row.
    return [
        (
            task_key(each.run_no, each.task_no), to_signed(each.lease),
            bytearray(_encode(inline_outputs(each) if each.payloads else each.outputs)),
        )
        for each in accepted
    ]  # fmt: skip


def _copy_accepted(connection: sqlite3.Connection, copy: CopyAccepted) -> None:
    keys = ((task_key(copy.run_no, task), task_key(copy.from_run_no, task)) for task in copy.tasks)
    copied = connection.executemany(_COPY_ACCEPTED, keys).rowcount
    assert copied == len(copy.tasks), f"run {copy.from_run_no} has {copied} of {len(copy.tasks)} results to copy"


def _log_rows(batch: Batch) -> Iterator[tuple[int, int, bytes, bytes, int, int]]:
    for log in batch.logs:
        key = task_key(log.run_no, log.task_no)
        yield key, log.attempt, log.stdout, log.stderr, log.stdout_size, log.stderr_size


class BatchWriter:
    """Commits batches in the order in which they were given, and owns the thread that does so when it may take long.

    Args:
        prompt: allow `commit_now`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        last_commit: int,
        patience: float,
        relieve: Relieve,
        *,
        prompt: bool = False,
    ) -> None:
        self._connection = connection
        self._transaction = _Transaction(connection)
        self._relieve = relieve
        self._last_commit = last_commit
        self._patience = patience
        self._prompt = prompt
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[Batch, Done] | _Call] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._failed: BaseException | None = None
        self.failing = False
        """True while a batch is being tried again."""
        self.commits = 0
        self.failures = 0
        self.seconds = 0.0
        self.used_bytes = used_bytes(connection)
        self.sweeping = has_work(connection)
        """True while removed things are still on the disk."""
        self._unfolded = 0
        """How much was written since the last checkpoint, roughly."""
        self._next_step = self._next_measure = 0.0
        connection.execute("PRAGMA wal_autocheckpoint=0")
        self._thread.start()

    def submit(self, batch: Batch, done: Done) -> None:
        """Queue a batch; `done` is called on the writer's thread when it is committed or given up."""
        self._queue.put((batch, done))

    def commit_now(self, batch: Batch) -> bool:
        """Commit a batch on this thread if that takes no time; False: `submit` it. No other batch may be queued.

        Raises:
            sqlite3.IntegrityError: a second accepted result: a bug.
        """
        if not self._prompt or self._failed is not None or not _is_small(batch):
            return False
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._commit_once(batch)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError:
            return False  # the thread will meet the same, and knows what to do
        finally:
            self._lock.release()
        if self._unfolded >= CHECKPOINT_BYTES or batch.drops:
            self._queue.put(_Call.LOOK)
        return True

    def close(self) -> None:
        """Commit what is queued and end the thread; a batch being tried again is given up."""
        self._queue.put(_Call.STOP)
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while (item := self._next()) is not _Call.STOP:
            if item is not _Call.LOOK:
                self._take(*item)
            with self._lock:
                self._fold()

    def _take(self, batch: Batch, done: Done) -> None:
        try:
            if self._failed is None:
                with self._lock:
                    self._commit(batch)
        except BaseException as error:  # noqa: BLE001 -- thread entry point: the error goes to the owner
            self._failed = error
        done(self._failed)

    def _next(self) -> tuple[Batch, Done] | _Call:
        """Wait for a batch, sweeping meanwhile if there is something to sweep."""
        while self.sweeping:
            if time.monotonic() >= self._next_step:
                with self._lock:
                    self._sweep()
            with suppress(Empty):
                return self._queue.get(timeout=SWEEP_EVERY)
        return self._queue.get()

    def _fold(self) -> None:
        """Move what was written from the log to the database once it is much."""
        if self._unfolded < CHECKPOINT_BYTES:
            return
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.DatabaseError as error:
            # Nothing is lost: the log is as durable as the database.
            log.warning("the journal's log could not be folded", extra={"error": str(error)})
        self._unfolded = 0

    def _sweep(self) -> None:
        try:
            with self._transaction:
                sweep(self._connection)
            self.sweeping = has_work(self._connection)
            self.used_bytes = used_bytes(self._connection)
            self._unfolded += SWEEP_BYTES
        except sqlite3.DatabaseError as error:
            # Nothing is lost by waiting: the next removal, or the next head, goes on with it.
            self.sweeping = False
            log.warning("what was removed could not be swept", extra={"error": str(error)})
        self._next_step = time.monotonic() + SWEEP_EVERY

    def _commit(self, batch: Batch) -> None:
        pause = FIRST_PAUSE
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._commit_once(batch)
                self.failing = False
                return
            except sqlite3.IntegrityError:
                raise
            except sqlite3.DatabaseError as error:
                self.failing = True
                self.failures += 1
                self._relieve()
                if time.monotonic() >= deadline or self._stopping.is_set():
                    raise JournalFailed(f"the journal cannot be written: {error}", remedy=_REMEDY) from error
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _commit_once(self, batch: Batch) -> None:
        began = time.perf_counter()
        # A batch without ordered rows takes no number, or the order of recovery would have a gap.
        commit_no = self._last_commit + (1 if batch.facts or batch.runs else 0)
        with self._transaction:
            write_batch(self._connection, batch, commit_no)
        self._last_commit = commit_no
        self.commits += 1
        ended = time.perf_counter()
        self.seconds += ended - began
        self._unfolded += COMMIT_BYTES + batch.weight
        if batch.drops:
            self.sweeping = True
        if ended >= self._next_measure:
            self._next_measure = ended + MEASURE_EVERY
            self.used_bytes = used_bytes(self._connection)


class _Transaction:
    """One transaction after another of a connection: committed, or undone where anything was raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            # After some errors (SQLITE_FULL, SQLITE_IOERR) SQLite has rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _is_small(batch: Batch) -> bool:
    return len(batch.accepted) <= NOW_EVENTS and batch.weight <= NOW_BYTES


class _Call(Enum):
    """What the thread is told beside batches."""

    LOOK = 1
    """There may be something to fold or to sweep."""
    STOP = 2


_REMEDY: Final = "free space on the disk of the state directory and start the head again; nothing acknowledged is lost"
