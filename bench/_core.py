"""A head's core without a head: nodes that say HELLO, workflows, runs, attempts that end when told. No time is read.

Every call into the core is clocked by the CPU time of this process, apart for `schedule` (the decisions) and `handle`
(everything else); what this module does around them is not. The driver's work (journal, sockets) is not part of it.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Rejected
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.orders import BUILT_IN, find_order
from maze_protocol.http import AddTask, CodeBody, EditRequest, InputBody, Op, RunRequest, TaskBody, WorkflowRequest
from maze_protocol.ids import TASK, WORKFLOW, format_id
from maze_protocol.limits import MAX_OPS_PER_REQUEST
from maze_protocol.messages import OK, Hello, Outcome, Result, Started, StartedItem
from maze_protocol.resources import Capacity, Claim, Device
from maze_protocol.values import MSGPACK, OutputValue, Value

__all__ = ["Cluster", "Placed", "capacity", "function", "orders", "quiet_collector", "task", "task_id"]

FOREVER = 1e15
"""Seconds: nodes of a bench are never silent."""
PYTHON = (3, 11, 9)
GREETINGS_PER_SECOND = 100
"""Below what the head lets in."""

_OUTPUT = (OutputValue("y", Value(MSGPACK, 1, b"\x01")),)


def capacity(cpus: int, mem_gib: int, devices: int = 0, device_gib: int = 0) -> Capacity:
    """Return what a node offers: whole CPUs, GiB of memory, equal GPUs of so many GiB."""
    gpus = tuple(Device(index, 1024 * device_gib) for index in range(devices))
    return Capacity(1000 * cpus, 1024 * mem_gib, gpus, 4 * cpus)


def task_id(number: int) -> str:
    """Return the id of the numbered task; workflows do not share tasks, so they may share ids."""
    return format_id(number.to_bytes(16, "big"), TASK)


def function(name: str) -> CodeBody:
    """Return a function of that name that nobody will ever load."""
    body = f"cloudpickle of {name}".encode()
    return CodeBody(hashlib.blake2b(body, digest_size=16).hexdigest(), "pickle", PYTHON[:2], body, name)


def task(number: int, code: CodeBody, resources: dict[str, float], sources: Sequence[int] = ()) -> TaskBody:
    """Return a task with one output that takes the output of each source."""
    inputs = {f"x{source}": InputBody(source=f"{task_id(source)}.output.y") for source in sources}
    return TaskBody(
        task_id(number), code.name, code.name, code.hash, inputs=inputs, outputs=["y"], resources=resources
    )  # fmt: skip


def orders() -> tuple[str, ...]:
    """Return the names of the orders in which ready tasks may start."""
    return tuple(BUILT_IN)


def quiet_collector() -> None:
    """Leave the collector as a head that has admitted its work leaves it: what stays is frozen, no full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 1 << 30)


@dataclass(frozen=True, slots=True)
class Placed:
    """One decision: this task of this run goes to the node of this link."""

    run_id: bytes
    task: int
    lease: int
    link: bytes
    claim: Claim


@dataclass(slots=True)
class Spent:
    """CPU seconds inside the core, and what they bought."""

    schedule_s: float = 0.0
    handle_s: float = 0.0
    placed: int = 0
    results: int = 0
    turns: int = 0
    slowest_turn_s: float = 0.0


