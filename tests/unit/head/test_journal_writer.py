"""The writer's thread: order, retries on a full disk, and what it hands over."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from maze_head.batch import Batch
from maze_head.core.effects import Accept
from maze_head.errors import JournalFailed
from maze_head.journal_writer import ROWS_AT_ONCE, BatchWriter, inline_outputs
from maze_head.schema import migrate, task_key, to_signed
from maze_protocol.limits import INLINE_VALUE
from maze_protocol.values import MSGPACK, OutputValue, Value, ValuePacker
from support.head_shells import accept, batch_of, begin, note, output

PAGES = 16


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    migrate(connection, "x")
    yield connection
    connection.close()


class Outcomes:
    """Collects callbacks and waits for them."""

    def __init__(self) -> None:
        self.errors: list[BaseException | None] = []
        self.threads: set[str] = set()
        self._came = threading.Semaphore(0)

    def done(self, error: BaseException | None) -> None:
        self.errors.append(error)
        self.threads.add(threading.current_thread().name)
        self._came.release()

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._came.acquire(timeout=30)


def big(number: int) -> Batch:
    """Return a batch that does not fit a database of PAGES pages."""
    return batch_of(
        Accept(number, 0, 1, (OutputValue("y", Value(MSGPACK, 200_000, bytes(200_000))),), (), 200_000), note(number)
    )


def full_disk(connection: sqlite3.Connection, full: bool) -> None:
    connection.execute(f"PRAGMA max_page_count={PAGES if full else 1_000_000}")


def nothing() -> None:
    """Have no space to free."""


def test_batches_are_committed_in_order_on_one_thread(connection: sqlite3.Connection) -> None:
    writer, outcomes = BatchWriter(connection, 0, 1.0, nothing), Outcomes()
    for number in range(1, 21):
        writer.submit(batch_of(begin(number)), outcomes.done)
    outcomes.wait(20)
    writer.close()
    assert outcomes.errors == [None] * 20
    assert outcomes.threads == {"journal"}
    rows = connection.execute("SELECT run_no, commit_no, pos FROM segment ORDER BY rowid").fetchall()
    assert rows == [(number, number, 0) for number in range(1, 21)]
    assert writer.commits == 20
    assert writer.seconds > 0


def test_a_small_batch_is_committed_at_once_on_the_callers_thread(connection: sqlite3.Connection) -> None:
    writer = BatchWriter(connection, 0, 1.0, nothing, prompt=True)
    assert writer.commit_now(batch_of(begin(1)))
    assert connection.execute("SELECT run_no, commit_no FROM segment").fetchall() == [(1, 1)]
    writer.close()
    assert writer.commits == 1


def test_nothing_is_committed_at_once_where_the_disk_is_waited_for(connection: sqlite3.Connection) -> None:
    writer = BatchWriter(connection, 0, 1.0, nothing)
    assert not writer.commit_now(batch_of(begin(1)))
    writer.close()
    assert connection.execute("SELECT count(*) FROM segment").fetchone() == (0,)


def test_both_roads_give_one_order(connection: sqlite3.Connection) -> None:
    writer, outcomes = BatchWriter(connection, 0, 1.0, nothing, prompt=True), Outcomes()
    for number in range(1, 21):
        batch = batch_of(begin(number))
        if number % 3 == 0 or not writer.commit_now(batch):
            writer.submit(batch, outcomes.done)
            outcomes.wait()
    writer.close()
    rows = connection.execute("SELECT run_no, commit_no FROM segment ORDER BY rowid").fetchall()
    assert rows == [(number, number) for number in range(1, 21)]


def test_a_large_batch_is_left_to_the_thread(connection: sqlite3.Connection) -> None:
    writer = BatchWriter(connection, 0, 1.0, nothing, prompt=True)
    large = Accept(1, 0, 1, (OutputValue("y", Value(MSGPACK, 2**21, bytes(2**21))),), (), 2**21)
    assert not writer.commit_now(batch_of(large))
    writer.close()


def test_a_disk_that_is_full_is_left_to_the_thread(connection: sqlite3.Connection) -> None:
    def relieve() -> None:
        full_disk(connection, full=False)

    writer, outcomes = BatchWriter(connection, 0, 30.0, relieve, prompt=True), Outcomes()
    full_disk(connection, full=True)
    assert not writer.commit_now(big(1))
    writer.submit(big(1), outcomes.done)
    outcomes.wait()
    assert (outcomes.errors, writer.failures) == ([None], 1)
    assert writer.commit_now(batch_of(begin(2)))
    writer.close()


def test_a_second_accepted_result_is_a_bug_on_either_road(connection: sqlite3.Connection) -> None:
    writer, outcomes = BatchWriter(connection, 0, 1.0, nothing, prompt=True), Outcomes()
    result = Accept(1, 0, 1, (), ())
    assert writer.commit_now(batch_of(result))
    with pytest.raises(sqlite3.IntegrityError):
        writer.commit_now(batch_of(result))
    writer.submit(batch_of(result), outcomes.done)
    outcomes.wait()
    writer.close()
    assert [type(error) for error in outcomes.errors] == [sqlite3.IntegrityError]


@pytest.mark.parametrize("count", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 3])
def test_all_results_of_a_batch_are_stored_or_none(connection: sqlite3.Connection, count: int) -> None:
    writer = BatchWriter(connection, 0, 1.0, nothing, prompt=True)
    results = [accept(1, task, b"%d" % task, lease=2**63 + task) for task in range(count)]
    with pytest.raises(sqlite3.IntegrityError):
        writer.commit_now(batch_of(*results, results[0]))
    assert connection.execute("SELECT count(*) FROM accepted").fetchone() == (0,)
    assert writer.commit_now(batch_of(*results))
    stored = connection.execute("SELECT k, lease, value FROM accepted ORDER BY k").fetchall()
    assert stored == [
        (task_key(1, task), to_signed(2**63 + task), msgspec.msgpack.encode((output(b"%d" % task),)))
        for task in range(count)
    ]
    writer.close()


def test_the_log_is_folded_into_the_database_once_it_is_large(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    migrate(connection, "x")
    writer, outcomes = BatchWriter(connection, 0, 1.0, nothing, prompt=True), Outcomes()
    before = (tmp_path / "x.db").stat().st_size
    for number in range(1, 12):
        batch = batch_of(
            Accept(number, 0, 1, (OutputValue("y", Value(MSGPACK, 500_000, bytes(500_000))),), (), 500_000)
        )
        if not writer.commit_now(batch):
            writer.submit(batch, outcomes.done)
            outcomes.wait()
    writer.close()
    assert (tmp_path / "x.db").stat().st_size > before + 4_000_000
    connection.close()


def test_closing_commits_what_is_queued(connection: sqlite3.Connection) -> None:
    writer, outcomes = BatchWriter(connection, 0, 1.0, nothing), Outcomes()
    for number in range(1, 6):
        writer.submit(batch_of(begin(number)), outcomes.done)
    writer.close()
    assert outcomes.errors == [None] * 5


def test_a_full_disk_is_tried_again_until_there_is_room(connection: sqlite3.Connection) -> None:
    full_disk(connection, full=True)
    writer, outcomes = BatchWriter(connection, 0, 30.0, nothing), Outcomes()
    failed_once = threading.Event()
    wait = writer._stopping.wait

    def watched(pause: float) -> bool:
        failed_once.set()
        return wait(pause)

    writer._stopping.wait = watched  # type: ignore[method-assign, assignment]
    writer.submit(big(1), outcomes.done)
    assert failed_once.wait(30)
    assert writer.failing
    full_disk(connection, full=False)
    outcomes.wait()
    writer.close()
    assert outcomes.errors == [None]
    assert not writer.failing
    assert connection.execute("SELECT count(*) FROM accepted").fetchone() == (1,)


def test_space_that_is_freed_lets_the_batch_be_committed_at_the_next_try(connection: sqlite3.Connection) -> None:
    full_disk(connection, full=True)
    relieved: list[str] = []

    def relieve() -> None:
        relieved.append(threading.current_thread().name)
        full_disk(connection, full=False)

    writer, outcomes = BatchWriter(connection, 0, 3600.0, relieve), Outcomes()
    writer.submit(big(1), outcomes.done)
    outcomes.wait()
    writer.close()
    assert (outcomes.errors, relieved, writer.failures) == ([None], ["journal"], 1)


def test_a_disk_that_stays_full_ends_the_writer_with_nothing_half_written(connection: sqlite3.Connection) -> None:
    full_disk(connection, full=True)
    writer, outcomes = BatchWriter(connection, 0, 0.0, nothing), Outcomes()
    writer.submit(big(1), outcomes.done)
    writer.submit(batch_of(begin(1)), outcomes.done)
    outcomes.wait(2)
    writer.close()
    assert [type(error) for error in outcomes.errors] == [JournalFailed, JournalFailed]
    assert "full" in str(outcomes.errors[0])
    for table in ("accepted", "cluster_event", "segment"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_closing_gives_up_a_batch_that_is_being_tried_again(connection: sqlite3.Connection) -> None:
    full_disk(connection, full=True)
    writer, outcomes = BatchWriter(connection, 0, 3600.0, nothing), Outcomes()
    writer.submit(big(1), outcomes.done)
    writer.close()
    assert [type(error) for error in outcomes.errors] == [JournalFailed]


def test_a_row_that_cannot_be_encoded_is_a_bug_at_once(connection: sqlite3.Connection) -> None:
    writer, outcomes = BatchWriter(connection, 0, 3600.0, nothing), Outcomes()
    row = note(1)
    row.body["number"] = object()
    writer.submit(batch_of(row), outcomes.done)
    outcomes.wait()
    writer.close()
    assert [type(error) for error in outcomes.errors] == [TypeError]
    assert not connection.in_transaction


def test_outputs_in_payload_frames_are_kept_inline() -> None:
    bodies = [b"small", b"a" * (INLINE_VALUE + 1), b"b" * (INLINE_VALUE + 2)]
    packer = ValuePacker()
    outputs = tuple(
        OutputValue(f"y{number}", packer.pack(Value(MSGPACK, 0), body)) for number, body in enumerate(bodies)
    )
    inlined = inline_outputs(Accept(1, 0, 1, outputs, tuple(packer.payloads)))
    assert [(output.value.body, output.value.frame, output.value.size) for output in inlined] == [
        (body, 0, len(body)) for body in bodies
    ]
