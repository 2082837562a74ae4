"""Ready queues: one per shape, project and place; within a queue, lanes. Nobody blocks another queue.

* A *queue* holds tasks that any node with room for their shape may take: equal for all of them. Tasks that are bound to
  a node (`pin`), or that keep apart from others of their run (`group`: the run's number), have queues of their own.
* A *lane* holds tasks of a queue that wait first-in-first-out: their ranks differ only by the time of readiness. So
  only the head of each lane has a rank, in a heap per queue, and a million alike tasks cost one entry there.
* Tasks that are tried again wait in a lane before all others, the latest first.

An entry is one integer, `serial << 64 | run number << 24 | task number`: forty bytes, no object for the garbage
collector. Retries get negative serials. Entries are not removed when a task is cancelled; the pass drops those that are
not ready any more (a task is never READY with two entries, so no entry can be mistaken for a later one of the same
task: what leaves READY for a while, by adoption, is withdrawn).

Ranks come from the discipline, lower first. A heap entry that no longer says what its lane does is dropped when it is
met: ranks change for whole lanes, and rarely. Of a queue with one lane only, the rank of what comes next is asked for
when somebody compares it: until then there is nobody before whom it might come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from maze_head.core.graph import Shape

if TYPE_CHECKING:
    from maze_head.core.candidates import Candidates
    from maze_head.core.leases import Grant
    from maze_head.core.reservation import Reservation

__all__ = ["Place", "Queue", "ReadyQueues", "TASK_BITS"]

TASK_BITS: Final = 24
_TASK_MASK: Final = (1 << TASK_BITS) - 1
_KEY_BITS: Final = 64
_KEY_MASK: Final = (1 << _KEY_BITS) - 1
_NEXT: Final = 1 << _KEY_BITS
"""From an entry to one of the next serial."""
_FRONT: Final = object()
_STALE: Final = 64
"""How many more entries than twice its lanes a heap may have before it is made anew."""

RankOf = Callable[[int, int], float]
"""The rank of a task, by run number and task number."""


class Place(NamedTuple):
    """What the tasks of one queue have in common."""

    shape: Shape
    project: str = ""
    pin: str = ""
    """The node that they must run on, or empty."""
    group: int = 0
    """The run of tasks that keep apart from each other, or 0."""


class _Lane:
    __slots__ = ("entries", "key", "rank", "run_no")

    def __init__(self, key: Hashable, run_no: int, rank: float) -> None:
        self.key = key
        self.run_no = run_no
        """Of its first task; where ranks move with a run, that of all of them."""
        self.entries: deque[int] = deque()
        self.rank = rank

    def __lt__(self, other: _Lane) -> bool:
        # Two entries of one heap that agree in rank and serial are of one lane.
        return False


class Queue:
    """The ready tasks of one place."""

    __slots__ = (
        "_rank_of", "_unranked", "candidates", "deep", "grants", "heap", "lanes", "of_run", "place", "reservation",
        "served_at", "shape", "users",
    )  # fmt: skip

    def __init__(self, place: Place, candidates: Candidates, rank_of: RankOf) -> None:
        self.place = place
        self.shape = place.shape
        self.candidates = candidates
        self._rank_of = rank_of
        self.grants: dict[int, Grant] = {}
        """Those behind which more of its tasks may queue, by id."""
        self.deep = _is_deep(place)
        """Its tasks may queue behind grants."""
        self.lanes: dict[Hashable, _Lane] = {}
        self.of_run: dict[int, dict[Hashable, _Lane]] = {}
        self.heap: list[tuple[float, int, _Lane]] = []
        self._unranked = False
        """The only entry of the heap tells of what was the first of its lane before."""
        self.users = 0
        self.served_at = -inf
        """When a task of this queue last found room that was not kept for it."""
        self.reservation: Reservation | None = None

    def __len__(self) -> int:
        return sum(len(lane.entries) for lane in self.lanes.values())

    def best(self) -> tuple[float, int] | None:
        """Return rank and serial of the task whose turn it is, comparable with those of other queues."""
        if self._unranked:
            self._rank_first()
        heap = self.heap
        while heap:
            rank, serial, lane = heap[0]
            if lane.rank == rank and lane.entries and lane.entries[0] >> _KEY_BITS == serial:
                return rank, serial
            heappop(heap)
        return None

    def first(self) -> tuple[int, int] | None:
        """Return (run number, task number) of the task whose turn it is."""
        if self._unranked or self.best() is not None:
            key = self.heap[0][2].entries[0] & _KEY_MASK
            return key >> TASK_BITS, key & _TASK_MASK
        return None

    def head(self) -> tuple[int, int]:
        """Return (run number, task number) of the task whose turn it is; there is one."""
        first = self.first()
        assert first is not None, "nobody waits in this queue"
        return first

    def pop(self) -> None:
        """Take out the task whose turn it is; `first` told it."""
        _, _, lane = self.heap[0]
        entries = lane.entries
        entries.popleft()
        if not entries:
            heappop(self.heap)
            self._unranked = False
            self._close(lane)
        elif len(self.heap) == 1:
            self._unranked = True
        else:
            self._rank_first()

    def _rank_first(self) -> None:
        """Say in the heap what the lane at its top has first now."""
        self._unranked = False
        lane = self.heap[0][2]
        entry = lane.entries[0]
        if lane.key is not _FRONT:
            lane.rank = self._rank_of(*_split(entry))
        heapreplace(self.heap, (lane.rank, entry >> _KEY_BITS, lane))

    def append(self, key: Hashable, entry: int) -> None:
        """Put a task at the end of its lane."""
        (self.lanes.get(key) or self._begin(key, entry)).entries.append(entry)

    def extend(self, key: Hashable, entries: Sequence[int]) -> None:
        """Put tasks at the end of their lane, in order."""
        (self.lanes.get(key) or self._begin(key, entries[0])).entries.extend(entries)

    def _begin(self, key: Hashable, entry: int) -> _Lane:
        run_no, task = _split(entry)
        lane = self._open(_Lane(key, run_no, self._rank_of(run_no, task)))
        self._push(lane, entry)
        return lane

    def _push(self, lane: _Lane, entry: int) -> None:
        if self._unranked:
            self._rank_first()
        heappush(self.heap, (lane.rank, entry >> _KEY_BITS, lane))

    def prepend(self, entry: int) -> None:
        """Put a task before all others."""
        lane = self.lanes.get(_FRONT)
        if lane is None:
            lane = self._open(_Lane(_FRONT, 0, -inf))
        self._push(lane, entry)
        lane.entries.appendleft(entry)

    def _open(self, lane: _Lane) -> _Lane:
        self.lanes[lane.key] = lane
        self.of_run.setdefault(lane.run_no, {})[lane.key] = lane
        return lane

    def _close(self, lane: _Lane) -> None:
        del self.lanes[lane.key]
        siblings = self.of_run[lane.run_no]
        del siblings[lane.key]
        if not siblings:
            del self.of_run[lane.run_no]

    def rerank(self) -> None:
        """Compute the ranks of all lanes anew."""
        for lane in self.lanes.values():
            if lane.key is not _FRONT:
                lane.rank = self._rank_of(*_split(lane.entries[0]))
        self._rebuild()

    def rerank_run(self, run_no: int) -> None:
        """Compute the ranks of one run's lanes anew."""
        for lane in self.of_run.get(run_no, {}).values():
            head = lane.entries[0]
            lane.rank = self._rank_of(*_split(head))
            self._push(lane, head)
        # Entries that no longer say what their lane does sink: without this a run that moves often would fill the heap.
        if len(self.heap) > 2 * len(self.lanes) + _STALE:
            self._rebuild()

    def withdraw(self, keys: Container[tuple[int, int]]) -> None:
        """Take out the entries of some tasks."""
        for lane in list(self.lanes.values()):
            lane.entries = deque(entry for entry in lane.entries if _split(entry) not in keys)
            if not lane.entries:
                self._close(lane)
        self.rerank()

    def _rebuild(self) -> None:
        self._unranked = False
        self.heap = [(lane.rank, lane.entries[0] >> _KEY_BITS, lane) for lane in self.lanes.values()]
        heapify(self.heap)

    def take_all(self) -> list[tuple[int, int]]:
        """Take out everything: (run number, task number), in an order to put it at the front of other queues."""
        taken = self.tasks()
        self.lanes.clear()
        self.of_run.clear()
        self.heap.clear()
        self._unranked = False
        return taken[::-1]

    def heads(self) -> list[tuple[int, int]]:
        """Return (run number, task number) of the first task of each lane."""
        return [_split(lane.entries[0]) for lane in self.lanes.values()]

    def tasks(self) -> list[tuple[int, int]]:
        """Return (run number, task number) of all entries, lane by lane."""
        return [_split(entry) for lane in self.lanes.values() for entry in lane.entries]