@dataclass(slots=True)
class Cluster:
    """One core and the facts that its nodes would know."""

    order: str = "fcfs"
    mono: float = 1000.0
    spent: Spent = field(default_factory=Spent)
    core: HeadCore = field(init=False)
    _ticket: int = 0

    def __post_init__(self) -> None:
        """Start the core."""
        settings = Settings(
            lost_after=FOREVER, suspect_after=FOREVER, quarantine=False, order=find_order(self.order)
        )  # fmt: skip
        self.core = HeadCore(settings, 1, b"C" * 16)

    @property
    def now(self) -> ev.Instant:
        return ev.Instant(self.mono, 1e9 + self.mono)

    def join(self, capacities: Sequence[Capacity]) -> None:
        """Let nodes n0, n1, … say HELLO, a little after one another."""
        for number, offer in enumerate(capacities):
            name = f"n{number}"
            hello = Hello(1, 2, 0, name, 1, offer, PYTHON, "0", address="10.0.0.1")
            self._handle(ev.NodeGreeted(name.encode(), hello))
            self.mono += 1 / GREETINGS_PER_SECOND
        assert all(node.takes_work for node in self.core.state.nodes.values()), "a node was not let in"
        assert len(self.core.state.nodes) == len(capacities), "a node was refused"

    def workflow(self, workflow_id: bytes, tasks: Sequence[TaskBody], codes: Sequence[CodeBody]) -> None:
        """Make a workflow of these tasks."""
        self.ask(ev.CreateWorkflow, workflow_id, WorkflowRequest(name="bench"))
        for start in range(0, len(tasks), MAX_OPS_PER_REQUEST):
            ops: list[Op] = [AddTask(body) for body in tasks[start : start + MAX_OPS_PER_REQUEST]]
            self.ask(ev.EditWorkflow, workflow_id, EditRequest(ops, list(codes)))

    def submit(self, run_id: bytes, workflow_id: bytes, **given: Any) -> None:
        """Run a workflow."""
        self.ask(ev.SubmitRun, run_id, RunRequest(format_id(workflow_id, WORKFLOW), **given))

    def ask(self, make: Any, *arguments: Any) -> None:
        """Send a command.

        Raises:
            Rejected: the core refused it.
        """
        self._ticket += 1
        for effect in self._handle(make(self._ticket, *arguments)):
            if isinstance(effect, fx.Reply) and isinstance(effect.value, Rejected):
                raise effect.value

    def tick(self) -> None:
        """Let the core judge what time alone brings about."""
        self._handle(ev.Ticked())

    def finish(self, ended: Sequence[Placed], wall_ms: Sequence[float]) -> None:
        """Report that attempts succeeded, one RESULT per node, as nodes do at the end of their turn."""
        by_link: dict[bytes, list[Outcome]] = {}
        for one, lasted in zip(ended, wall_ms, strict=True):
            outcome = Outcome(one.lease, OK, self.now.wall - lasted / 1000, lasted, _OUTPUT)
            by_link.setdefault(one.link, []).append(outcome)
        self._hear([ev.NodeSaid(link, Result(tuple(outcomes))) for link, outcomes in by_link.items()])
        self.spent.results += len(ended)

    def start(self, placed: Sequence[Placed]) -> None:
        """Report that attempts run, one STARTED per node."""
        by_link: dict[bytes, list[StartedItem]] = {}
        for one in placed:
            by_link.setdefault(one.link, []).append(StartedItem(one.lease, self.now.wall))
        self._hear([ev.NodeSaid(link, Started(tuple(items))) for link, items in by_link.items()])

    def _hear(self, said: Sequence[ev.NodeSaid]) -> None:
        now, handle = self.now, self.core.handle
        started = time.process_time_ns()
        for event in said:
            handle(event, now)
        self.spent.handle_s += (time.process_time_ns() - started) / 1e9

    def schedule(self) -> list[Placed]:
        """Run one placement pass and return its decisions."""
        now = self.now
        started = time.process_time_ns()
        effects = self.core.schedule(now)
        seconds = (time.process_time_ns() - started) / 1e9
        placed = [self._placed(effect) for effect in effects if isinstance(effect, fx.AssignTask)]
        self.spent.schedule_s += seconds
        self.spent.slowest_turn_s = max(self.spent.slowest_turn_s, seconds)
        self.spent.turns += 1
        self.spent.placed += len(placed)
        return placed

    @staticmethod
    def _placed(effect: fx.AssignTask) -> Placed:
        assigned = effect.assignment
        number = int.from_bytes(assigned.task, "big")
        return Placed(assigned.run, number, assigned.lease, effect.link, assigned.claim)

    def _handle(self, event: ev.Event) -> list[fx.Effect]:
        now = self.now
        started = time.process_time_ns()
        effects = self.core.handle(event, now)
        self.spent.handle_s += (time.process_time_ns() - started) / 1e9
        return effects
