"""Outcomes that wait for the head: in memory up to a budget, the newest beyond it on disk.

Rules
* Every outcome is in exactly one of `_memory`, `_writing` (memory still has it) and `_stored` (only the disk has it,
  but for the moment in which it is said).
* The oldest stay in memory: they go out first. What is on disk is loaded in each session, WINDOW bytes ahead of the
  acknowledgements, so that a long absence of the head does not come back as one flood.
* A disk that refuses changes nothing but the memory used: the outcome stays there, and the disk is tried again later.
  Should even OVERFULL budgets be used up, the node starts nothing more.
* The disk forgets an outcome only when the head has acknowledged or dropped it.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

import msgspec

from maze_node.core.effects import Discard, Effect, Load, Spill
from maze_node.core.outcomes import under
from maze_protocol.messages import CRASHED, ErrorInfo, Outcome

__all__ = ["RESULT_MEMORY", "Kept", "Shelf"]

MIB: Final = 2**20
RESULT_MEMORY: Final = 64 * MIB
WINDOW: Final = 16 * MIB
OVERFULL: Final = 4
RETRY_SECONDS: Final = 10.0
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Outcome).decode


class Kept(msgspec.Struct, eq=False):
    """One outcome and its number, which it keeps for life, whatever its lease is called. A struct: it is made fast."""

    number: int
    lease: int
    outcome: Outcome | None
    """None while only the disk has it."""
    started_at: float
    size: int
    """In memory, about."""
    text: int = 0
    """Of that, without its values."""
    after: int = 0
    """The lease whose outcome has to be said before, or 0."""
    said: bool = False
    """In this session."""


class Shelf:
    """Which outcomes are where."""

    def __init__(self, emit: Callable[[Effect], None], budget: int) -> None:
        self._emit = emit
        self._budget = budget
        self._memory: dict[int, Kept] = {}
        self._writing: dict[int, Kept] = {}
        self._stored: dict[int, Kept] = {}
        self._held = 0
        self._held_by_writes = 0
        self._waiting: dict[int, Kept] = {}
        """On disk, and to be said in this session."""
        self._window: dict[int, int] = {}
        """Asked of the disk in this session and not acknowledged: how many bytes."""
        self._ahead = 0
        self._retry_at = 0.0

    @property
    def overfull(self) -> bool:
        """Tell whether more is in memory than can be answered for."""
        return self._held > OVERFULL * self._budget

    def add(self, kept: Kept) -> None:
        """Take an outcome in."""
        self._memory[kept.number] = kept
        self._held += kept.size

    def remove(self, kept: Kept) -> None:
        """Let an outcome go for good."""
        number = kept.number
        if self._memory.pop(number, None) is not None:
            self._held -= kept.size
            return
        if self._writing.pop(number, None) is not None:
            self._held -= kept.size
            self._held_by_writes -= kept.size
        self._stored.pop(number, None)
        self._waiting.pop(number, None)
        self._shrink_window(number)
        self._emit(Discard(number))

    def restart(self) -> None:
        """A session begins: all that is on disk is to be said in it."""
        self._window.clear()
        self._ahead = 0
        self._waiting = dict(self._stored)
        for kept in self._stored.values():
            kept.outcome = None

    def want(self, kept: Kept) -> None:
        """Say an outcome that is on disk (once more) in this session."""
        self._shrink_window(kept.number)
        self._waiting[kept.number] = kept

    def hurry(self, kept: Kept) -> None:
        """Load an outcome before its turn, and beyond the window: others that are here wait for it to be said."""
        if self._waiting.pop(kept.number, None) is not None:
            self._load(kept)

    def _load(self, kept: Kept) -> None:
        self._window[kept.number] = kept.size
        self._ahead += kept.size
        self._emit(Load(kept.number))

    @property
    def on_disk(self) -> Container[int]:
        """Return the numbers of those that only the disk has, but for the moment in which they are said."""
        return self._stored

    def settle(self, mono: float, *, live: bool) -> None:
        """Order what is to be written and loaded now."""
        while self._memory and self._exceeds() and mono >= self._retry_at:
            number, kept = self._memory.popitem()
            self._writing[number] = kept
            self._held_by_writes += kept.size
            self._emit(Spill(number, _encode(kept.outcome)))
        while live and self._waiting and self._ahead < WINDOW:
            self._load(self._waiting.pop(next(iter(self._waiting))))

    def _exceeds(self) -> bool:
        return self._held - self._held_by_writes > self._budget and self._held_by_writes < WINDOW

    def spilled(self, number: int, *, done: bool, mono: float) -> Kept | None:
        """Note how a write went; return what only the disk has from now on."""
        kept = self._writing.pop(number, None)
        if kept is None:
            return None
        self._held_by_writes -= kept.size
        if not done:
            self._memory[number] = kept
            self._retry_at = mono + RETRY_SECONDS
            return None
        self._held -= kept.size
        self._stored[number] = kept
        kept.outcome = None
        return kept

    def loaded(self, number: int, data: bytes | None) -> Kept | None:
        """Take what was read; return what can be said now. None is read where the disk has lost it."""
        kept = self._stored.get(number)
        if kept is None or number not in self._window:
            return None
        if data is not None:
            outcome = _decode(data)
            kept.outcome = outcome if outcome.lease == kept.lease else under(outcome, kept.lease)
            return kept
        self.remove(kept)
        kept.outcome = _lost(kept)
        self.add(kept)
        return kept

    def _shrink_window(self, number: int) -> None:
        self._ahead -= self._window.pop(number, 0)


def _lost(kept: Kept) -> Outcome:
    error = ErrorInfo("node_lost", "ResultLost", "the node kept the result on its disk, and cannot read it back")
    return Outcome(kept.lease, CRASHED, kept.started_at, 0.0, error=error)
