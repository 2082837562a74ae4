"""Steps of the head and of the worker by themselves: the real modules in this process, in batches, CPU time only.

The journal has a thread, so its time is that of the process; everything else is that of this thread. Sockets, HTTP and
event loops are not part of it.
"""

from __future__ import annotations

import gc
import hashlib
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import msgspec
from _core import quiet_collector

from maze._remote import PART_OPS
from maze_head.api.bodies import parse
from maze_head.api.encoder import encode_segment
from maze_head.api.frames import framed
from maze_head.api.render import LOG, GraphNames
from maze_head.assign import pack_assignments
from maze_head.batch import Batch, Durable
from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.journal import PROCESS, Journal
from maze_node.attempt import Kind, run_attempt
from maze_node.frames import LikeFrame, TaskFrame, decode_task, encode_frame
from maze_node.meter import Meter
from maze_node.surroundings import Surroundings
from maze_protocol.codec import Envelope
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.http import (
    AddAlike,
    AddTask,
    CodeBody,
    EditRequest,
    EncodedValue,
    InputBody,
    Op,
    RunRequest,
    TaskBody,
    WorkflowRequest,
)
from maze_protocol.ids import RUN, TASK, WORKFLOW, format_id
from maze_protocol.messages import OK, Hello, Outcome, Result
from maze_protocol.resources import Capacity
from maze_protocol.values import MSGPACK, OutputValue, Value

__all__ = ["alone"]

LINK = b"link"
SOURCE = b"cloudpickle of a function"
CODE = CodeBody(hashlib.blake2b(SOURCE, digest_size=16).hexdigest(), "pickle", (3, 11), SOURCE, "f")
WORKFLOW_ID, RUN_ID = b"w" * 16, b"r" * 16
OUTPUT = (OutputValue("x", Value(MSGPACK, 1, b"\x01")),)
_DURABLE = get_args(Durable)


class Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    @contextmanager
    def on(self, step: str, now: Callable[[], float] = time.thread_time) -> Iterator[None]:
        began = now()
        yield
        self.spent[step] += now() - began


