"""The worker processes: which exist, which are idle, bound to what, and which must go.

A worker is forked unbound. Its first task binds it (slots.Binding) for life, so a task takes an idle worker of its
binding, else an unbound one, else asks for a fork, else sends an idle one of another binding away to make room.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from maze_node.core.leases import Lease
from maze_node.core.slots import Binding
from maze_node.frames import TaskFrame

__all__ = ["Roster", "Stage", "Worker"]

MAX_CODES: Final = 128
"""Functions kept by one worker; the agent decides which, the worker obeys."""


class Stage(Enum):
    """What a worker is doing."""

    FORKING = "forking"
    IDLE = "idle"
    BUSY = "busy"
    LEAVING = "leaving"


@dataclass(slots=True)
class Worker:
    """One worker process, from the order to fork it until it is reaped."""

    number: int
    stage: Stage = Stage.FORKING
    pid: int = 0
    binding: Binding | None = None
    lease: Lease | None = None
    holds: int = 0
    """The grant whose resources it keeps until it is dead, or 0."""
    told: TaskFrame | None = None
    """The last task that it was sent as a whole."""
    codes: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    idle_since: float = 0.0
    asked: bool = False
    """What is ahead in its queue is being taken back."""
    closed: bool = False
    """What was ahead was taken back, and nothing goes ahead to it before its next report."""
    doomed: bool = False
    """It dies with its spawner: what it reports still counts, but it gets no task any more."""
    kill_at: float = 0.0

    @property
    def takes_ahead(self) -> bool:
        """Tell whether more may be sent to it than it runs."""
        return not (self.asked or self.closed or self.doomed)

    def learn(self, code: bytes) -> tuple[bool, tuple[bytes, ...]]:
        """Note that the worker is told a function; return (whether it is new to it, which ones it shall forget)."""
        new = code not in self.codes
        self.codes[code] = None
        self.codes.move_to_end(code)
        forget = []
        while len(self.codes) > MAX_CODES:
            forget.append(self.codes.popitem(last=False)[0])
        return new, tuple(forget)


class Roster:
    """All workers by number."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._next = 1
        self._all: dict[int, Worker] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, number: int) -> Worker | None:
        """Return the worker with that number."""
        return self._all.get(number)

    def all(self) -> list[Worker]:
        """Return every worker, oldest first."""
        return list(self._all.values())

    def in_stage(self, stage: Stage) -> list[Worker]:
        """Return the workers of a stage, oldest first."""
        return [worker for worker in self._all.values() if worker.stage is stage]

    def hire(self) -> Worker | None:
        """Return a new worker to be forked, or None at the limit."""
        if len(self._all) >= self.limit:
            return None
        worker = Worker(self._next)
        self._next += 1
        self._all[worker.number] = worker
        return worker

    def remove(self, number: int) -> Worker | None:
        """Forget a dead worker."""
        return self._all.pop(number, None)

    def pick(self, binding: Binding) -> Worker | None:
        """Return an idle worker for that binding: one that has it, else an unbound one."""
        unbound = None
        for worker in self._all.values():
            if worker.stage is Stage.IDLE:
                if worker.binding == binding:
                    return worker
                if worker.binding is None and unbound is None:
                    unbound = worker
        return unbound

    def spare(self) -> Worker | None:
        """Return the idle worker that is missed least when room is needed, or None."""
        idle = self.in_stage(Stage.IDLE)
        return min(idle, key=lambda worker: worker.idle_since, default=None)
