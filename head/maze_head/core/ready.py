"""Ready queues, one per shape: FIFO by readiness, retried tasks at the front, shapes never block each other.

An entry is one integer, `serial << 64 | run number << 24 | task number`: forty bytes, no object for the garbage
collector, and comparing the heads of two queues tells which has waited longer. Retries get negative serials, the
latest retry the smallest. Entries are not removed when a task is cancelled; the pass drops those that are not ready
any more (a task is never READY with two entries, so no entry can be mistaken for a later one of the same task: what
leaves READY for a while, by adoption, is withdrawn).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator
from heapq import heappop, heappush
from typing import Final

from maze_head.core.graph import Shape

__all__ = ["Queue", "ReadyQueues", "TASK_BITS"]

TASK_BITS: Final = 24
_TASK_MASK: Final = (1 << TASK_BITS) - 1
_KEY_BITS: Final = 64
_KEY_MASK: Final = (1 << _KEY_BITS) - 1


class Queue:
    """The ready tasks of one shape."""

    __slots__ = ("blocked", "entries", "shape", "users")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.entries: deque[int] = deque()
        self.users = 0
        self.blocked = False
        """The last pass left tasks here: no node has room, save those that have gained some since."""

    def head(self) -> tuple[int, int]:
        """Return (run number, task number) of the task that waited longest."""
        return _split(self.entries[0])

    def tasks(self) -> list[tuple[int, int]]:
        """Return (run number, task number) of all entries, in order."""
        return [_split(entry) for entry in self.entries]


def _split(entry: int) -> tuple[int, int]:
    key = entry & _KEY_MASK
    return key >> TASK_BITS, key & _TASK_MASK


class ReadyQueues:
    """All queues, by shape."""

    def __init__(self) -> None:
        self.queues: dict[Shape, Queue] = {}
        self.delayed: list[tuple[float, int, int]] = []
        """A heap of (monotonic time, run number, task number): ready, but not to be tried before."""
        self._back = 0
        self._front = 0

    def use(self, shape: Shape) -> Queue:
        """Return the queue of a shape for one more run."""
        queue = self.queues.get(shape)
        if queue is None:
            queue = self.queues[shape] = Queue(shape)
        queue.users += 1
        return queue

    def leave(self, shape: Shape) -> None:
        """Give up a run's use of a queue; the last one out removes it."""
        queue = self.queues[shape]
        queue.users -= 1
        if not queue.users:
            del self.queues[shape]

    def push(self, queue: Queue, run_no: int, task: int) -> None:
        """Put a newly ready task at the back."""
        self._back += 1
        queue.entries.append(self._back << _KEY_BITS | run_no << TASK_BITS | task)

    def delay(self, until: float, run_no: int, task: int) -> None:
        """Keep a task out of its queue until then."""
        heappush(self.delayed, (until, run_no, task))

    def due(self, now: float) -> Iterator[tuple[int, int]]:
        """Take out the tasks whose pause is over, the earliest first."""
        while self.delayed and self.delayed[0][0] <= now:
            _, run_no, task = heappop(self.delayed)
            yield run_no, task

    def withdraw(self, queue: Queue, keys: Container[tuple[int, int]]) -> None:
        """Take out the entries of tasks that go on without waiting their turn."""
        queue.entries = deque(entry for entry in queue.entries if _split(entry) not in keys)
        # A pass does not look at empty queues: what the next task here may use would go unnoticed.
        queue.blocked = queue.blocked and bool(queue.entries)

    def push_front(self, queue: Queue, run_no: int, task: int) -> None:
        """Put a task that is tried again at the front."""
        self._front -= 1
        queue.entries.appendleft(self._front << _KEY_BITS | run_no << TASK_BITS | task)
