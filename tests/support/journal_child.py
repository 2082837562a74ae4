"""A process that writes a journal until it is killed, and says what it was told is committed.

Run as `python journal_child.py DIRECTORY`. It prints one line per acknowledged batch: the run, the number of its last
committed event, and the tasks accepted so far; what it has printed must be found after its death.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from maze_head.batch import Batch
from maze_head.core.effects import Accept, Append, AppendCluster
from maze_head.journal import PROCESS, Journal
from maze_protocol.events import OutputMeta, RunSubmitted, TaskFinished
from maze_protocol.values import MSGPACK, OutputValue, Value

RUN_TASKS = 50


def body_of(run_no: int, task: int) -> bytes:
    """Return the value that a task yields: the parent knows it, too."""
    return b"%d/%d " % (run_no, task) * 20


def batches(epoch: int, run_no: int) -> list[Batch]:
    """Return the batches of one run: its submission, then results in growing groups."""
    made = [_batch(epoch, Append(run_no, 1, (RunSubmitted(run_no.to_bytes(16, "big"), b"w" * 16, 1, RUN_TASKS),)))]
    task = group = 0
    while task < RUN_TASKS:
        group += 1
        tasks = range(task, min(task + group, RUN_TASKS))
        events = tuple(TaskFinished(one, 1, one + 1, (OutputMeta("y", MSGPACK, 9),), 0.1) for one in tasks)
        batch = _batch(epoch, AppendCluster("noted", {"run": run_no}), Append(run_no, 2 + task, events))
        for one in tasks:
            body = body_of(run_no, one)
            batch.add(Accept(run_no, one, one + 1, (OutputValue("y", Value(MSGPACK, len(body), body)),), ()))
        made.append(batch)
        task = tasks.stop
    return made


def _batch(epoch: int, *effects: Append | AppendCluster) -> Batch:
    batch = Batch(epoch, time.time())
    for effect in effects:
        batch.add(effect)
    return batch


def main(directory: Path) -> None:
    """Write for ever."""
    journal = Journal.open(directory, PROCESS, time.time())
    run_no = sum(1 for row in journal.load() if getattr(row, "run_no", 0) and row.segment.first_seq == 1)
    done = threading.Event()
    while True:
        run_no += 1
        for batch in batches(journal.epoch, run_no):
            done.clear()
            journal.submit(batch, lambda error: done.set() if error is None else None)
            done.wait()
            segment = batch.runs[run_no]
            sys.stdout.write(f"{run_no} {segment.first_seq + len(segment.events) - 1} {len(batch.accepted)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