def _is_deep(place: Place) -> bool:
    """Tell whether nothing is held but room: no device, no units of limits, no company to keep or to avoid."""
    terms = place.shape.terms
    held = terms.limits or terms.apart or terms.alone or terms.nodes > 1
    return not (held or place.pin or place.shape.request.wants_gpu)


def _split(entry: int) -> tuple[int, int]:
    key = entry & _KEY_MASK
    return key >> TASK_BITS, key & _TASK_MASK


class ReadyQueues:
    """All queues, by place."""

    def __init__(self, rank_of: RankOf, candidates_of: Callable[[Shape], Candidates]) -> None:
        self.queues: dict[Place, Queue] = {}
        self.waiting: dict[Queue, None] = {}
        """Queues that may hold tasks."""
        self.delayed: list[tuple[float, int, int]] = []
        """A heap of (monotonic time, run number, task number): ready, but not to be tried before."""
        self.changed = False
        """A queue was made or forgotten."""
        self._rank_of = rank_of
        self._candidates_of = candidates_of
        self._back = 0
        self._front = 0

    def use(self, place: Place) -> Queue:
        """Return the queue of a place for one more run."""
        queue = self.at(place)
        queue.users += 1
        return queue

    def at(self, place: Place) -> Queue:
        """Return the queue of a place."""
        queue = self.queues.get(place)
        if queue is None:
            queue = self.queues[place] = Queue(place, self._candidates_of(place.shape), self._rank_of)
            self.changed = True
        return queue

    def leave(self, queue: Queue) -> None:
        """Give up a run's use of a queue."""
        queue.users -= 1
        self._forget_if_unused(queue)

    def live(self) -> list[Queue]:
        """Return the queues that hold tasks; those that are empty and that no run uses are forgotten."""
        for queue in [queue for queue in self.waiting if not queue.lanes]:
            del self.waiting[queue]
            self._forget_if_unused(queue)
        return list(self.waiting)

    def _forget_if_unused(self, queue: Queue) -> None:
        if not queue.users and not queue.lanes and self.queues.get(queue.place) is queue:
            del self.queues[queue.place]
            self.changed = True

    def push(self, queue: Queue, lane: Hashable, run_no: int, task: int) -> None:
        """Put a newly ready task at the back of its lane."""
        self._back += 1
        queue.append(lane, self._back << _KEY_BITS | run_no << TASK_BITS | task)
        self.waiting[queue] = None

    def push_all(self, queue: Queue, lanes: Iterable[Hashable], run_no: int, tasks: Sequence[int]) -> None:
        """Put newly ready tasks of one queue, each with its lane, at the back of these: `push`, for very many."""
        before = self._back << _KEY_BITS | run_no << TASK_BITS
        found: dict[Hashable, list[int]] = {}
        for lane, task in zip(lanes, tasks, strict=True):
            before += _NEXT
            entries = found.get(lane)
            if entries is None:
                entries = found[lane] = []
            entries.append(before + task)
        self._back += len(tasks)
        for lane, entries in found.items():
            queue.extend(lane, entries)
            self.waiting[queue] = None

    def push_front(self, queue: Queue, run_no: int, task: int) -> None:
        """Put a task that is tried again before all others."""
        self._front -= 1
        queue.prepend(self._front << _KEY_BITS | run_no << TASK_BITS | task)
        self.waiting[queue] = None

    def rerank(self) -> None:
        """Compute all ranks anew."""
        for queue in self.waiting:
            queue.rerank()

    def rerank_run(self, run_no: int) -> None:
        """Compute the ranks of one run's tasks anew."""
        for queue in self.waiting:
            queue.rerank_run(run_no)

    def delay(self, until: float, run_no: int, task: int) -> None:
        """Keep a task out of its queue until then."""
        heappush(self.delayed, (until, run_no, task))

    def withdraw_delayed(self, keys: Container[tuple[int, int]]) -> None:
        """Take out the entries of tasks that are not to be tried after their pause."""
        if self.delayed:
            self.delayed = [entry for entry in self.delayed if entry[1:] not in keys]
            heapify(self.delayed)

    def due(self, now: float) -> Iterator[tuple[int, int]]:
        """Take out the tasks whose pause is over, the earliest first."""
        while self.delayed and self.delayed[0][0] <= now:
            _, run_no, task = heappop(self.delayed)
            yield run_no, task
