"""A cache bounded by bytes, or whatever its entries are weighed in: the least recently used leave first.

What an entry takes beside its content counts, too: of many small ones it is most. No clock, no locks; one thread owns
it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

__all__ = ["ByteCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """Entries with sizes; their sum never exceeds `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return an entry and mark it as used, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep an entry, unless it alone exceeds the limit."""
        self.discard(key)
        if size > self.limit:
            return
        self._entries[key] = (value, size)
        self.size += size
        self._shrink()

    def put_all(self, entries: Iterable[tuple[K, V, int]]) -> None:
        """Keep entries that are not there: as `put` does, in half the time."""
        kept = self._entries
        for key, value, size in entries:
            kept[key] = value, size
            self.size += size
        self._shrink()

    def _shrink(self) -> None:
        while self.size > self.limit:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed

    def discard(self, key: K) -> None:
        """Forget an entry if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]
