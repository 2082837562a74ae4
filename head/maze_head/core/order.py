"""Levels kept up to date while edges come, so that a cycle is found without searching the graph for each edge.

Every edge points from a lower to a higher level. An edge that already does costs O(1), and an author's edges nearly
always do: from older to newer tasks. An edge against the levels either lifts what follows its target or lowers what
precedes its source; both are tried in lock step and the one that needs less is taken, so that a chain costs little
in whichever direction it is built. This is the two-way search of Bender, Fineman, Gilbert and Tarjan (2015) with
levels that need not be unique.

If the edge would close a cycle, either search meets the other end before it runs out: on a path from target to source
every vertex is in the way of the one before it. Deleting tasks or edges leaves all levels valid, so an edit that is
taken back need not restore them.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Order"]

Key = TypeVar("Key", bound=Hashable)


class Order(Generic[Key]):
    """The level of each vertex.

    The caller owns the adjacency and passes it in: `after` and `before` map a vertex to its neighbours.
    """

    def __init__(self) -> None:
        self._level: dict[Key, int] = {}
        self._next = 0

    def add(self, key: Key) -> None:
        """Put a vertex without edges above all others, unless it has a level."""
        if key not in self._level:
            self._level[key] = self._next
            self._next += 1

    def add_all(self, keys: Sequence[Key]) -> None:
        """Put vertices that have neither edges nor a level above all others, in their order."""
        first = self._next
        self._next += len(keys)
        self._level.update(zip(keys, range(first, self._next), strict=True))

    def remove(self, key: Key) -> None:
        """Forget a vertex; its edges must be gone."""
        self._level.pop(key, None)

    def level(self, key: Key) -> int:
        """Return a number that is greater than that of every vertex before this one."""
        return self._level[key]

    def closes_cycle(
        self, source: Key, target: Key, after: Mapping[Key, Iterable[Key]], before: Mapping[Key, Iterable[Key]]
    ) -> bool:
        """Tell whether the edge would close a cycle; if not, make room for it."""
        low, high = self._level[target], self._level[source]
        if high < low:
            return False
        searches = self._shift(target, source, high + 1, after, 1), self._shift(source, target, low - 1, before, -1)
        while True:
            for search in searches:
                try:
                    next(search)
                except StopIteration as end:
                    if end.value is not None:
                        self._level.update(end.value)
                        self._next = max(self._next, *(level + 1 for level in end.value.values()))
                    return end.value is None

    def _shift(
        self, start: Key, stop: Key, level: int, edges: Mapping[Key, Iterable[Key]], step: int
    ) -> Generator[None, None, dict[Key, int] | None]:
        """Move `start` to a level, and what is in its way further; return all moves, or None if `stop` is reached.

        Vertices are moved in the order of their old levels, so each is moved once, past all that push it.
        """
        moved = {start: level}
        waiting: list[tuple[int, int, Key]] = [(0, 0, start)]
        while waiting:
            here = heappop(waiting)[2]
            for there in edges.get(here, ()):
                yield
                if there == stop:
                    return None
                old = self._level[there]
                known = moved.get(there)
                if (old if known is None else known) * step > moved[here] * step:
                    continue
                moved[there] = moved[here] + step
                if known is None:
                    heappush(waiting, (old * step, len(moved), there))
        return moved
