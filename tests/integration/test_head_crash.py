"""kill -9 at random instants: everything acknowledged is there afterwards, nothing twice, nothing half."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maze_head.errors import JournalUnusable
from maze_head.journal import PROCESS, Journal, SegmentRow
from support import journal_child
from support.head_process import environment, running_head
from support.journal_child import body_of

ROUNDS = 12


def killed_after(directory: Path, lines: int, seconds: float) -> list[str]:
    """Let the child acknowledge so many batches, then a little more, and kill it; return all it acknowledged."""
    env = environment() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, journal_child.__file__, str(directory)], stdout=subprocess.PIPE, env=env
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:  # busy, so that the instant falls anywhere within a commit
            pass
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
    whole, _, _ = (b"".join(said) + rest).rpartition(b"\n")
    return whole.decode().splitlines()


def check(directory: Path, acknowledged: list[str]) -> None:
    """Open what the child left and compare it with what it said."""
    journal = Journal.open(directory, PROCESS, time.time())
    try:
        last: dict[int, int] = {}
        for row in journal.load():  # raises if (commit_no, pos) has a gap
            if isinstance(row, SegmentRow):
                assert row.segment.first_seq == last.get(row.run_no, 0) + 1
                last[row.run_no] = row.segment.first_seq + len(row.segment.events) - 1
        for line in acknowledged:
            run_no, seq, _ = map(int, line.split())
            assert last[run_no] >= seq, f"acknowledged event {seq} of run {run_no} is lost"
        for run_no, seq in last.items():
            for task in range(seq - 1):
                outputs = journal.accepted(run_no, task)
                assert outputs is not None, f"finish of task {task} without its result"
                assert outputs[0].value.body == body_of(run_no, task)
            assert journal.accepted(run_no, seq - 1) is None, "a result without its event"
    finally:
        journal.close()


def test_a_writer_killed_at_random_instants_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    choices = random.Random(20_261_123)
    for _ in range(ROUNDS):
        acknowledged = killed_after(tmp_path, choices.randint(1, 60), choices.random() * 0.004)
        assert acknowledged
        check(tmp_path, acknowledged)


def test_a_torn_first_page_is_mended_from_the_log_or_refused(tmp_path: Path) -> None:
    acknowledged = killed_after(tmp_path, 40, 0.0)
    path = tmp_path / "journal.db"
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    check(tmp_path, acknowledged)  # SQLite's log holds the page
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    with pytest.raises(JournalUnusable):
        check(tmp_path, acknowledged)


def test_a_head_killed_while_clients_submit_keeps_every_submission_it_answered(tmp_path: Path) -> None:
    state = tmp_path / "state"
    answered: list[str] = []
    for round_no in range(3):
        with running_head(state) as head:
            for number in range(20):
                workflow_id = f"workflow_{round_no:016x}{number:016x}"
                status, _ = head.request("POST", "/api/v1/workflows", {"workflow_id": workflow_id, "name": "w"})
                assert status in (200, 201)
                answered.append(workflow_id)
            head.signal(signal.SIGKILL)
            head.wait()
    with running_head(state) as head:
        status, listed = head.request("GET", "/api/v1/workflows")
        assert status == 200
        assert [one["workflow_id"] for one in listed["workflows"]] == answered, json.dumps(listed)[:500]
