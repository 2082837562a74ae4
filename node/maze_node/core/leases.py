"""Leases that the node holds and has not finished: waiting behind their grants, or running.

Leases of one grant share its resources one after the other; grants are served in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from maze_node.core.events import WorkerReported
from maze_protocol.messages import HELD_LEASED, HELD_RUNNING, Assignment, Held
from maze_protocol.values import Input

__all__ = ["Ending", "Lease", "Leases"]


class Ending(Enum):
    """Why the agent itself ends an attempt."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    MEMORY = "took more memory than it claimed"
    DEVICE_MEMORY = "took more memory of a GPU than it claimed"
    DRAINED = "the node leaves"
    ABANDONED = "the head was away for too long"
    """Told to the head if it comes back for it."""
    DROPPED = "dropped"
    """The head wants no outcome of it."""


@dataclass(slots=True)
class Lease:
    """One attempt that the head leased to this node."""

    token: int
    assignment: Assignment
    inputs: tuple[Input, ...]
    """With their bodies."""
    worker: int = 0
    """The worker that runs it, 0 while it waits."""
    started_wall: float = 0.0
    started_mono: float = 0.0
    spoke_mono: float = 0.0
    """When it last wrote something, or began."""
    ending: Ending | None = None
    reason: str = ""
    kill_at: float = 0.0
    peak_kib: int = 0
    """The most memory that it was seen to have, if it is watched."""
    excess_mib: int = 0
    """How much it had when it was ended for that."""
    report: WorkerReported | None = None
    """What its worker reported while it was being ended: told once the worker is dead."""

    @property
    def grant(self) -> int:
        """Return the grant whose resources it uses; a lease without one is a grant of its own."""
        return self.assignment.grant or self.assignment.lease

    def exceeded(self, mono: float) -> str:
        """Return which of its time limits a running attempt has exceeded, in words, or nothing."""
        limit, idle = self.assignment.timeout, self.assignment.idle_timeout
        if 0 < limit <= mono - self.started_mono:
            return f"ran longer than its timeout of {limit:g} s"
        if 0 < idle <= mono - self.spoke_mono:
            return f"wrote no output for its idle_timeout of {idle:g} s"
        return ""


class Leases:
    """All of them, by token and by grant."""

    def __init__(self) -> None:
        self._all: dict[int, Lease] = {}
        self._waiting: dict[int, deque[Lease]] = {}
        self._running: dict[int, Lease] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, token: int) -> bool:
        return token in self._all

    def get(self, token: int) -> Lease | None:
        """Return the lease with that token."""
        return self._all.get(token)

    def running(self) -> list[Lease]:
        """Return those that a worker runs."""
        return list(self._running.values())

    @property
    def running_count(self) -> int:
        """Return how many run."""
        return len(self._running)

    def waiting(self) -> list[Lease]:
        """Return those that have not started."""
        return [lease for lease in self._all.values() if not lease.worker]

    def inventory(self) -> Iterator[Held]:
        """Return what HELLO tells about them."""
        for lease in self._all.values():
            yield Held(lease.token, HELD_RUNNING if lease.worker else HELD_LEASED, lease.started_wall)

    def add(self, lease: Lease) -> None:
        """Let a lease wait behind its grant."""
        self._all[lease.token] = lease
        self._waiting.setdefault(lease.grant, deque()).append(lease)

    def next_of_each_grant(self) -> Iterator[Lease]:
        """Yield the first waiting lease of each grant of which none runs, in order."""
        for grant, queue in list(self._waiting.items()):
            if grant not in self._running:
                yield queue[0]

    def has_waiting(self, grant: int) -> bool:
        """Tell whether more leases of this grant wait."""
        return grant in self._waiting

    def uses(self, grant: int) -> bool:
        """Tell whether a lease of this grant runs or waits."""
        return grant in self._running or grant in self._waiting

    def start(self, lease: Lease, worker: int) -> None:
        """Move the first waiting lease of its grant to a worker."""
        queue = self._waiting[lease.grant]
        assert queue[0] is lease, "leases of a grant start in order"
        queue.popleft()
        if not queue:
            del self._waiting[lease.grant]
        lease.worker = worker
        self._running[lease.grant] = lease

    def remove(self, lease: Lease) -> None:
        """Forget a lease, waiting or running."""
        del self._all[lease.token]
        if lease.worker:
            del self._running[lease.grant]
            return
        queue = self._waiting[lease.grant]
        queue.remove(lease)
        if not queue:
            del self._waiting[lease.grant]

    def rename(self, lease: Lease, token: int) -> None:
        """Go on under another token (the head adopted the attempt); its grant outlives the token."""
        del self._all[lease.token]
        lease.token = token
        self._all[token] = lease
