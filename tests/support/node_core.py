"""Drives the pure agent by hand: a clock that moves when told, effects collected, builders of what the head says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from maze_node.core.agent import STARTED_AFTER, Agent
from maze_node.core.effects import Discard, Effect, Enqueue, Fork, Load, Send, Spill, Start, TakeBack
from maze_node.core.events import (
    NO_OUTPUT,
    Event,
    Instant,
    Loaded,
    LogTails,
    Said,
    Spilled,
    TakenBack,
    Ticked,
    Welcomed,
    WorkerForked,
    WorkerReported,
)
from maze_node.frames import LikeFrame, ReportFrame, TaskFrame
from maze_protocol.messages import (
    OK,
    Assign,
    Assignment,
    Code,
    ErrorInfo,
    Heartbeat,
    HeartbeatAck,
    Message,
    NodeLoad,
    OutputDecl,
    Welcome,
)
from maze_protocol.resources import Capacity, Claim, Device
from maze_protocol.values import Input, OutputValue, Value

E = TypeVar("E")
CAPACITY = Capacity(4000, 8000, (Device(0, 1000), Device(1, 1000)), 8)
CODE = Code(b"h" * 16, "pickle", (3, 11), Value(1, 4, b"body"), "task")


def make_assignment(lease: int, **fields: Any) -> Assignment:
    fields = {
        "grant": lease, "run": b"r" * 16, "task": b"t" * 16, "attempt": 1, "name": "task",
        "code": CODE.hash, "inputs": (Input("x", None, (Value(0, 1, b"\x01"),)),), "outputs": (OutputDecl("out"),),
        "claim": Claim(1000, 0),
    } | fields  # fmt: skip
    return Assignment(lease=lease, **fields)


class Rig:
    """An agent, its clock, all that it ordered. Workers appear and heartbeats are answered at once, unless told not.

    Workers have begun nothing of what is ahead in their queues, but for the leases in `begun`.
    """

    def __init__(
        self, capacity: Capacity = CAPACITY, *, auto_fork: bool = True, welcome: bool = True, **options: Any
    ) -> None:
        self.answers = True
        self.disk: dict[int, bytes] = {}
        self.disk_full = False
        self.begun: set[int] = set()
        self.agent = Agent(capacity, **options)
        self.mono = 1000.0
        self.auto_fork = auto_fork
        self.effects: list[Effect] = []
        if welcome:
            self.welcome()
            self.said(CODE)
            self.effects.clear()

    @property
    def now(self) -> Instant:
        return Instant(self.mono, 1e9 + self.mono)

    def welcome(self, **fields: Any) -> None:
        values = {
            "major": 1, "minor": 0, "session": 1, "epoch": 1, "cluster_id": b"c", "heartbeat": 1.0,
            "suspect_after": 3.0, "lease_ttl": 10.0, "orphan_timeout": 600.0,
        } | fields  # fmt: skip
        self.do(Welcomed(Welcome(**values)))

    def do(self, *events: Event) -> list[Effect]:
        """One turn with these events; return what it ordered."""
        before = len(self.effects)
        for event in events:
            self._collect(self.agent.handle(event, self.now))
        self._collect(self.agent.start(self.now))
        self._collect(self.agent.flush(self.now))
        if self.agent.unsaid:
            later = Instant(self.mono, self.now.wall + STARTED_AFTER)
            self._collect(self.agent.flush(later))
        return self.effects[before:]

    def _collect(self, effects: list[Effect]) -> None:
        self.effects += effects
        for beat in of(effects, Heartbeat) if self.answers else []:
            self._collect(self.agent.handle(Said(HeartbeatAck(beat.sent_at)), self.now))
        for effect in effects:
            self._obey_disk(effect)
        for effect in of(effects, TakeBack):
            self._take_back(effect)
        forks = [effect.worker for effect in effects if isinstance(effect, Fork)] if self.auto_fork else []
        for worker in forks:
            self._collect(self.agent.handle(WorkerForked(worker, 5000 + worker), self.now))
        if forks:
            self._collect(self.agent.start(self.now))

    def _take_back(self, effect: TakeBack) -> None:
        begun = [place for place, lease in enumerate(effect.leases, 1) if lease in self.begun]
        left = effect.leases[begun[-1] if begun else 0 :]
        self._collect(self.agent.handle(TakenBack(effect.worker, left), self.now))
        self._collect(self.agent.start(self.now))

    def _obey_disk(self, effect: Effect) -> None:
        if isinstance(effect, Spill):
            if not self.disk_full:
                self.disk[effect.number] = effect.data
            self._collect(self.agent.handle(Spilled(effect.number, not self.disk_full), self.now))
        elif isinstance(effect, Load):
            self._collect(self.agent.handle(Loaded(effect.number, self.disk[effect.number]), self.now))
            self._collect(self.agent.flush(self.now))
        elif isinstance(effect, Discard):
            self.disk.pop(effect.number, None)

    def said(self, message: Message, payloads: tuple[bytes, ...] = ()) -> list[Effect]:
        return self.do(Said(message, payloads))

    def assign(self, *items: Assignment) -> list[Effect]:
        return self.said(Assign(items))

    def tick(self, seconds: float = 0.0, spoke: tuple[int, ...] = ()) -> list[Effect]:
        self.mono += seconds
        return self.do(Ticked(NodeLoad(), spoke))

    def report(
        self,
        worker: int,
        lease: int,
        status: int = OK,
        tails: LogTails = NO_OUTPUT,
        unclean: str = "",
        *,
        late: bool = False,
    ) -> list[Effect]:
        outputs = (OutputValue("out", Value(0, 1, b"\x01")),) if status == OK else ()
        error = None if status == OK else ErrorInfo("user", "ValueError", "bad")
        report = ReportFrame(lease, status, 1.0, outputs, error, unclean=unclean, late=late)
        return self.do(WorkerReported(worker, report, tails))

    def all(self, kind: type[E]) -> list[E]:
        """Return every effect of a kind, or every message of that type that was sent."""
        return of(self.effects, kind)

    def worker_of(self, lease: int) -> int:
        return next(worker for worker, frame in reversed(self.given()) if frame.lease == lease)

    def given(self) -> list[tuple[int, TaskFrame]]:
        """Return every task that a worker was given, with the worker: to be begun at once, or ahead."""
        found: list[tuple[int, TaskFrame]] = []
        for effect in self.effects:
            if isinstance(effect, (Start, Enqueue)):
                frames = (effect.frame,) if isinstance(effect, Start) else effect.frames
                told = next((frame for worker, frame in reversed(found) if worker == effect.worker), None)
                found += ((effect.worker, frame) for frame in whole(frames, told))
        return found


def of(effects: list[Effect], kind: type[E]) -> list[E]:
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    return [each for each in (*effects, *sent) if isinstance(each, kind)]


def whole(frames: Sequence[TaskFrame | LikeFrame], told: TaskFrame | None) -> list[TaskFrame]:
    """Return tasks as their worker understands them; `told` is the one before them."""
    found: list[TaskFrame] = []
    for frame in frames:
        if isinstance(frame, LikeFrame):
            assert told is not None, "the first one is told whole"
            own = {name: getattr(frame, name) for name in ("lease", "inputs", "task", "attempt", "until", "objects")}
            frame = msgspec.structs.replace(told, fresh=None, forget=(), environ={}, **own)
        found.append(frame)
        told = frame
    return found
