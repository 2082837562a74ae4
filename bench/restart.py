"""Restart to ready: how long a killed head takes to serve again with much work before it, and with much behind it.

    python bench/restart.py [--live 10000] [--sealed 10000] [--repeat 3]

Prints one JSON document. The histories are made by the head's own core and journal, with a node played by this program:
`live` tasks of one run, most of them leased; `sealed` runs of five tasks each, every one of a workflow of its own (the
dearest way of having them). Ready = the MAZE-READY line, from the start of the process; `cpu_s` is what it had of the
processor by then, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from _machine import describe

from maze_head.batch import Batch, Durable
from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.journal import PROCESS, Journal
from maze_protocol.http import AddTask, CodeBody, EditRequest, InputBody, RunRequest, TaskBody, WorkflowRequest
from maze_protocol.ids import TASK, WORKFLOW, format_id
from maze_protocol.messages import OK, Hello, Outcome, Result
from maze_protocol.resources import Capacity
from maze_protocol.values import MSGPACK, OutputValue, Value

CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("MAZE_")}
SOURCE = b"cloudpickle of a function"
CODE = CodeBody(hashlib.blake2b(SOURCE, digest_size=16).hexdigest(), "pickle", (3, 11), SOURCE, "f")
LINK = b"link"
CHAIN = 5


class History:
    """A head's core and journal, and a node with endless room."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.journal = Journal.open(directory, PROCESS, time.time())
        self.core = HeadCore(Settings(), self.journal.epoch, self.journal.cluster_id)
        self.leased: list[int] = []
        capacity = Capacity(1_000_000, 1_000_000, (), 60_000)
        self.turn(ev.NodeGreeted(LINK, Hello(1, 1, 0, "n1", 1, capacity, (3, 11, 9), "0.1")))

    def turn(self, *events: ev.Event) -> None:
        """Make one turn of the driver and commit it."""
        now = ev.Instant(time.monotonic(), time.time())
        made = [effect for event in events for effect in self.core.handle(event, now)]
        made += self.core.schedule(now)
        batch = Batch(self.journal.epoch, now.wall)
        for effect in made:
            if isinstance(effect, Durable):
                batch.add(effect)
            elif isinstance(effect, fx.AssignTask):
                self.leased.append(effect.assignment.lease)
            elif isinstance(effect, fx.Reply) and isinstance(effect.value, Exception):
                raise effect.value
        if batch:
            self._commit(batch)

    def finish(self) -> None:
        """Let the node end everything that it holds."""
        while self.leased:
            leases, self.leased = self.leased, []
            outputs = (OutputValue("y", Value(MSGPACK, 1, b"\x01")),)
            self.turn(ev.NodeSaid(LINK, Result(tuple(Outcome(lease, OK, 1e9, 2.5, outputs) for lease in leases))))

    def submit(self, number: int, tasks: int, *, chained: bool) -> None:
        """Make a workflow of so many tasks and run it."""
        workflow = number.to_bytes(16, "big")
        request = EditRequest([AddTask(_task(n, chained and n > 0)) for n in range(tasks)], [CODE])
        self.turn(
            ev.CreateWorkflow(1, workflow, WorkflowRequest()),
            ev.EditWorkflow(2, workflow, request),
            ev.SubmitRun(3, workflow, RunRequest(format_id(workflow, WORKFLOW))),
        )

    def _commit(self, batch: Batch) -> None:
        done = threading.Event()
        problem: list[BaseException] = []
        self.journal.submit(batch, lambda error: (problem.append(error) if error else None, done.set())[1])
        done.wait()
        if problem:
            raise problem[0]


def _task(number: int, chained: bool) -> TaskBody:
    before = format_id((number - 1 if chained else 0).to_bytes(16, "big"), TASK)
    inputs = {"x": InputBody(source=f"{before}.output.y") if chained else InputBody(value=number)}
    return TaskBody(format_id(number.to_bytes(16, "big"), TASK), name=f"t{number}", code=CODE.hash, inputs=inputs,
                    outputs=["y"])  # fmt: skip


def make_live(directory: Path, tasks: int) -> None:
    """Leave a head that was killed with so many tasks that are not over."""
    history = History(directory)
    for first in range(0, tasks, 5_000):
        history.submit(first + 1, min(5_000, tasks - first), chained=False)
    _kill(history)


def make_sealed(directory: Path, runs: int) -> None:
    """Leave a head that was killed with so many runs that are over."""
    history = History(directory)
    for number in range(1, runs + 1):
        history.submit(number, CHAIN, chained=True)
        history.finish()
    _kill(history)


def _kill(history: History) -> None:
    history.journal.close()


def restart(directory: Path) -> tuple[float, float, float]:
    """Start a head on a copy of the history; return the seconds until it is ready, those of CPU, and resident MB."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        shutil.copytree(directory, state)
        flags = ["--port=0", "--node-port=0", "--blob-port=0", "--event-port=0", f"--state-dir={state}"]
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "maze_head", *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=CLEAN
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"MAZE-READY ")
        took = time.perf_counter() - began
        measured = psutil.Process(process.pid)
        cpu, resident = sum(measured.cpu_times()[:2]), measured.memory_info().rss / 1e6
        process.terminate()
        process.wait()
        process.stdout.close()
        return took, cpu, resident


def measure(make: Callable[[Path], None], repeat: int) -> dict[str, Any]:
    """Make a history and restart on it several times."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "state"
        make(directory)
        times = [restart(directory) for _ in range(repeat)]
        size = (directory / "journal.db").stat().st_size
    seconds, cpu, resident = zip(*times, strict=True)
    return {
        "ready_s": round(statistics.median(seconds), 3),
        "worst_s": round(max(seconds), 3),
        "cpu_s": round(statistics.median(cpu), 3),
        "rss_mb": round(max(resident), 1),
        "journal_mb": round(size / 1e6, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=int, default=10_000)
    parser.add_argument("--sealed", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    record = {
        "machine": describe(),
        "empty": measure(lambda path: make_live(path, 0), given.repeat),
        "live_tasks": {"count": given.live} | measure(lambda path: make_live(path, given.live), given.repeat),
        "sealed_runs": {"count": given.sealed} | measure(lambda path: make_sealed(path, given.sealed), given.repeat),
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
