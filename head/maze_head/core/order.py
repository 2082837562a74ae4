"""A topological order kept up to date while edges come (Pearce and Kelly, 2006).

Why not a search per edge: an author's edges nearly always point from older to newer tasks, which costs O(1) here;
only an edge against the order looks at the tasks between its two ends. Deleting tasks or edges leaves every order
valid, so an edit that is taken back need not restore it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

__all__ = ["Order"]

Key = TypeVar("Key", bound=Hashable)


class Order(Generic[Key]):
    """Positions of the vertices such that every edge added so far points to a greater one.

    The caller owns the adjacency and passes it in: `after` and `before` map a vertex to its neighbours.
    """

    def __init__(self) -> None:
        self._position: dict[Key, int] = {}
        self._next = 0

    def add(self, key: Key) -> None:
        """Put a vertex without edges at the end, unless it has a place."""
        if key not in self._position:
            self._position[key] = self._next
            self._next += 1

    def remove(self, key: Key) -> None:
        """Forget a vertex; its edges must be gone."""
        self._position.pop(key, None)

    def closes_cycle(
        self, source: Key, target: Key, after: Mapping[Key, Iterable[Key]], before: Mapping[Key, Iterable[Key]]
    ) -> bool:
        """Tell whether the edge would close a cycle; if not, make room for it in the order."""
        low, high = self._position[target], self._position[source]
        if high < low:
            return False
        forward = self._reach(target, after, low, high)
        if source in forward:
            return True
        self._move(self._reach(source, before, low, high), forward)
        return False

    def _reach(self, start: Key, edges: Mapping[Key, Iterable[Key]], low: int, high: int) -> dict[Key, None]:
        found = {start: None}
        stack = [start]
        while stack:
            for there in edges.get(stack.pop(), ()):
                if there not in found and low <= self._position[there] <= high:
                    found[there] = None
                    stack.append(there)
        return found

    def _move(self, backward: dict[Key, None], forward: dict[Key, None]) -> None:
        place = self._position.__getitem__
        moved = [*sorted(backward, key=place), *sorted(forward, key=place)]
        for key, position in zip(moved, sorted(map(place, moved)), strict=True):
            self._position[key] = position