class Way:
    """A head's core and journal, and a node with room for one batch."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.clock = Clock()
        self.journal = Journal.open(folder, PROCESS, time.time())
        self.core = HeadCore(Settings(), self.journal.epoch, self.journal.cluster_id)
        self.names: GraphNames | None = None
        self.session = 1
        capacity = Capacity(1000 * batch, 1_000_000, (), batch)
        self._turn([ev.NodeGreeted(LINK, Hello(1, 1, 0, "n1", 1, capacity, (3, 11, 9), "0.1"))], "")

    def submit(self, tasks: int) -> None:
        """Make a workflow of so many tasks, in parts as the SDK sends them, and run it."""
        self._turn([ev.CreateWorkflow(1, WORKFLOW_ID, WorkflowRequest())], "")
        for first in range(0, tasks, PART_OPS):
            ops: list[Op] = [AddTask(_task(first))]
            ops += [AddAlike(0, _id(each), _inputs(each)) for each in range(first + 1, min(tasks, first + PART_OPS))]
            body = msgspec.msgpack.encode(EditRequest(ops, [CODE]))
            with self.clock.on("submit parse"):
                request = parse(body, EditRequest, msgpack=True)
            self._turn([ev.EditWorkflow(2, WORKFLOW_ID, request)], "admit")
        self.leased = self._turn([ev.SubmitRun(3, RUN_ID, RunRequest(format_id(WORKFLOW_ID, WORKFLOW)))], "admit")

    def finish(self) -> int:
        """Let all that the node has succeed; return how many those were."""
        leased, self.leased = self.leased, []
        message = Result(tuple(Outcome(each.assignment.lease, OK, 1e9, 0.01, OUTPUT) for each in leased))
        frames = encode_frames(Envelope(1, 1, 1, message))
        with self.clock.on("receive and decode"):
            found = decode_frames(frames)
        assert found is not None
        self.leased = self._turn([ev.NodeSaid(LINK, found[0].message, found[1])], "result")
        return len(leased)

    def _turn(self, events: list[ev.Event], step: str) -> list[fx.AssignTask]:
        now = ev.Instant(time.monotonic(), time.time())
        with self.clock.on(step):
            made = [effect for event in events for effect in self.core.handle(event, now)]
        with self.clock.on("decide"):
            made += self.core.schedule(now)
        for effect in made:
            if isinstance(effect, fx.Reply) and isinstance(effect.value, Exception):
                raise effect.value
        with self.clock.on("turn"):
            batch = Batch(self.journal.epoch, now.wall)
            for effect in made:
                if isinstance(effect, _DURABLE):
                    batch.add(effect)
        if batch:
            self._commit(batch)
        return self._encode([effect for effect in made if isinstance(effect, fx.AssignTask)])

    def _commit(self, batch: Batch) -> None:
        done = threading.Event()
        with self.clock.on("journal", time.process_time):
            self.journal.submit(batch, lambda error: done.set())
            assert done.wait(60)
        for fact in batch.facts:
            if isinstance(fact, fx.SaveGraph):
                self.names = GraphNames(
                    format_id(RUN_ID, RUN),
                    format_id(WORKFLOW_ID, WORKFLOW),
                    self.core.state.graphs[fact.workflow_id, fact.version],
                )
        outputs = {accept.task_no: accept.outputs for accept in batch.accepted}
        for _, segment in batch.segments():
            assert self.names is not None, "a run before its graph"
            with self.clock.on("event"):
                framed(encode_segment(segment, self.names, outputs, LOG).pieces, LOG)

    def _encode(self, assigned: list[fx.AssignTask]) -> list[fx.AssignTask]:
        with self.clock.on("encode"):
            for message, payloads in pack_assignments(assigned, lambda run, task: ()):
                encode_frames(Envelope(1, 1, 1, message), payloads)
        return assigned


def _task(number: int) -> TaskBody:
    return TaskBody(_id(number), "f", "f", CODE.hash, _inputs(number), ["x"])


def _id(number: int) -> str:
    return format_id(number.to_bytes(16, "big"), TASK)


def _inputs(number: int) -> dict[str, InputBody]:
    return {"x": InputBody(encoded=EncodedValue(MSGPACK, msgspec.msgpack.encode(number)))}


def _worker(clock: Clock, tasks: int, leased: fx.AssignTask) -> None:
    """Run so many attempts as a worker does, without its socket."""
    given = leased.assignment
    kind = Kind(TaskFrame(1, "f", b"c", None, (), given.inputs, given.outputs, True, {}))
    body = encode_frame(LikeFrame(1, given.inputs, b"t" * 16, 1, 0.0))[4:]
    surroundings, meter = Surroundings(), Meter()
    with clock.on("worker"):
        for _ in range(tasks):
            encode_frame(run_attempt(kind, decode_task(body), lambda code: _no_op, surroundings, meter))


def _no_op(params: dict[str, Any]) -> dict[str, Any]:
    return {"x": params["x"]}


def alone(batch: int, tasks: int) -> dict[str, float]:
    """Return the CPU µs per task of each step, and of all together."""
    with tempfile.TemporaryDirectory() as folder:
        way = Way(Path(folder), batch)
        way.clock.spent.clear()
        quiet_collector()
        way.submit(tasks)
        one, finished = way.leased[0], 0
        while way.leased:
            finished += way.finish()
        way.journal.close()
    assert finished == tasks, f"{finished} of {tasks} tasks came to an end"
    gc.unfreeze()
    way.clock.spent.pop("", None)
    _worker(way.clock, min(tasks, 2_000), one)
    way.clock.spent["worker"] *= tasks / min(tasks, 2_000)
    found = {step: round(1e6 * seconds / tasks, 2) for step, seconds in way.clock.spent.items()}
    return {**found, "together": round(sum(found.values()), 2)}
