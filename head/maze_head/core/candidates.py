"""The nodes that have room for one shape, best first, kept from pass to pass.

A pass must not look at every node: so per shape there is a heap of nodes, and a log of the nodes that gained something
(`Rooms`). A heap reads the log from where it left off when somebody asks it. In between, nodes only lose room: what an
entry says is put right when it comes to the top. So the cost follows what changes, not how many nodes there are.

Which node is best, in this order:
1. work that needs no GPU goes where there are none;
2. labels that the task prefers;
3. least fragmentation: the fewest of the cluster's large requests that would fit the node before, and not after. This
   is the fragmentation gradient of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
   Fragmentation Gradient Descent" (USENIX ATC 2023), with the largest requests of the live runs for its workload;
4. the least loaded: what nobody needs whole is spread.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace
from operator import itemgetter
from typing import Final

from maze_head.core.fitness import admits, suits, unmet_wishes
from maze_head.core.graph import Shape
from maze_head.core.nodes import Node
from maze_head.core.ready import Place
from maze_protocol.resources import Request

__all__ = ["Candidates", "Rooms"]

KEPT_SHAPES: Final = 1024
LARGE_AT_MOST: Final = 4
"""How many large requests the rule against fragmentation looks at."""

Key = tuple[int, int, int, int, int]
_News = tuple[int, Node]
"""A node with its free CPUs, which rule out most nodes for most shapes that wait."""

_cpu_free = itemgetter(0)


class Candidates:
    """The heap of one shape."""

    __slots__ = ("_keys", "_rooms", "_wants_gpu", "cursor", "heap", "shape", "suited")

    def __init__(self, shape: Shape, rooms: Rooms) -> None:
        self.shape = shape
        self._rooms = rooms
        self.heap: list[tuple[Key, int, Node]] = []
        self._keys: dict[int, Key] = {}
        self.suited: dict[int, int] = {}
        """Per serial of a node: how many preferred labels it lacks, or -1 if its Python or labels rule it out."""
        self.cursor = -1
        self._wants_gpu = shape.request.wants_gpu

    def idle(self) -> bool:
        """Tell whether no node has room, at one look."""
        return not self.heap and self.cursor == self._rooms.end

    def refresh(self, now: float) -> None:
        """Take in the nodes that gained room."""
        if self.cursor == self._rooms.end:
            return
        cpu_milli, mem_mib, wants_gpu = self.shape.request.cpu_milli, self.shape.request.mem_mib, self._wants_gpu
        for cpu_free, node in self._rooms.since(self.cursor):
            if cpu_milli > cpu_free:
                break
            ledger = node.ledger
            if cpu_milli <= ledger.cpu_free and mem_mib <= ledger.mem_free and (ledger.devices or not wants_gpu):
                self._consider(node, now)
        self.cursor = self._rooms.end

    def _consider(self, node: Node, now: float) -> None:
        if not admits(node, self.shape, now):
            return
        missed = self.suited.get(node.serial)
        if missed is None:
            missed = self.suited[node.serial] = unmet_wishes(node, self.shape) if suits(node, self.shape) else -1
        if missed < 0:
            return
        # Without its loss, which is costly, the key says too little: put right at the top, if it ever gets there.
        key = self._key(node, missed, 0)
        if self._keys.get(node.serial) != key:
            self._keys[node.serial] = key
            heappush(self.heap, (key, node.serial, node))

    def top(self, now: float) -> Node | None:
        """Return the best node that has room now."""
        heap, keys = self.heap, self._keys
        while heap:
            key, serial, node = heap[0]
            if keys.get(serial) != key:
                heappop(heap)
            elif not admits(node, self.shape, now):
                heappop(heap)
                del keys[serial]
            elif (fresh := self._key(node, key[1], self._loss(node))) != key:
                keys[serial] = fresh
                entry = fresh, serial, node
                heapreplace(heap, entry)
                if heap[0] is entry:
                    return node
            else:
                return node
        return None

    def take_top(self) -> tuple[Key, int, Node]:
        """Take out what `top` returned, to see the next one; `put_back` is its opposite."""
        entry = heappop(self.heap)
        # A node whose room went and came back may stand here twice: what is out may not be met again.
        del self._keys[entry[1]]
        return entry

    def put_back(self, entry: tuple[Key, int, Node]) -> None:
        """Put back what `take_top` returned."""
        self._keys[entry[1]] = entry[0]
        heappush(self.heap, entry)

    def _loss(self, node: Node) -> int:
        return node.ledger.loss(self.shape.request, self._rooms.large)

    def _key(self, node: Node, missed: int, loss: int) -> Key:
        ledger = node.ledger
        return 1 if ledger.devices and not self._wants_gpu else 0, missed, loss, ledger.load, ledger.attempts


class Rooms:
    """Which nodes gained room, in order, and the heaps that follow it."""

    def __init__(self) -> None:
        self._log: list[Node] = []
        self._first = 0
        """Number of the oldest entry of the log."""
        self.end = 0
        """Number that the next entry will have."""
        self._read = (-1, -1)
        self._news: list[_News] = []
        """The last answer of `since`: in one pass nearly all heaps ask for the same."""
        self.nodes: dict[str, Node] = {}
        """All members; the owner's very dictionary."""
        self._candidates: dict[Shape, Candidates] = {}
        self.large: tuple[Request, ...] = ()
        """The largest requests of the live runs."""

    def gain(self, node: Node) -> None:
        """Note that a node may have more room than before."""
        log = self._log
        log.append(node)
        self.end += 1
        if len(log) > 1024 and len(log) > 4 * len(self.nodes):
            self._first += len(log)
            log.clear()

    def since(self, cursor: int) -> list[_News]:
        """Return the nodes to look at for somebody who has read the log up to there, most free CPUs first.

        What is said to be free is the most that can be: until the log grows, nodes only lose room.
        """
        if self._read != (cursor, self.end):
            self._read = cursor, self.end
            nodes = self.nodes.values() if cursor < self._first else dict.fromkeys(self._log[cursor - self._first :])
            self._news = [(node.ledger.cpu_free, node) for node in nodes]
            self._news.sort(key=_cpu_free, reverse=True)
        return self._news

    def candidates(self, shape: Shape) -> Candidates:
        """Return the heap of a shape."""
        found = self._candidates.get(shape)
        if found is None:
            found = self._candidates[shape] = Candidates(shape, self)
        return found

    def follow(self, places: Iterable[Place]) -> None:
        """Say which queues there are; of the shapes that none of them has, the heaps of the newest are kept."""
        shapes = [place.shape for place in places]
        large = _largest(dict.fromkeys(shape.request for shape in shapes))
        if large != self.large:  # ledgers keep their answers as long as the question is the same object
            self.large = large
        spare = len(self._candidates) - KEPT_SHAPES
        if spare > 0:
            used = dict.fromkeys(shapes)
            for shape in [shape for shape in self._candidates if shape not in used][:spare]:
                del self._candidates[shape]


def _largest(requests: dict[Request, None]) -> tuple[Request, ...]:
    """Return the largest requests: by CPUs, memory, whole devices and device memory; nothing if all are alike."""
    if len(requests) < 2:
        return ()
    every = sorted(requests, reverse=True)
    chosen = {
        max(every, key=lambda each: each.cpu_milli): None,
        max(every, key=lambda each: each.mem_mib): None,
        max(every, key=lambda each: each.whole_devices): None,
        max(every, key=lambda each: each.gpu_mem_mib): None,
    }
    return tuple(chosen)[:LARGE_AT_MOST]
