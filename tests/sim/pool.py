"""Virtual workers of one node: they fork, run, report, crash and die, as told by the plan of each task.

A task's plan follows from the seed and the task alone, and its result from its inputs alone: so every attempt of it
anywhere must give the same bytes, and whoever hands over other inputs is found out (I5).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from maze_node.core.effects import Dismiss, Enqueue, Fork, Signal, Start, TakeBack
from maze_node.core.events import TakenBack, WorkerExited, WorkerForked, WorkerReported
from maze_node.frames import LikeFrame, ReportFrame, TaskFrame
from maze_protocol.limits import INLINE_VALUE
from maze_protocol.messages import FAILED, OK, ErrorInfo
from maze_protocol.values import MSGPACK, ObjectKey, ObjectRef, OutputValue, Value, key_of
from sim.clock import Entry
from sim.knobs import Knobs
from support.node_core import whole

NEVER = 1e9
BULK = b"\xa0" * (INLINE_VALUE + 1)


@dataclass(frozen=True)
class Plan:
    """What a task does."""

    seconds: float
    crashes: int = 0
    """So many attempts of it die first; a large number makes it poison."""
    errors: int = 0
    """So many attempts of it fail next."""
    hangs: bool = False
    """It never ends by itself; it has a time limit."""
    stubborn: bool = False
    bulky: bool = False


def plan_of(seed: int, name: str, knobs: Knobs) -> Plan:
    """Return the plan of a task by its name."""
    random = Random(f"{seed}/{name}")
    fate = random.random()
    crashes = 0
    if fate < knobs.poison:
        crashes = 1_000
    elif fate < knobs.poison + knobs.crash_once:
        crashes = random.choice((1, 1, 2))
    seconds = random.choice((0.001, 0.02, knobs.slow_task, knobs.slow_task * random.random()))
    return Plan(
        seconds=0.001 if knobs.tiny and fate < 0.97 else seconds,
        crashes=crashes,
        errors=random.choice((1, 1, 2, 1_000)) if random.random() < knobs.user_error else 0,
        hangs=random.random() < knobs.hang,
        stubborn=random.random() < knobs.stubborn,
        bulky=random.random() < knobs.bulky,
    )


def output_of(name: str, inputs: Sequence[bytes], *, bulky: bool) -> bytes:
    """Return the bytes that a task makes of its inputs."""
    sum_ = zlib.crc32(name.encode())
    for body in inputs:
        sum_ = zlib.crc32(body, sum_)
    body = b"\xce" + sum_.to_bytes(4, "big")
    return body + BULK if bulky else body


class Pool:
    """The workers of one agent."""

    def __init__(self, world: Any, node: Any) -> None:
        self._world = world
        self._node = node
        self._alive: dict[int, None] = {}
        self._tasks: dict[int, tuple[TaskFrame, Entry]] = {}
        self._queues: dict[int, list[TaskFrame]] = {}
        self._told: dict[int, TaskFrame] = {}
        """The last task that each worker was given, taken back or not."""

    def obey(self, effect: Fork | Start | Enqueue | TakeBack | Signal | Dismiss) -> None:
        """Carry out an order of the agent."""
        match effect:
            case Fork(worker):
                slowest = 0.02 if self._world.calm else self._world.knobs.fork_seconds
                self._later(self._world.random.random() * slowest, self._forked, worker)
            case Start(worker, frame):
                self._give(worker, (frame,))
            case Enqueue(worker, frames):
                self._give(worker, frames)
            case TakeBack(worker, leases):
                left = tuple(frame.lease for frame in self._queues.pop(worker, ()))
                assert not left or left == leases[-len(left) :], "the agent knows what it has sent"
                self._node.post(TakenBack(worker, left))
            case Signal(worker, name):
                self._signal(worker, name)
            case Dismiss(worker):
                self._later(0.005, self._die, worker, "", 0)

    def kill_one(self) -> None:
        """Let a busy worker die of something that is not its task's doing."""
        if self._tasks:
            worker = self._world.random.choice(list(self._tasks))
            self._die(worker, "SIGKILL", None)

    def _later(self, delay: float, call: Any, *args: Any) -> Entry:
        return self._world.clock.later(delay, self._node.process, call, *args)

    def _forked(self, worker: int) -> None:
        if self._world.random.random() < self._world.knobs.fork_failure and not self._world.calm:
            self._node.post(WorkerExited(worker))
            return
        self._alive[worker] = None
        self._node.post(WorkerForked(worker, 1_000 + worker))

    def _give(self, worker: int, frames: Sequence[TaskFrame | LikeFrame]) -> None:
        if worker in self._alive:
            tasks = whole(frames, self._told.get(worker))
            self._told[worker] = tasks[-1]
            self._queues.setdefault(worker, []).extend(tasks)
            self._go_on(worker)

    def _go_on(self, worker: int) -> None:
        """Begin what is next, if nothing runs; what is late is told so."""
        queue = self._queues.get(worker)
        while queue and worker not in self._tasks:
            frame = queue.pop(0)
            if 0 < frame.until < self._node.now.mono:
                self._node.post(WorkerReported(worker, ReportFrame(frame.lease, OK, 0.0, late=True)))
            else:
                self._start(worker, frame)

    def _start(self, worker: int, frame: TaskFrame) -> None:
        self._world.watch.worker_begins(self._node, frame)
        plan, attempt = self._world.plan(frame.name), self._world.watch.task_began(self._node, worker, frame)
        if attempt <= plan.crashes:
            entry = self._later(plan.seconds, self._die, worker, "SIGSEGV", None)
        else:
            seconds = NEVER if plan.hangs else plan.seconds
            entry = self._later(seconds, self._report, worker, frame, attempt <= plan.crashes + plan.errors)
        self._tasks[worker] = (frame, entry)

    def _report(self, worker: int, frame: TaskFrame, fails: bool) -> None:
        del self._tasks[worker]
        plan = self._world.plan(frame.name)
        if fails:
            error = ErrorInfo("user", "ValueError", "bad luck")
            self._node.post(WorkerReported(worker, ReportFrame(frame.lease, FAILED, plan.seconds * 1e3, (), error)))
            self._go_on(worker)
            return
        inputs = [self._body(part) for each in frame.inputs for part in each.parts]
        body = output_of(frame.name, inputs, bulky=plan.bulky)
        value = Value(MSGPACK, len(body), body)
        as_object = plan.bulky and bool(frame.spool)
        if as_object:
            self._node.objects[ObjectKey(frame.lease, 0)] = body
            value = Value(MSGPACK, len(body), ref=ObjectRef(frame.lease, 0, len(body), zlib.crc32(body)))
        outputs = (OutputValue("y", value),)
        report = ReportFrame(frame.lease, OK, plan.seconds * 1e3, outputs, objects=int(as_object))
        self._node.post(WorkerReported(worker, report))
        self._go_on(worker)

    def _body(self, part: Value) -> bytes:
        return part.body if part.ref is None else self._node.objects[key_of(part.ref)]

    def _signal(self, worker: int, name: str) -> None:
        if worker not in self._alive:
            return
        random, task = self._world.random, self._tasks.get(worker)
        if name == "SIGTERM" and task is not None and self._world.plan(task[0].name).stubborn:
            return
        # A report that was written before the signal came is still read.
        if task is not None and random.random() < 0.8:
            task[1].cancel()
        self._later(random.random() * self._world.knobs.exit_delay, self._die, worker, name, None)

    def _die(self, worker: int, signal: str, code: int | None) -> None:
        if worker not in self._alive:
            return
        del self._alive[worker]
        self._queues.pop(worker, None)
        task = self._tasks.pop(worker, None)
        if task is not None:
            task[1].cancel()
        self._node.post(WorkerExited(worker, signal, code))
