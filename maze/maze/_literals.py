"""The large literals of one workflow that wait to be sent: each content once, however many tasks take it.

Pure. A literal is what the value was when its task was added, so what is known is compared byte by byte, which is a
tenth of the work of a hash, before anything is copied. Values that no task holds any more are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from weakref import WeakValueDictionary

from maze._graph import Literal

__all__ = ["Literals"]

SAMPLE: int = 64
"""So much of the beginning and the end of each piece tells most contents apart."""
Pieces = Sequence[bytes | memoryview]


class Literals:
    """The literals of one workflow."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[int, int], Literal] = WeakValueDictionary()
        self._lock = Lock()

    def literal(self, pieces: Pieces, size: int) -> Literal:
        """Return the literal of a content, given in pieces; the same one while it waits to be sent."""
        key = size, hash(tuple([bytes(piece[part]) for piece in pieces for part in _PARTS]))
        with self._lock:
            known = self._known.get(key)
            if known is None or not _is(known.body, pieces):
                # One piece is a snapshot already: what a file held, in a mapping that is nobody else's.
                known = self._known[key] = Literal(size, pieces[0] if len(pieces) == 1 else b"".join(pieces))
            return known


_PARTS = (slice(None, SAMPLE), slice(-SAMPLE, None))


def _is(body: bytes | memoryview, pieces: Pieces) -> bool:
    """Tell whether a body is made of these pieces; false for one that is gone."""
    if isinstance(body, memoryview):  # the snapshot of one file, as a rule
        return len(pieces) == 1 and body == pieces[0]
    offset = 0
    for piece in pieces:
        # Compares as fast as memory is read; views compare byte by byte.
        if not body.startswith(piece, offset):
            return False
        offset += len(piece)
    return True
