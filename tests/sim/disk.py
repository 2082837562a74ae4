"""The virtual disk: a real SQLite database in memory, written and read by the journal's own code, in virtual time.

A batch is written some time after it was handed over, and its writer hears of that some time later: a head can die at
each of these points. A process that dies loses what was not written; a machine that loses power also loses written
batches that were not synced. With durability `power` no reader sees a batch before it is synced, so writing and syncing
are one step here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from maze_head.batch import Batch
from maze_head.database import begin_epoch, read_meta
from maze_head.journal import POWER, Journal
from maze_head.journal_writer import write_batch
from maze_head.schema import migrate

CLUSTER_ID = b"simulated-clustr"
_MAKE_META = (
    ("INSERT INTO meta VALUES('cluster_id', ?)", (CLUSTER_ID,)),
    ("INSERT INTO meta VALUES('epoch', ?)", (0,)),
)


class Disk:
    """What outlives a head."""

    def __init__(self, durability: str) -> None:
        self.durability = durability
        self.batches: list[Batch] = []
        self.synced = 0
        """How many batches survive the loss of power."""
        self.blobs: dict[tuple[int, int, int], bytes] = {}
        """Objects that the head keeps: by run, task and number of the output."""
        self.full = False
        """The head is to write as little as it can."""
        self.connection = _fresh()
        self._commits = 0

    def begin(self, unix_seconds: int) -> int:
        """Start a new epoch, which is synced with all before it, and return it."""
        begin_epoch(self.connection, unix_seconds)
        self.synced = len(self.batches)
        return int(read_meta(self.connection, "epoch"))

    def write(self, batch: Batch) -> None:
        """Commit a batch."""
        self._commits += 1 if batch.facts or batch.runs else 0
        self.connection.execute("BEGIN")
        write_batch(self.connection, batch, self._commits)
        self.connection.execute("COMMIT")
        self.batches.append(batch)

    def copy(self) -> Disk:
        """Return a disk of its own with the same on it."""
        other = Disk(self.durability)
        other.connection, other._commits = _fresh(int(read_meta(self.connection, "epoch"))), 0
        for batch in self.batches:
            other.write(batch)
        other.synced = len(other.batches)
        other.blobs = dict(self.blobs)
        return other

    def lose_tail(self, keep: int) -> None:
        """Lose every batch but the first `keep`, as a machine without power does."""
        assert keep >= self.synced, "what is synced cannot be lost"
        epoch = int(read_meta(self.connection, "epoch"))
        self.connection.close()
        self.connection, self._commits = _fresh(epoch), 0
        kept, self.batches = self.batches[:keep], []
        for batch in kept:
            self.write(batch)


@cache
def _empty() -> bytes:
    """Return the bytes of a database without history; making one takes longer than a world's first second."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, "memory")
        for statement, values in _MAKE_META:
            connection.execute(statement, values)
        return connection.serialize()


def _fresh(epoch: int = 0) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_empty())
    if epoch:
        connection.execute("UPDATE meta SET value=? WHERE key='epoch'", (epoch,))
    return connection


class SimJournal(Journal):
    """The journal of one life of a head, on a virtual disk. Reads are those of the real one."""

    def __init__(self, disk: Disk, unix_seconds: int, submit: Callable[[Batch, Any], None]) -> None:
        self.path = Path("journal.db")
        self.durability = disk.durability
        self.epoch = disk.begin(unix_seconds)
        self.cluster_id = CLUSTER_ID
        self.submit = submit  # type: ignore[method-assign]
        self.disk = disk

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        yield self.disk.connection

    @property
    def syncs(self) -> bool:
        """Tell whether each batch is on disk before its writer hears of it."""
        return self.durability == POWER
