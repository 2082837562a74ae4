"""What it costs the head to take in a big workflow and to start a run of it: CPU µs per task, and the longest turn.

    python bench/admission.py [--tasks 10000] [--part 1000] [--sources 0] [--rounds 7] [--full] [--profile]

The real parser and core in this process, one request after the other in parts as the SDK sends them; without sockets,
event loop and disk. Each request is a turn, in which the head hears nobody; it is parsed before, large ones in a
thread, which holds the interpreter all the same. With `--sources` each task takes the outputs of so many tasks before
it; with `--full` each repeats what its function declares, as SDKs did before `add_alike`. Every figure is the smallest
of the rounds, of CPU time. `--profile` prints instead where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import time
from typing import Any

import msgspec
from _core import capacity, function, quiet_collector, task_id
from _machine import describe

from maze._remote import PART_OPS
from maze_head.api.bodies import parse
from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Rejected
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_protocol.graph import format_reference
from maze_protocol.http import (
    AddAlike,
    AddTask,
    EditRequest,
    EncodedValue,
    InputBody,
    Op,
    RunRequest,
    TaskBody,
    WorkflowRequest,
)
from maze_protocol.ids import WORKFLOW, format_id
from maze_protocol.messages import Hello
from maze_protocol.values import MSGPACK

CODE = function("identity")
WORKFLOW_ID, RUN_ID = b"w" * 16, b"r" * 16
NOW = ev.Instant(1000.0, 1e9)


def requests(tasks: int, part: int, sources: int, *, full: bool = False) -> list[bytes]:
    """Return the edits that bring so many tasks, as the SDK writes them."""
    written = []
    for revision, first in enumerate(range(0, tasks, part)):
        ops: list[Op] = []
        for number in range(first, min(tasks, first + part)):
            task = _task(number, sources)
            ops.append(AddAlike(0, task.task_id, task.inputs) if ops and not full else AddTask(task))
        request = EditRequest(ops, [] if revision else [CODE], revision, f"edit {revision}")
        written.append(msgspec.msgpack.encode(request))
    return written


def _task(number: int, sources: int) -> TaskBody:
    before = range(max(0, number - sources), number)
    inputs = {f"x{source}": InputBody(source=format_reference(task_id(source), "y")) for source in before}
    inputs["x"] = InputBody(encoded=EncodedValue(MSGPACK, msgspec.msgpack.encode(number)))
    return TaskBody(task_id(number), CODE.name, CODE.name, CODE.hash, inputs, ["y"])


class Intake:
    """A head that takes in one workflow, and the CPU seconds of each request by what was done."""

    def __init__(self) -> None:
        self.core = HeadCore(Settings(), 1, b"C" * 16)
        self.spent: dict[str, list[float]] = {}
        hello = Hello(1, 1, 0, "n1", 1, capacity(2, 4), (3, 11, 9), "0.1")
        self._turn("join", ev.NodeGreeted(b"link", hello))
        self._turn("create", ev.CreateWorkflow(1, WORKFLOW_ID, WorkflowRequest()))

    def edit(self, body: bytes) -> None:
        """Take in one request."""
        began = time.thread_time()
        request = parse(body, EditRequest, msgpack=True)
        self._note("parse", began)
        self._turn("edit", ev.EditWorkflow(2, WORKFLOW_ID, request))

    def submit(self) -> int:
        """Start a run; return of how many tasks."""
        effects = self._turn("submit", ev.SubmitRun(3, RUN_ID, RunRequest(format_id(WORKFLOW_ID, WORKFLOW))))
        return next(effect.value.tasks for effect in effects if isinstance(effect, fx.Reply))

    def _turn(self, step: str, event: ev.Event) -> list[fx.Effect]:
        began = time.thread_time()
        effects = [*self.core.handle(event, NOW), *self.core.schedule(NOW)]
        self._note(step, began)
        for effect in effects:
            if isinstance(effect, fx.Reply) and isinstance(effect.value, Rejected):
                raise effect.value
        return effects

    def _note(self, step: str, began: float) -> None:
        self.spent.setdefault(step, []).append(time.thread_time() - began)


def one_round(bodies: list[bytes], tasks: int) -> dict[str, list[float]]:
    """Take in all of it and run it; return the CPU seconds of each request by step."""
    intake = Intake()
    for body in bodies:
        intake.edit(body)
    started = intake.submit()
    assert started == tasks, f"{started} of {tasks} tasks were started"
    return {step: intake.spent[step] for step in ("parse", "edit", "submit")}


def measured(tasks: int, bodies: list[bytes], rounds: int) -> dict[str, Any]:
    """Return the smallest figures of some rounds."""
    found = []
    for _ in range(rounds):
        quiet_collector()
        found.append(one_round(bodies, tasks))
        gc.unfreeze()
    whole = {step: min(sum(one[step]) for one in found) for step in found[0]}
    together = min(sum(map(sum, one.values())) for one in found)
    return {
        "bytes_per_task": round(sum(map(len, bodies)) / tasks, 1),
        "us_per_task": {step: round(1e6 * spent / tasks, 2) for step, spent in {**whole, "all": together}.items()},
        "longest_ms": {step: round(1e3 * min(max(one[step]) for one in found), 1) for step in found[0]},
    }


def profile(tasks: int, bodies: list[bytes]) -> None:
    """Print where the time goes."""
    quiet_collector()
    with cProfile.Profile() as profiler:
        one_round(bodies, tasks)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tasks", 10_000), ("part", PART_OPS), ("sources", 0), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    size = {"tasks": given.tasks, "part": given.part, "sources": given.sources, "full": given.full}
    bodies = requests(**size)
    if given.profile:
        profile(given.tasks, bodies)
        return
    found = measured(given.tasks, bodies, given.rounds)
    print(json.dumps({"bench": "admission", **describe(), **size, **found}, indent=2))


if __name__ == "__main__":
    main()
