"""Removal over a real journal: at once gone for readers, little by little from the disk, and the same after a crash at
any point of it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from maze_head import journal_writer
from maze_head import sweep as sweep_module
from maze_head.core import events as ev
from maze_head.core.errors import Conflict, Gone, NotFound
from maze_head.core.settings import Settings
from maze_head.errors import JournalUnusable
from maze_head.holes import split
from maze_head.sweep import STEP_ROWS, has_work, sweep, used_bytes
from support.head_core import add, dump
from support.history import History

TABLES = ("segment", "accepted", "attempt_log", "sealed_run", "graph", "code", "removal", "cluster_event")


def run_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer's thread leave the sweeping to the test."""
    monkeypatch.setattr(journal_writer, "has_work", lambda connection: False)
    monkeypatch.setattr(journal_writer.BatchWriter, "_sweep", lambda self: setattr(self, "sweeping", False))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def opened(directory: Path) -> Iterator[Callable[..., History]]:
    lives: list[History] = []

    def open_history(settings: Settings | None = None, path: Path = directory) -> History:
        if lives:
            lives[-1].close()
        lives.append(History(path, settings))
        return lives[-1]

    yield open_history
    for life in lives:
        life.close()


def busy(history: History, runs: int, tasks: int = 3) -> None:
    """Let a head run several workflows, each twice."""
    history.greet()
    for number in range(1, runs + 1):
        ops = [add(task) for task in range(100 * number, 100 * number + tasks)] if number % 2 else []
        history.submit(number, *ops, workflow=1000 + (number + 1) // 2)
        history.finish()


def count(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path / "journal.db")) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def step(path: Path) -> bool:
    """Make one step of the sweep, as the writer's thread would; tell whether there is more to do."""
    with closing(sqlite3.connect(path / "journal.db", isolation_level=None)) as connection:
        connection.execute("BEGIN")
        sweep(connection)
        connection.execute("COMMIT")
        return has_work(connection)


def known(history: History) -> dict[str, object]:
    found = dump(history.core)
    return {name: found[name] for name in ("workflows", "codes", "sealed", "run_numbers")}


def test_a_removed_run_is_gone_at_once_and_for_good(opened: Callable[..., History], directory: Path) -> None:
    history = opened()
    busy(history, 4)
    assert history.ask(ev.RemoveRun, run_id(2)).status == "finished"
    for _ in range(2):
        with pytest.raises(Gone, match=r"run_0+2 was removed") as refusal:
            history.ask(ev.DescribeRun, run_id(2))
        assert refusal.value.code == "run_removed"
        with pytest.raises(Gone):
            history.ask(ev.RemoveRun, run_id(2))
        with pytest.raises(Gone):
            history.submit(2, workflow=1001)
        listed = [run.run_id for run in history.ask(ev.ListRuns).runs]
        assert listed == [f"run_{number:032x}" for number in (4, 3, 1)]
        history = opened()
    history.greet()
    history.submit(9, workflow=1001)
    assert history.core.state.run_numbers[run_id(9)] == 5
    history.close()
    assert count(directory)["sealed_run"] == 3


def test_the_rows_follow_and_nothing_else(opened: Callable[..., History], directory: Path) -> None:
    opened().close()
    only = opened()
    busy(only, 5)
    only.close()
    before = count(directory)
    history = opened()
    for number in (1, 2, 3):
        history.ask(ev.RemoveRun, run_id(number))
    history.close()
    while step(directory):
        pass
    after = count(directory)
    assert after["sealed_run"] == 2
    assert after["accepted"] == before["accepted"] * 2 // 5
    assert after["segment"] == before["segment"] * 2 // 5
    assert after["graph"] == before["graph"]  # each workflow may be run again at its newest version
    assert after["cluster_event"] == before["cluster_event"] + 3


def test_a_crash_at_every_step_of_the_sweep_ends_in_the_same_knowledge(
    patient: None, opened: Callable[..., History], directory: Path, tmp_path: Path
) -> None:
    history = opened()
    busy(history, 6, tasks=2 * STEP_ROWS)
    for number in (1, 3, 4):
        history.ask(ev.RemoveRun, run_id(number))
    history.ask(ev.RemoveWorkflow, run_id(1003))
    history.close()
    wanted = known(opened())
    opened().close()
    steps = 0
    while step(directory):
        steps += 1
        copy = tmp_path / f"copy{steps}"
        shutil.copytree(directory, copy)
        crashed = History(copy)  # refuses a gap
        assert known(crashed) == wanted
        crashed.close()
    assert steps > 10
    assert known(opened()) == wanted


