"""The consumer's half of a transfer: which piece of which object to ask whom for. Pure; the shell sends and writes.

Rules
* An object comes in pieces of CHUNK bytes. At most CHUNK_WINDOW of one transfer and WINDOW_OF_ALL together are under
  way, so memory is bounded whatever is wanted. Whoever has the fewest under way asks next, among the OPEN oldest.
* Holders are asked one after the other. Who knows nothing, denies, has another size, is lost, sends damaged pieces
  or none at all, is left for the next one, which continues with the pieces that are missing.
* A piece is asked for again if it came damaged, if CHUNK_WINDOW later ones overtook it, or after silence. Always under
  the same number, so that the holder need not serve it twice, and what arrives twice counts once.
* Nothing that a holder says raises, and nothing of it is believed before its place, size and checksum are right.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count, islice, takewhile
from typing import Final, NamedTuple

from maze_protocol.limits import CHUNK, CHUNK_WINDOW
from maze_protocol.transfers import Chunk, Denied, Fetch, Unknown
from maze_protocol.values import ObjectKey

__all__ = ["Ask", "Answer", "Failed", "Fetched", "Fetching", "Link", "Order", "Origin", "Take"]

Link = Hashable
"""A connection, as the shell names it."""
Answer = Chunk | Unknown | Denied

WINDOW_OF_ALL: Final = 4 * CHUNK_WINDOW
OPEN: Final = 16
"""How many transfers share the window; others wait for their turn."""
SILENCE: Final = 2.0
"""Seconds without a piece after which those under way are asked for again."""
PATIENCE: Final = 10.0
STRIKES: Final = 3
"""Damaged pieces after which a holder is left."""


class Origin(NamedTuple):
    """One who may have the object."""

    link: Link
    ticket: bytes = b""
    dialled: bool = True
    """The shell connects when something is asked; otherwise nothing is asked until `opened` tells of the link."""
    patience: float = PATIENCE
    """Seconds without progress after which it is left."""


class Order(NamedTuple):
    """What is to be fetched."""

    key: ObjectKey
    size: int
    origins: Sequence[Origin]


class Ask(NamedTuple):
    """Send this to that link."""

    link: Link
    fetch: Fetch


class Take(NamedTuple):
    """Write the payload that was just heard at `offset` of the object."""

    key: ObjectKey
    offset: int


class Fetched(NamedTuple):
    """All of it is there."""

    key: ObjectKey


class Failed(NamedTuple):
    """Nobody could give it; `reason` tells what the last one said."""

    key: ObjectKey
    reason: str


Effect = Ask | Take | Fetched | Failed


@dataclass(slots=True)
class _Piece:
    request: int
    asked_at: float
    overtaken: int = 0


@dataclass(slots=True)
class _Transfer:
    order: Order
    progress_at: float
    """When a piece came, or this holder was turned to."""
    left: int
    turn: int = 0
    unasked: int = 0
    again: deque[int] = field(default_factory=deque)
    under_way: dict[int, _Piece] = field(default_factory=dict)
    """By offset, in the order in which they were asked for."""
    strikes: int = 0
    reason: str = "it has no holder"

    @property
    def origin(self) -> Origin:
        return self.order.origins[self.turn]

    @property
    def hungry(self) -> bool:
        return len(self.under_way) < CHUNK_WINDOW and (bool(self.again) or self.unasked < self.order.size)

    def length_at(self, offset: int) -> int:
        return min(CHUNK, self.order.size - offset)

    def next_offset(self) -> int:
        if self.again:
            return self.again.popleft()
        offset = self.unasked
        self.unasked += self.length_at(offset)
        return offset


class Fetching:
    """All transfers to one process."""

    def __init__(self, name: str) -> None:
        """Begin; `name` is what tickets call this process."""
        self._name = name
        self._transfers: dict[ObjectKey, _Transfer] = {}
        self._requests: dict[int, tuple[_Transfer, int]] = {}
        self._numbers = count(1)
        self._open: set[Link] = set()

    def __len__(self) -> int:
        return len(self._transfers)

    @property
    def under_way(self) -> int:
        """Return how many pieces are asked for and not there yet."""
        return len(self._requests)

    def has(self, key: ObjectKey, offset: int, length: int) -> bool:
        """Tell whether a part of an object is there; of one that is not being fetched it is."""
        transfer = self._transfers.get(key)
        if transfer is None:
            return True
        pieces = range(offset // CHUNK * CHUNK, offset + length, CHUNK)
        return all(
            piece < transfer.unasked and piece not in transfer.under_way and piece not in transfer.again
            for piece in pieces
        )

    def begin(self, order: Order, now: float) -> list[Effect]:
        """Fetch an object; nothing happens if it is being fetched."""
        if order.key in self._transfers:
            return []
        if not order.size:
            return [Fetched(order.key)]
        transfer = self._transfers[order.key] = _Transfer(order, now, order.size)
        if not order.origins:
            return [self._fail(transfer)]
        return self._ask(now)

    def cancel(self, key: ObjectKey, now: float) -> list[Effect]:
        """Nobody wants it any more."""
        transfer = self._transfers.pop(key, None)
        if transfer is None:
            return []
        self._recall(transfer)
        return self._ask(now)

    def break_off(self, key: ObjectKey, reason: str, now: float) -> list[Effect]:
        """End a transfer whose bytes cannot be written."""
        transfer = self._transfers.get(key)
        if transfer is None:
            return []
        transfer.reason = reason
        return [self._fail(transfer), *self._ask(now)]

    def opened(self, link: Link, now: float) -> list[Effect]:
        """A link that is not dialled is there."""
        self._open.add(link)
        return self._ask(now)

    def lost(self, link: Link, reason: str, now: float) -> list[Effect]:
        """A link is gone: what was asked on it must be asked elsewhere, or there once it is back."""
        self._open.discard(link)
        effects: list[Effect] = []
        for transfer in list(self._transfers.values()):
            if transfer.origin.link == link:
                self._recall(transfer)
                if transfer.origin.dialled:
                    effects += self._turn(transfer, reason, now)
        return effects + self._ask(now)

    def hear(self, link: Link, answer: Answer, payload: bytes | memoryview, now: float) -> list[Effect]:
        """Take an answer of a holder."""
        transfer, offset = self._requests.get(answer.request, (None, 0))
        if transfer is None or transfer.origin.link != link:
            return []
        if isinstance(answer, Chunk):
            effects = self._on_chunk(transfer, offset, answer, payload, now)
        else:
            says = "does not have it" if isinstance(answer, Unknown) else f"denied it: {answer.reason}"
            effects = self._turn(transfer, f"a holder {says}", now)
        return effects + self._ask(now)

    def tick(self, now: float) -> list[Effect]:
        """Notice silence; called a few times per second."""
        effects: list[Effect] = []
        for transfer in list(self._transfers.values()):
            if now - transfer.progress_at > transfer.origin.patience and self._had_a_chance(transfer):
                effects += self._turn(transfer, "a holder does not answer", now)
            else:
                effects += self._repeat_after_silence(transfer, now)
        return effects + self._ask(now)

    def _had_a_chance(self, transfer: _Transfer) -> bool:
        """Tell whether it was asked, or could not be because its link is not there."""
        return bool(transfer.under_way) or not self._reachable(transfer)

    def _reachable(self, transfer: _Transfer) -> bool:
        return transfer.origin.dialled or transfer.origin.link in self._open

    def _on_chunk(
        self, transfer: _Transfer, offset: int, chunk: Chunk, payload: bytes | memoryview, now: float
    ) -> list[Effect]:
        if chunk.total != transfer.order.size:
            return self._turn(transfer, f"a holder has {chunk.total} bytes of it", now)
        length = transfer.length_at(offset)
        if chunk.offset != offset or len(payload) != length or zlib.crc32(payload) != chunk.crc:
            return self._strike(transfer, offset, now)
        transfer.progress_at = now
        transfer.left -= length
        taken: list[Effect] = [Take(transfer.order.key, offset), *self._overtake(transfer, offset, now)]
        del self._requests[transfer.under_way.pop(offset).request]
        if not transfer.left:
            del self._transfers[transfer.order.key]
            taken.append(Fetched(transfer.order.key))
        return taken

    def _strike(self, transfer: _Transfer, offset: int, now: float) -> list[Effect]:
        transfer.strikes += 1
        if transfer.strikes == STRIKES:
            return self._turn(transfer, "a holder sends damaged pieces", now)
        return [self._ask_piece(transfer, offset, now)]

    def _overtake(self, transfer: _Transfer, arrived: int, now: float) -> list[Effect]:
        """Ask again for what should have come before the piece that has arrived."""
        overtaken = list(takewhile(lambda offset: offset != arrived, transfer.under_way))
        for offset in overtaken:
            transfer.under_way[offset].overtaken += 1
        lost = [offset for offset in overtaken if transfer.under_way[offset].overtaken == CHUNK_WINDOW]
        return [self._ask_piece(transfer, offset, now) for offset in lost]

    def _repeat_after_silence(self, transfer: _Transfer, now: float) -> list[Effect]:
        quiet = [
            offset
            for offset, piece in transfer.under_way.items()
            if now - max(piece.asked_at, transfer.progress_at) > SILENCE and self._reachable(transfer)
        ]
        return [self._ask_piece(transfer, offset, now) for offset in quiet]

    def _turn(self, transfer: _Transfer, reason: str, now: float) -> list[Effect]:
        """Leave this holder for the next one."""
        self._recall(transfer)
        transfer.reason = reason
        if transfer.turn + 1 == len(transfer.order.origins):
            return [self._fail(transfer)]
        transfer.turn += 1
        transfer.strikes = 0
        transfer.progress_at = now
        return []

    def _fail(self, transfer: _Transfer) -> Failed:
        self._recall(transfer)
        self._transfers.pop(transfer.order.key, None)
        return Failed(transfer.order.key, transfer.reason)

    def _recall(self, transfer: _Transfer) -> None:
        """Forget what is under way; it is still missing."""
        for piece in transfer.under_way.values():
            del self._requests[piece.request]
        transfer.again = deque(sorted({*transfer.again, *transfer.under_way}))
        transfer.under_way.clear()

    def _ask(self, now: float) -> list[Effect]:
        """Fill the window."""
        asks: list[Effect] = []
        while len(self._requests) < WINDOW_OF_ALL:
            able = (transfer for transfer in self._transfers.values() if self._reachable(transfer))
            hungry = [transfer for transfer in islice(able, OPEN) if transfer.hungry]
            if not hungry:
                break
            transfer = min(hungry, key=lambda each: len(each.under_way))
            if not transfer.under_way:
                transfer.progress_at = now  # it waited for its turn, not for the holder
            asks.append(self._ask_piece(transfer, transfer.next_offset(), now))
        return asks

    def _ask_piece(self, transfer: _Transfer, offset: int, now: float) -> Ask:
        piece = transfer.under_way.pop(offset, None)
        request = next(self._numbers) if piece is None else piece.request
        transfer.under_way[offset] = _Piece(request, now)
        self._requests[request] = transfer, offset
        key, origin = transfer.order.key, transfer.origin
        length = transfer.length_at(offset)
        return Ask(
            origin.link, Fetch(request, key.lease, key.output, offset, length, origin.ticket, key.hash, self._name)
        )
