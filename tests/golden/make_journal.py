"""Write the golden journal of the present schema: `PYTHONPATH=tests python tests/golden/make_journal.py`.

Run it for a new schema only. Files of a released schema never change: heads of that release left exactly such files.
N.sql is the database as text, N.json what a head must know after reading it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from maze_head.core import events as ev
from maze_head.schema import APPLICATION_ID, MIGRATIONS
from maze_protocol.messages import CRASHED, FAILED, Started, StartedItem
from support.head_core import add, edge, ended, ok
from support.history import LINK, History

DIRECTORY = Path(__file__).parent / "journal"


def write_history(directory: Path) -> None:
    """Leave what a busy head leaves: runs that ended in every way, and one in progress."""
    history = History(directory)
    history.greet()
    history.submit(1, add(1), add(2, 1), add(3), edge(3, 2))
    history.finish()
    history.submit(2, workflow=1)
    first, _ = history.leases
    history.leases.clear()
    history.report(ended(first, FAILED, "user", traceback="Traceback: boom"))
    history.turn(ev.CancelRun(1, (2).to_bytes(16, "big"), "enough"))
    history.submit(3, add(1), add(2, 1), workflow=3)
    (lease,) = history.leases
    history.leases.clear()
    history.report(ended(lease, FAILED, "user", traceback="Traceback: boom"))
    history.submit(4, add(4), workflow=3)
    history.leases.clear()
    history.submit(5, *(add(number) for number in range(1, 5)), add(9, 1, 2), workflow=5)
    crashed, done, running, *_ = history.leases
    history.turn(ev.NodeSaid(LINK, Started(tuple(StartedItem(lease, 1e9) for lease in (crashed, done, running)))))
    history.report(ended(crashed, CRASHED, "crash", signal="SIGKILL"), ok(done, 40))
    history.leases.clear()
    for number, workflow in ((6, 6), (7, 6), (8, 8)):
        history.submit(number, add(1), workflow=workflow)
        history.finish()
    history.ask(ev.RemoveRun, (6).to_bytes(16, "big"))
    history.ask(ev.RemoveWorkflow, (8).to_bytes(16, "big"))
    history.close()


def as_text(path: Path) -> str:
    """Return a database as statements that make it again."""
    connection = sqlite3.connect(path)
    try:
        lines = list(connection.iterdump())
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    finally:
        connection.close()
    return "\n".join([*lines, f"PRAGMA application_id={APPLICATION_ID};", f"PRAGMA user_version={version};", ""])


def knowledge(directory: Path) -> dict[str, Any]:
    """Return what a head on this directory answers about it."""
    history = History(directory)
    try:
        runs = history.ask(ev.ListRuns).runs
        flows = history.ask(ev.ListWorkflows).workflows
        numbers = [int(run.run_id.removeprefix("run_"), 16) for run in runs]
        return {
            "workflows": [[flow.workflow_id, flow.name, flow.revision, flow.tasks] for flow in flows],
            "runs": [
                [run.run_id, run.revision, run.status, run.tasks, run.finished, run.failed, run.skipped, run.sealed]
                for run in runs
            ],
            "events": {str(n): _kinds(history, n) for n in sorted(numbers)},
            "outputs": {f"{n}/{task}": _output(history, n, task) for n in sorted(numbers) for task in range(5)},
        }
    finally:
        history.close()


def _kinds(history: History, run_no: int) -> list[str]:
    # Without what this very restart added.
    segments = history.journal.segments(run_no, 0, 1000)
    old = [segment for segment in segments if segment.epoch < history.journal.epoch]
    return [type(event).__name__ for segment in old for event in segment.events]


def _output(history: History, run_no: int, task: int) -> str | None:
    outputs = history.journal.accepted(run_no, task)
    return None if outputs is None else "".join(output.value.body.hex() for output in outputs)


def main() -> None:
    """Write both files of the present schema."""
    version = len(MIGRATIONS)
    with tempfile.TemporaryDirectory() as folder:
        original, copy = Path(folder) / "original", Path(folder) / "copy"
        original.mkdir()
        write_history(original)
        shutil.copytree(original, copy)
        DIRECTORY.mkdir(exist_ok=True)
        (DIRECTORY / f"{version}.sql").write_text(as_text(original / "journal.db"))
        (DIRECTORY / f"{version}.json").write_text(json.dumps(knowledge(copy), indent=1) + "\n")


if __name__ == "__main__":
    main()
