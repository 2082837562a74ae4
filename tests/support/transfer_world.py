"""A consumer and its holders over a wire that loses, doubles, damages and reorders, on a clock of its own.

The oracle: what was written is what the holder has, every byte once; each transfer ends once; what is under way, what
is asked for and what a holder has waiting stay within their bounds whatever happens. Pieces are PIECE bytes here.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from maze_protocol import fetching, serving
from maze_protocol.fetching import Fetching, Order, Origin
from maze_protocol.limits import CHUNK_WINDOW
from maze_protocol.serving import Serving
from maze_protocol.tickets import make_ticket
from maze_protocol.transfers import Chunk, Fetch
from maze_protocol.values import ObjectKey

PIECE = 4
CONSUMER = "consumer"
WALL = 1000.0
HEAD = "h3"
HOLDERS = ("h0", "h1", "h2", HEAD)


@contextmanager
def small_pieces() -> Iterator[None]:
    """Let pieces be small, so that many of them cost nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "CHUNK", PIECE)
        patch.setattr(serving, "CHUNK", PIECE)
        yield


def content(key: ObjectKey, size: int) -> bytes:
    """Return what an object consists of; no two pieces are alike."""
    return bytes((key.lease * 37 + position * 11 + position // 251) % 256 for position in range(size))


@dataclass
class Holder:
    """One who serves."""

    name: str
    secret: bytes
    machine: Serving
    objects: dict[ObjectKey, bytes] = field(default_factory=dict)
    opened: set[ObjectKey] = field(default_factory=set)
    silent: bool = False
    """It takes what it is asked and answers nothing."""


class World:
    """Everything that happens, one step at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fetching = Fetching(CONSUMER)
        self.holders = {name: self._holder(name) for name in HOLDERS}
        self.wire: list[tuple[str, str, Any, bytes]] = []
        """(to, holder, message, piece)"""
        self.written: dict[ObjectKey, dict[int, bytes]] = {}
        self.sizes: dict[ObjectKey, int] = {}
        self.ended: dict[ObjectKey, str] = {}
        self.asked: Counter[ObjectKey] = Counter()
        self.damaged = 0
        self.good_wire = True
        self._perform(self.fetching.opened(HEAD, self.now), None, b"")

    def _holder(self, name: str) -> Holder:
        secret = f"secret of {name}".encode()
        return Holder(name, secret, Serving(secret))

    # -- what a schedule may do

    def want(self, number: int, pieces: int, owners: list[int], forged: bool = False) -> None:
        """Begin to fetch an object which some of the holders have; tickets of the first one may be forged."""
        key = ObjectKey(number, 0)
        if key in self.sizes:
            return
        size = self.sizes[key] = pieces * PIECE - number % PIECE if pieces else 0
        self.written[key] = {}
        for owner in owners:
            self.holders[HOLDERS[owner % len(HOLDERS)]].objects[key] = content(key, size)
        origins = tuple(self._origin(holder, key, forged and not place) for place, holder in enumerate(HOLDERS))
        self._perform(self.fetching.begin(Order(key, size, origins), self.now), None, b"")

    def _origin(self, name: str, key: ObjectKey, forged: bool) -> Origin:
        secret = b"guessed" if forged else self.holders[name].secret
        ticket = make_ticket(secret, *key, CONSUMER, WALL + 10)
        return Origin(name, ticket, dialled=name != HEAD)

    def deliver(self, index: int) -> None:
        """Let one message arrive, and the holder send one piece."""
        if self.wire:
            self._arrive(*self.wire.pop(index % len(self.wire)))
        for holder in self.holders.values():
            self._serve(holder)

    def drop(self, index: int) -> None:
        """Lose a message."""
        if self.wire:
            self.good_wire = False
            self.wire.pop(index % len(self.wire))

    def double(self, index: int) -> None:
        """Let a message come twice."""
        if self.wire:
            self.wire.append(self.wire[index % len(self.wire)])

    def damage(self, index: int) -> None:
        """Turn over a bit of a piece, or cut it."""
        if self.wire:
            self.good_wire = False
            index %= len(self.wire)
            to, name, message, piece = self.wire[index]
            if piece:
                self.damaged += 1
                damaged = bytes([piece[0] ^ 1]) + piece[1:] if index % 2 else piece[:-1]
                self.wire[index] = to, name, message, damaged

    def lie(self, index: int) -> None:
        """Let a holder say another place or size than is true."""
        if self.wire:
            self.good_wire = False
            index %= len(self.wire)
            to, name, message, piece = self.wire[index]
            if isinstance(message, Chunk):
                other = Chunk(message.request, message.offset + PIECE, message.total + index % 2, message.crc)
                self.wire[index] = to, name, other, piece

    def cut(self, index: int) -> None:
        """Lose a connection with all that is on it."""
        self.good_wire = False
        name = HOLDERS[index % len(HOLDERS)]
        self.wire = [entry for entry in self.wire if entry[1] != name]
        self.holders[name].machine.lost(CONSUMER)
        self._perform(self.fetching.lost(name, "cut", self.now), None, b"")
        if name == HEAD:
            self._perform(self.fetching.opened(HEAD, self.now), None, b"")

    def mute(self, index: int) -> None:
        """Let a holder hang."""
        self.good_wire = False
        self.holders[HOLDERS[index % len(HOLDERS)]].silent = True

    def forget(self, index: int) -> None:
        """Let a holder throw everything away."""
        self.good_wire = False
        holder = self.holders[HOLDERS[index % len(HOLDERS)]]
        for key in list(holder.objects):
            del holder.objects[key]
            holder.opened.discard(key)
            self._reply(holder, holder.machine.missing(key))

    def pass_time(self, seconds: float) -> None:
        """Let the clock tick."""
        self.now += seconds
        self._perform(self.fetching.tick(self.now), None, b"")
        for holder in self.holders.values():
            self._reply(holder, holder.machine.tick(self.now))

    def settle(self) -> None:
        """Let the wire be good until nothing is wanted any more."""
        for _ in range(2000):
            if not len(self.fetching):
                return
            for _ in range(len(self.wire) + 1):
                self.deliver(0)
            if not self.wire:
                self.pass_time(0.5)
        raise AssertionError("transfers do not end")

    # -- how it works

    def _arrive(self, to: str, name: str, message: Any, piece: bytes) -> None:
        holder = self.holders[name]
        if to == name:
            self._reply(holder, holder.machine.hear(CONSUMER, message, self.now, WALL))
            assert holder.machine.waiting <= serving.MAX_WAITING
        else:
            self._perform(self.fetching.hear(name, message, piece, self.now), name, piece)

    def _reply(self, holder: Holder, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, serving.Say):
                self.wire.append((CONSUMER, holder.name, effect.message, b""))
            elif isinstance(effect, serving.Find):
                self._find(holder, effect.key)
            else:
                holder.opened.discard(effect.key)

    def _find(self, holder: Holder, key: ObjectKey) -> None:
        if key in holder.objects:
            assert key not in holder.opened, "opened twice"
            holder.opened.add(key)
            self._reply(holder, holder.machine.found(key, len(holder.objects[key]), self.now))
        else:
            self._reply(holder, holder.machine.missing(key))

    def _serve(self, holder: Holder) -> None:
        piece = holder.machine.take(lambda link: not holder.silent)
        if piece is not None:
            data = holder.objects[piece.key][piece.offset : piece.offset + piece.length]
            chunk = Chunk(piece.request, piece.offset, piece.total, zlib.crc32(data))
            self.wire.append((CONSUMER, holder.name, chunk, data))

    def _perform(self, effects: list[Any], name: str | None, piece: bytes) -> None:
        for effect in effects:
            match effect:
                case fetching.Ask(link, fetch):
                    self._note_ask(fetch)
                    self.wire.append((str(link), str(link), fetch, b""))
                case fetching.Take(key, offset):
                    assert key not in self.ended
                    assert offset not in self.written[key], "written twice"
                    self.written[key][offset] = piece
                case fetching.Fetched(key):
                    self._end(key, "")
                    assert b"".join(data for _, data in sorted(self.written[key].items())) == content(
                        key, self.sizes[key]
                    ), "other bytes arrived"
                case fetching.Failed(key, reason):
                    assert reason
                    self._end(key, reason)
        assert self.fetching.under_way <= fetching.WINDOW_OF_ALL

    def _note_ask(self, fetch: Fetch) -> None:
        key = ObjectKey(fetch.lease, fetch.output, fetch.hash)
        assert fetch.offset + fetch.length <= self.sizes[key]
        self.asked[key] += 1

    def _end(self, key: ObjectKey, reason: str) -> None:
        assert key not in self.ended, "ended twice"
        self.ended[key] = reason

    def check_asked(self) -> None:
        """Nothing is asked for without bound: once per holder, again after damage, being overtaken, or silence."""
        silences = self.now / fetching.SILENCE + 1
        for key, count in self.asked.items():
            pieces = -(-self.sizes[key] // PIECE)
            per_holder = 2 * pieces + fetching.STRIKES + silences * CHUNK_WINDOW
            assert count <= len(HOLDERS) * per_holder, "asked for without bound"
