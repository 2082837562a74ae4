"""The journal over real files: what is committed comes back, in order, after any kind of stop."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maze_head.batch import Batch
from maze_head.core.effects import Append, AppendCluster, CopyAccepted, SaveCode, SaveGraph, SaveLog, SaveSealed
from maze_head.errors import JournalUnusable, StateDirUnusable
from maze_head.journal import POWER, PROCESS, ClusterRow, GraphRow, Journal, SegmentRow
from maze_protocol.events import RunSubmitted
from support.head_shells import accept, batch_of, begin, finished, note, output, run_id, sealed, segment, submitted

NOW = 1_700_000_000.0
Open = Callable[..., Journal]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Open]:
    opened: list[Journal] = []

    def make(durability: str = PROCESS, now: float = NOW) -> Journal:
        opened.append(Journal.open(tmp_path, durability, now))
        return opened[-1]

    yield make
    for journal in opened:
        journal.close()  # harmless when repeated


def commit(journal: Journal, batch: Batch) -> BaseException | None:
    """Commit a batch and wait for it."""
    done = threading.Event()
    outcome: list[BaseException | None] = []

    def finish(error: BaseException | None) -> None:
        outcome.append(error)
        done.set()

    journal.submit(batch, finish)
    assert done.wait(30)
    return outcome[0]


def test_rows_come_back_in_the_order_of_their_commits(open_journal: Open) -> None:
    journal = open_journal()
    assert commit(journal, batch_of(note(1), begin(2), SaveGraph(b"w" * 16, 1, b"graph"))) is None
    assert commit(journal, batch_of(begin(1), Append(2, 2, (finished(0), sealed())))) is None
    assert list(journal.load()) == [
        ClusterRow("noted", {"number": 1}, 1000.0),
        GraphRow(b"w" * 16, 1, b"graph"),
        SegmentRow(2, segment(1, submitted(2))),
        SegmentRow(1, segment(1, submitted(1))),
        SegmentRow(2, segment(2, finished(0), sealed())),
    ]


def test_only_tasks_that_recovery_may_need_are_given(open_journal: Open) -> None:
    run, edited, over = (bytes([number]) * 16 for number in (1, 2, 3))
    facts = [
        AppendCluster(kind, {"workflow_id": workflow, "codes": [], "changes": b"tasks"})
        for workflow in (run, edited, over)
        for kind in ("workflow_created", "workflow_edited", "workflow_edited")
    ]
    graphs = [SaveGraph(run, 2, b"run"), SaveGraph(edited, 1, b"edited"), SaveGraph(over, 2, b"over")]
    begun = [
        Append(no, 1, (RunSubmitted(run_id(no), flow, version, 2),))
        for no, flow, version in ((1, run, 2), (2, edited, 1), (3, over, 2))
    ]
    journal = open_journal()
    commit(journal, batch_of(*facts, *graphs, *begun))
    commit(journal, batch_of(Append(3, 2, (sealed(),)), SaveSealed(3, b"in short")))
    rows = list(journal.load())
    assert [row.body for row in rows if isinstance(row, GraphRow)] == [b"run", b"edited", None]
    told = [(row.body["workflow_id"], "changes" in row.body) for row in rows
            if isinstance(row, ClusterRow) and row.kind == "workflow_edited"]  # fmt: skip
    assert told == [(run, False)] * 2 + [(edited, True)] * 2 + [(over, False)] * 2
    everything = list(journal.load(sparing=False))
    assert [row.body for row in everything if isinstance(row, GraphRow)] == [b"run", b"edited", b"over"]
    assert all("changes" in row.body for row in everything if isinstance(row, ClusterRow))


def test_a_restart_continues_numbers_and_raises_the_epoch(open_journal: Open) -> None:
    journal = open_journal()
    assert journal.epoch == NOW
    commit(journal, batch_of(begin(1)))
    journal.close()
    again = open_journal(now=NOW - 100)
    assert (again.epoch, again.cluster_id) == (NOW + 1, journal.cluster_id)
    assert len(again.cluster_id) == 16
    commit(again, batch_of(Append(1, 2, (sealed(),))))
    assert [row.segment.first_seq for row in again.load() if isinstance(row, SegmentRow)] == [1, 2]


def test_rows_without_an_order_leave_no_gap(open_journal: Open) -> None:
    journal = open_journal()
    commit(journal, batch_of(begin(1)))
    commit(journal, batch_of(SaveCode(b"h" * 16, b"body")))
    commit(journal, batch_of(note(1)))
    assert len(list(journal.load())) == 2


def test_a_missing_commit_is_refused(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    for run_no in range(1, 10):
        commit(journal, batch_of(begin(run_no)))
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("DELETE FROM segment WHERE run_no=2")
    connection.close()
    refused = open_journal()
    with pytest.raises(JournalUnusable, match=r"gap: row \(3, 0\) follows \(1, 0\)") as caught:
        list(refused.load())
    # Nothing that the error still refers to goes on reading: `close` would wait five seconds for it.
    refused._connection.execute("PRAGMA busy_timeout=0")
    assert refused._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, caught


def test_keyed_rows_are_found(open_journal: Open) -> None:
    journal = open_journal()
    log = SaveLog(1, 7, 2, b"out", b"err", 1_000, 3)
    commit(journal, batch_of(accept(1, 7, b"value"), SaveCode(b"h" * 16, b"code"), log, SaveGraph(b"w" * 16, 3, b"g")))
    assert journal.accepted(1, 7) == (output(b"value"),)
    assert journal.code(b"h" * 16) == b"code"
    assert journal.attempt_log(1, 7, 2) == (b"out", b"err", 1_000, 3)
    assert journal.graph(b"w" * 16, 3) == b"g"
    assert journal.accepted(1, 8) is None
    assert journal.code(b"x" * 16) is None
    assert journal.attempt_log(1, 7, 1) is None
    assert journal.graph(b"w" * 16, 4) is None


def test_results_are_copied_to_the_run_that_reuses_them(open_journal: Open) -> None:
    journal = open_journal()
    commit(journal, batch_of(accept(1, 3, b"old")))
    commit(journal, batch_of(begin(2), accept(1, 7, b"same commit"), CopyAccepted(1, 2, (7, 3))))
    assert journal.accepted(2, 3) == journal.accepted(1, 3) == (output(b"old"),)
    assert journal.accepted(2, 7) == (output(b"same commit"),)
    assert journal.accepted(2, 4) is None


def test_a_result_that_is_not_there_to_copy_is_a_bug_and_nothing_is_committed(open_journal: Open) -> None:
    journal = open_journal()
    commit(journal, batch_of(accept(1, 3, b"old")))
    error = commit(journal, batch_of(begin(2), CopyAccepted(1, 2, (3, 4))))
    assert isinstance(error, AssertionError)
    assert "run 1 has 1 of 2 results" in str(error)
    assert journal.accepted(2, 3) is None
    assert list(journal.load()) == []


@pytest.mark.parametrize(
    ("after", "expected"), [(0, [1, 4, 6]), (1, [1, 4, 6]), (3, [4, 6]), (4, [4, 6]), (5, [6]), (6, []), (99, [])]
)
def test_segments_are_read_from_any_position(open_journal: Open, after: int, expected: list[int]) -> None:
    journal = open_journal()
    commit(journal, batch_of(begin(1, finished(0), finished(1)), begin(2)))
    commit(journal, batch_of(Append(1, 4, (finished(2), finished(3)))))
    commit(journal, batch_of(Append(1, 6, (sealed(),))))
    assert [found.first_seq for found in journal.segments(1, after, 10)] == expected
    assert [found.first_seq for found in journal.segments(1, after, 1)] == expected[:1]


def test_a_second_accepted_result_is_refused_as_a_bug_and_nothing_follows(open_journal: Open) -> None:
    journal = open_journal()
    assert commit(journal, batch_of(accept(1, 0, b"first"))) is None
    assert isinstance(commit(journal, batch_of(begin(1), accept(1, 0, b"second"))), sqlite3.IntegrityError)
    assert isinstance(commit(journal, batch_of(begin(2))), sqlite3.IntegrityError)
    assert journal.accepted(1, 0) == (output(b"first"),)
    assert list(journal.load()) == []


def test_the_file_is_private_and_in_wal_mode(open_journal: Open) -> None:
    journal = open_journal()
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    with journal._reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM meta")


@pytest.mark.parametrize(("durability", "level"), [(PROCESS, 1), (POWER, 2)])
def test_durability_sets_the_level_of_synchronisation(open_journal: Open, durability: str, level: int) -> None:
    journal = open_journal(durability)
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (level,)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"not a database, whatever it is" * 100)
    with pytest.raises(JournalUnusable, match=r"damaged.*restore a backup"):
        Journal.open(tmp_path, PROCESS, NOW)
    assert (tmp_path / "journal.db").stat().st_size == 3000


def test_a_damaged_page_is_found_after_an_unclean_stop(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    for run_no in range(1, 200):
        commit(journal, batch_of(begin(run_no), accept(run_no, 0, bytes(200))))
    journal.close()
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value=0 WHERE key='clean'")
    connection.close()
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 9] = b"\xff" * 4096 * 4
    path.write_bytes(content)
    with pytest.raises(JournalUnusable, match=r"damaged.*restore a backup"):  # on one line
        Journal.open(tmp_path, PROCESS, NOW)
    assert path.read_bytes() == content


def test_a_file_that_lost_its_content_is_refused(open_journal: Open, tmp_path: Path) -> None:
    open_journal().close()
    (tmp_path / "journal.db").write_bytes(b"")
    with pytest.raises(JournalUnusable, match=r"journal.db is empty.*restore a backup"):
        Journal.open(tmp_path, PROCESS, NOW)


def test_a_start_killed_while_it_made_the_file_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "journal.db.new").write_bytes(b"half")
    journal = Journal.open(tmp_path, PROCESS, NOW)
    assert list(journal.load()) == []
    journal.close()
    assert not (tmp_path / "journal.db.new").exists()


def test_readers_opened_at_the_start_need_no_descriptor_later(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, PROCESS, NOW, readers=2)
    held = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.open(tmp_path, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
    try:
        assert commit(journal, batch_of(begin(1))) is None
        assert journal.accepted(1, 0) is None
        assert len(list(journal.load())) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(spare[0])
    assert len(os.listdir("/proc/self/fd")) == held
    journal.close()


def test_a_log_without_its_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db-wal").write_bytes(b"x")
    with pytest.raises(JournalUnusable, match="missing"):
        Journal.open(tmp_path, PROCESS, NOW)


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(StateDirUnusable, match="cannot open"):
        Journal.open(tmp_path, PROCESS, NOW)


def test_rows_that_are_read_while_others_are_written_are_whole(open_journal: Open) -> None:
    journal = open_journal()
    for run_no in range(1, 51):
        commit(journal, batch_of(begin(run_no)))
        assert len(list(journal.load())) == run_no
    assert journal.counters()["journal_commits_total"] == 50
