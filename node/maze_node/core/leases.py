"""Leases that the node holds and has not finished: waiting for inputs, behind their grants, ahead, or running.

Rules
* Leases of one grant share its resources one after the other, in the order in which they came; grants are served in
  theirs.
* What lacks inputs waits aside, and has its place when they are here (objects.py, early.py).
* What is ahead is in the queue of the worker that runs a lease of its grant, and follows by itself. It counts as
  running from the moment at which the one before it is over; whether it has begun before that moment, only taking it
  back tells (runner.py). What is to become of it then is its `wish`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from maze_node.core.events import WorkerReported
from maze_protocol.messages import HELD_LEASED, HELD_RUNNING, Assignment, Held
from maze_protocol.values import Input, ObjectRef

__all__ = ["Ending", "Lease", "Leases", "Wish"]


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


class Wish(NamedTuple):
    """What is to become of a lease as soon as it is known whether it has begun."""

    reason: str
    ending: Ending | None = None
    """How to end it if it has begun; None: it goes on."""
    grace: float = 0.0
    release: bool = True
    """Whether to tell the head if it has not."""


class Lease(msgspec.Struct, eq=False):
    """One attempt that the head leased to this node. A struct: one is made for every attempt."""

    token: int
    assignment: Assignment
    inputs: tuple[Input, ...]
    """With their bodies."""
    size: int = 0
    """Of its inputs, in bytes."""
    objects: tuple[ObjectRef, ...] = ()
    """Inputs that are objects, each once."""
    missing: int = 0
    """How many inputs are not here: so long it waits aside."""
    grant: int = 0
    """Whose resources it uses; a lease without one is a grant of its own."""
    number: int = 0
    """Counts leases as they came."""
    worker: int = 0
    """The worker that has it, 0 while it waits."""
    ahead: bool = False
    """Whether its worker has another one to finish before it."""
    wish: Wish | None = None
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

    def __post_init__(self) -> None:
        """Note the grant, which outlives the token."""
        self.grant = self.assignment.grant or self.assignment.lease

    @property
    def runs(self) -> bool:
        """Tell whether it has begun, as far as is known."""
        return self.worker > 0 and not self.ahead

    @property
    def unwanted(self) -> bool:
        """Tell whether nobody wants an outcome of it."""
        return self.ending is Ending.DROPPED or (self.wish is not None and self.wish.ending is Ending.DROPPED)

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
        self._ahead: dict[int, deque[Lease]] = {}
        self._next = 1

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
        """Return those that no worker has."""
        return [lease for lease in self._all.values() if not lease.worker]

    def all_ahead(self) -> list[Lease]:
        """Return those that are in the queue of a worker."""
        return [lease for queue in self._ahead.values() for lease in queue]

    def inventory(self) -> Iterator[Held]:
        """Return what HELLO tells about them. What is ahead has not started, as what waits: both may at any moment."""
        for lease in self._all.values():
            yield Held(lease.token, HELD_RUNNING if lease.runs else HELD_LEASED, lease.started_wall)

    def add(self, lease: Lease) -> None:
        """Let a lease wait behind its grant."""
        lease.number = self._next
        self._next += 1
        self._all[lease.token] = lease
        queue = self._waiting.get(lease.grant)
        if queue is None:
            queue = self._waiting[lease.grant] = deque()
        queue.append(lease)

    def hold(self, lease: Lease) -> None:
        """Take a lease in that does not wait for its turn yet."""
        lease.number = self._next
        self._next += 1
        self._all[lease.token] = lease

    def line_up(self, lease: Lease) -> None:
        """Let a lease that was held wait behind its grant, in the place that it has by its number."""
        queue = self._waiting.setdefault(lease.grant, deque())
        place = next((place for place, other in enumerate(queue) if other.number > lease.number), len(queue))
        queue.insert(place, lease)

    def next_of_each_grant(self) -> list[Lease]:
        """Return the first waiting lease of each grant, in order of the grants."""
        return [queue[0] for queue in self._waiting.values()]

    def waiting_of(self, grant: int) -> Sequence[Lease]:
        """Return the waiting leases of a grant, in order."""
        return self._waiting.get(grant, ())

    def running_of(self, grant: int) -> Lease | None:
        """Return the lease of a grant that runs."""
        return self._running.get(grant)

    def ahead_of(self, grant: int) -> Sequence[Lease]:
        """Return the leases of a grant that are in its worker's queue, in order."""
        return self._ahead.get(grant, ())

    def has_more(self, grant: int) -> bool:
        """Tell whether more leases of this grant are to run."""
        return grant in self._waiting or grant in self._ahead

    def uses(self, grant: int) -> bool:
        """Tell whether a lease of this grant runs, or is to."""
        return grant in self._running or self.has_more(grant)

    def start(self, lease: Lease, worker: int) -> None:
        """Give the first waiting lease of its grant to a worker."""
        self._leave_queue(lease)
        lease.worker = worker
        self._running[lease.grant] = lease

    def send_ahead(self, leases: Sequence[Lease], worker: int) -> None:
        """Put the first waiting leases of a grant into the queue of the worker that runs one of the grant."""
        grant = leases[0].grant
        queue = self._waiting[grant]
        for lease in leases:
            assert queue[0] is lease, "leases of a grant go in order"
            queue.popleft()
            lease.worker, lease.ahead = worker, True
        if not queue:
            del self._waiting[grant]
        self._ahead.setdefault(grant, deque()).extend(leases)

    def _leave_queue(self, lease: Lease) -> None:
        queue = self._waiting[lease.grant]
        assert queue[0] is lease, "leases of a grant start in order"
        queue.popleft()
        if not queue:
            del self._waiting[lease.grant]

    def over(self, lease: Lease) -> None:
        """Forget a lease that ran, and was the first of its grant."""
        del self._all[lease.token]
        del self._running[lease.grant]

    def follow(self, grant: int) -> Lease | None:
        """Let the next lease of a worker's queue run, now that the one before it is over; return it."""
        queue = self._ahead.get(grant)
        if queue is None:
            return None
        lease = queue.popleft()
        if not queue:
            del self._ahead[grant]
        lease.ahead = False
        self._running[grant] = lease
        return lease

    def put_back(self, lease: Lease) -> None:
        """Let a lease wait again that its worker has not begun, in its old place."""
        self._forget_place(lease)
        lease.worker, lease.ahead, lease.started_wall = 0, False, 0.0
        self.line_up(lease)

    def remove(self, lease: Lease) -> None:
        """Forget a lease, wherever it is."""
        del self._all[lease.token]
        self._forget_place(lease)

    def _forget_place(self, lease: Lease) -> None:
        if lease.runs:
            del self._running[lease.grant]
            return
        if lease.missing:
            return
        places = self._ahead if lease.ahead else self._waiting
        queue = places[lease.grant]
        queue.remove(lease)
        if not queue:
            del places[lease.grant]

    def rename(self, lease: Lease, token: int) -> None:
        """Go on under another token (the head adopted the attempt); its grant outlives the token."""
        del self._all[lease.token]
        lease.token = token
        self._all[token] = lease