def test_a_row_that_was_lost_is_still_told_from_one_that_was_removed(
    opened: Callable[..., History], directory: Path
) -> None:
    history = opened()
    busy(history, 6)
    history.ask(ev.RemoveRun, run_id(3))
    history.close()
    while step(directory):
        pass
    with closing(sqlite3.connect(directory / "journal.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM segment WHERE run_no=2 AND first_seq=1")
    with pytest.raises(JournalUnusable, match="gap"):
        History(directory)


def test_space_is_given_back_to_the_file_system(opened: Callable[..., History], directory: Path) -> None:
    history = opened()
    busy(history, 2, tasks=300)
    history.close()
    size = (directory / "journal.db").stat().st_size
    history = opened()
    history.ask(ev.RemoveWorkflow, run_id(1001))
    history.close()
    while step(directory):
        pass
    with closing(sqlite3.connect(directory / "journal.db")) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert used_bytes(connection) == (directory / "journal.db").stat().st_size < size / 2


def test_a_workflow_goes_with_its_runs_edits_graphs_and_own_functions(
    opened: Callable[..., History], directory: Path
) -> None:
    history = opened()
    history.greet()
    history.submit(1, add(1), workflow=7)
    history.finish()
    # The bytes of the first workflow's id stand in the second one's edit: as the id of a task.
    history.submit(2, add(7), workflow=8)
    with pytest.raises(Conflict, match="not over"):
        history.ask(ev.RemoveWorkflow, run_id(8))
    with pytest.raises(Conflict, match="not over"):
        history.ask(ev.RemoveRun, run_id(2))
    history.finish()
    history.ask(ev.RemoveWorkflow, run_id(7))
    with pytest.raises(Gone, match=r"workflow_0+7 was removed"):
        history.ask(ev.DescribeWorkflow, run_id(7))
    with pytest.raises(Gone):
        history.submit(3, workflow=7)
    history.close()
    while step(directory):
        pass
    assert count(directory)["code"] == 1  # the other workflow uses it, too
    history = opened()
    assert [flow.workflow_id for flow in history.ask(ev.ListWorkflows).workflows] == [f"workflow_{8:032x}"]
    assert len(history.ask(ev.DescribeWorkflow, run_id(8)).tasks) == 1
    history.ask(ev.RemoveWorkflow, run_id(8))
    history.close()
    while step(directory):
        pass
    left = count(directory)
    assert {name: left[name] for name in TABLES[:-2]} == dict.fromkeys(TABLES[:-2], 0)


def test_of_very_many_removals_the_newest_are_remembered(
    patient: None, opened: Callable[..., History], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "REMOVALS_KEPT", 3)
    history = opened()
    busy(history, 7)
    for number in range(1, 7):
        history.ask(ev.RemoveRun, run_id(number))
        if number == 4:
            history.close()
            assert count(directory)["removal"] == 4  # not before what they tell of is gone
            while step(directory):
                pass
            history = opened()
    history.close()
    while step(directory):
        pass
    assert count(directory)["removal"] == 3
    history = opened()
    for number in (4, 5, 6):
        with pytest.raises(Gone):
            history.ask(ev.DescribeRun, run_id(number))
    for number in (1, 2, 3):
        with pytest.raises(NotFound):
            history.ask(ev.DescribeRun, run_id(number))
    history.submit(8, workflow=1001)
    assert history.core.state.run_numbers[run_id(8)] == 8


def test_a_function_goes_with_all_that_tells_of_it(
    patient: None, opened: Callable[..., History], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "REMOVALS_KEPT", 0)
    history = opened()
    history.greet()
    before = count(directory)["cluster_event"]
    history.submit(1, add(1), workflow=7)
    history.finish()
    history.ask(ev.RemoveWorkflow, run_id(7))
    history.close()
    while step(directory):
        pass
    assert count(directory)["cluster_event"] == before
    history = opened()
    assert history.core.state.codes == {}
    history.submit(2, add(1), workflow=9)  # which sends the function again
    assert count(directory)["code"] == 1
    assert len(opened().core.state.codes) == 1


def test_of_a_function_that_an_older_version_removed_nothing_is_known(
    opened: Callable[..., History], directory: Path
) -> None:
    history = opened()
    history.greet()
    history.submit(1, add(1), workflow=7)
    history.close()
    with closing(sqlite3.connect(directory / "journal.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM code")
    assert opened().core.state.codes == {}


def test_a_running_head_sweeps_by_itself(opened: Callable[..., History], directory: Path) -> None:
    history = opened(Settings(keep_runs=2))
    busy(history, 8)
    history.tick()
    assert list(history.core.state.sealed) == [7, 8]
    while history.journal.counters()["journal_sweeping"]:
        pass  # its thread has nothing else to do
    assert history.journal.size is not None
    history.close()
    assert count(directory)["sealed_run"] == 2


def test_split_finds_the_place_among_segments(opened: Callable[..., History], directory: Path) -> None:
    history = opened()
    busy(history, 3)
    history.close()
    with closing(sqlite3.connect(directory / "journal.db")) as connection:
        rows = connection.execute("SELECT rowid, commit_no, pos FROM segment ORDER BY rowid").fetchall()
        for rowid, commit_no, pos in rows:
            assert split(connection, (commit_no, pos)) == rowid + 1
        assert split(connection, (0, 0)) <= rows[0][0]
