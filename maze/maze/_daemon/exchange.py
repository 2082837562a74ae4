"""The thread on which the bytes of objects move: pieces from files to sockets and back. Both daemons have one.

Rules
* The machines decide (maze_protocol.fetching, .serving); the wires know whom a link name means; this reads, sends,
  receives and writes, and tells. Control traffic has other sockets on another thread, so it waits for no bytes.
* A piece is read when it can be sent: what is on its way out is bounded in all (SENDING) and per link.
* What the owner calls may be called on any thread. What it is told, it is told on this one: `told` for each fetch
  exactly once, and until then the descriptor given to `fetch` stays open.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from math import ceil
from typing import Any, Final, NamedTuple, Protocol

import zmq

from maze_protocol import fetching
from maze_protocol.fetching import Fetching, Link, Order
from maze_protocol.limits import CHUNK, CHUNK_WINDOW
from maze_protocol.serving import Close, Find, Piece, Say, Serving
from maze_protocol.serving import Effect as ServingEffect
from maze_protocol.transfers import Chunk, Denied, Fetch, Unknown
from maze_protocol.values import ObjectKey

__all__ = ["CANCELLED", "Exchange", "Heard", "LinkGone", "Source", "Wires"]

log = logging.getLogger(__name__)

CANCELLED: Final = "it is not wanted any more"
SENDING: Final = 4 * CHUNK_WINDOW
"""Pieces that are on their way out at a time."""
TICK: Final = 0.25
CONGESTED: Final = 0.001
"""Seconds until it is looked again whether something has left; nothing tells of it."""
TURN: Final = 16
"""Pieces that are sent before the sockets are looked at again."""

Sayable = Fetch | Chunk | Unknown | Denied


class LinkGone(Exception):
    """Nothing can be said on this link; the text says why."""


class Source(NamedTuple):
    """Where an object is to be read. The exchange closes the descriptor."""

    fd: int
    offset: int
    size: int
    coming: bool = False
    """It is being fetched: others get what has come of it, and lose it if that fails."""


class Heard(NamedTuple):
    """What came on a link."""

    link: Link
    message: Sayable
    payload: bytes | memoryview = b""


class Wires(Protocol):
    """The sockets. Used on the exchange's thread only."""

    def start(self, exchange: Exchange) -> None:
        """Begin; tell the exchange what opens and what is lost."""

    def sockets(self) -> Iterable[zmq.Socket[bytes]]:
        """Return all that may have something to be received."""

    def receive(self, ready: zmq.Socket[bytes]) -> Iterable[Heard]:
        """Take what came on a socket, a bounded share of it; whatever is no message of ours is left out."""

    def send(self, link: Link, message: Sayable, piece: memoryview | None = None) -> zmq.MessageTracker | None:
        """Say something; a tracker tells when the piece has left, without one it is copied.

        Raises:
            LinkGone: it cannot be said.
        """

    def tick(self, now: float) -> None:
        """Look after them; called a few times per second."""

    def close(self) -> None:
        """Close them all."""


class Exchange:
    """All transfers of one process, from `start` to `close`."""

    def __init__(
        self,
        wires: Wires,
        fetching_as: str,
        find: Callable[[ObjectKey], None],
        failed: Callable[[BaseException], None],
        serving: Serving | None = None,
    ) -> None:
        """Prepare.

        Args:
            wires: the sockets.
            fetching_as: what tickets call this process.
            find: look for an object that others want; answered by `found` or `missing`. Must not wait.
            failed: the thread ended by a bug.
            serving: who may fetch from here; by default whoever has a ticket made with a secret told to `trust`.
        """
        self._wires = wires
        self._find = find
        self._failed = failed
        self._fetching = Fetching(fetching_as)
        self._serving = serving or Serving()
        self._targets: dict[ObjectKey, tuple[int, int, Callable[[str], None]]] = {}
        self._sources: dict[ObjectKey, Source] = {}
        self._sending: deque[tuple[Link, zmq.MessageTracker, bytearray]] = deque()
        self._spare: list[bytearray] = []
        """Of pieces that have left: new memory for each would cost more than reading it."""
        self._sending_on: Counter[Link] = Counter()
        self._calls: deque[Callable[[], None]] = deque()
        self._near, self._far = os.pipe()
        os.set_blocking(self._near, False)
        os.set_blocking(self._far, False)
        self._closing = False
        self._more = False
        """There are pieces that could be sent at once."""
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and close all sockets and sources; fetches that go on are told as cancelled. On the owner's thread."""
        self._closing = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._near)
        os.close(self._far)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have something done on the thread."""
        if not self._closing:
            self._calls.append(partial(function, *arguments))
            self._wake()

    def fetch(self, order: Order, fd: int, offset: int, told: Callable[[str], None]) -> None:
        """Fetch an object into a file, from `offset` on; `told` hears "" or why not. It must not be under way."""
        if self._closing:
            told(CANCELLED)
        else:
            self.call(self._begin, order, fd, offset, told)

    def cancel(self, key: ObjectKey) -> None:
        """Nobody wants an object any more."""
        self.call(self._cancel, key)

    def trust(self, secret: bytes) -> None:
        """Take tickets made with this secret, too; of older ones only the last."""
        self.call(self._serving.trust, secret)

    def found(self, key: ObjectKey, source: Source) -> None:
        """Serve an object that `find` was asked for."""
        self.call(self._on_found, key, source)

    def missing(self, key: ObjectKey) -> None:
        """An object that `find` was asked for is not here."""
        self.call(self._on_missing, key)

    def opened(self, link: Link) -> None:
        """Take note of a link that is there; called by the wires."""
        self._obey(self._fetching.opened(link, time.monotonic()))

    def lost(self, link: Link, reason: str) -> None:
        """Take note that a link is gone; called by the wires."""
        self._serving.lost(link)
        self._obey(self._fetching.lost(link, reason, time.monotonic()))

    def counters(self) -> dict[str, int | float]:
        """Return what was counted, and what is under way."""
        return {
            "objects_fetching": len(self._fetching),
            "objects_pieces_waiting": self._serving.waiting,
            **{f"objects_{name}_total": value for name, value in self.counts.copy().items()},
        }

    def _wake(self) -> None:
        with suppress(BlockingIOError, OSError):
            os.write(self._far, b"\0")

    # -- on the thread

    def _run(self) -> None:
        try:
            self._wires.start(self)
            self._turn_until_closed()
        except Exception as error:  # thread entry point: a bug ends the daemon, not only this thread
            log.critical("the exchange of objects failed", exc_info=error)
            self._failed(error)
        finally:
            self._end()

    def _end(self) -> None:
        self._wires.close()
        for source in self._sources.values():
            os.close(source.fd)
        self._sources.clear()
        targets, self._targets = self._targets, {}
        for _, _, told in targets.values():
            told(CANCELLED)

    def _turn_until_closed(self) -> None:
        next_tick = time.monotonic()
        while not self._closing:
            self._receive(next_tick)
            self._do_calls()
            self._send_pieces()
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK
                self._tick(now)
        self._do_calls()

    def _do_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _receive(self, until: float) -> None:
        """Wait for something to do, and take what came."""
        poller = zmq.Poller()
        poller.register(self._near, zmq.POLLIN)
        for socket in self._wires.sockets():
            poller.register(socket, zmq.POLLIN)
        for ready, _ in poller.poll(ceil(1000 * max(0.0, self._patience(until)))):
            if ready == self._near:
                with suppress(BlockingIOError):
                    os.read(self._near, 4096)
            else:
                for heard in self._wires.receive(ready):
                    self._hear(heard)

    def _patience(self, until: float) -> float:
        if self._calls or self._more:
            return 0.0
        if self._serving.waiting and self._sending:
            return CONGESTED
        return until - time.monotonic()

    def _tick(self, now: float) -> None:
        self._wires.tick(now)
        if not self._sending:
            self._spare.clear()
        self._obey(self._fetching.tick(now))
        self._obey(self._serving.tick(now))

    def _hear(self, heard: Heard) -> None:
        now = time.monotonic()
        if isinstance(heard.message, Fetch):
            self._obey(self._serving.hear(heard.link, heard.message, now, time.time()))
        else:
            self._obey(self._fetching.hear(heard.link, heard.message, heard.payload, now), heard.payload)

    def _obey(self, effects: Iterable[fetching.Effect | ServingEffect], payload: bytes | memoryview = b"") -> None:
        for effect in effects:
            match effect:
                case fetching.Ask(link, fetch):
                    self._say(link, fetch)
                case fetching.Take(key, offset):
                    self._write(key, offset, payload)
                case fetching.Fetched(key):
                    self._tell(key, "")
                case fetching.Failed(key, reason):
                    self._tell(key, reason)
                case Say(link, message):
                    self._say(link, message)
                case Find(key):
                    self._find(key)
                case Close(key):
                    os.close(self._sources.pop(key).fd)

    def _say(self, link: Link, message: Sayable) -> None:
        try:
            self._wires.send(link, message)
        except LinkGone as gone:
            # Not now: the machine is in the midst of its effects.
            self.call(self.lost, link, str(gone))

    # -- fetching

    def _begin(self, order: Order, fd: int, offset: int, told: Callable[[str], None]) -> None:
        assert order.key not in self._targets, "an object is fetched once at a time"
        self._targets[order.key] = fd, offset, told
        self._obey(self._fetching.begin(order, time.monotonic()))

    def _cancel(self, key: ObjectKey) -> None:
        self._obey(self._fetching.cancel(key, time.monotonic()))
        self._tell(key, CANCELLED)

    def _tell(self, key: ObjectKey, reason: str) -> None:
        target = self._targets.pop(key, None)
        if target is not None:
            self.counts["failed" if reason else "fetched"] += 1
            if reason and key in self._sources:
                self._on_missing(key)
            target[2](reason)

    def _write(self, key: ObjectKey, offset: int, payload: bytes | memoryview) -> None:
        target = self._targets.get(key)
        if target is None:
            return  # a piece before it could not be written
        fd, start, _ = target
        try:
            _write_all(fd, payload, start + offset)
        except OSError as error:
            reason = f"it cannot be written here: {error.strerror}"
            self._tell(key, reason)
            self.call(lambda: self._obey(self._fetching.break_off(key, reason, time.monotonic())))
        self.counts["bytes_in"] += len(payload)

    # -- serving

    def _on_found(self, key: ObjectKey, source: Source) -> None:
        if key in self._sources:
            os.close(source.fd)
            return
        if source.coming and key not in self._targets:
            # The fetch ended meanwhile, one way or the other: its owner knows which once it has heard of it.
            os.close(source.fd)
            self._find(key)
            return
        self._sources[key] = source
        self._obey(self._serving.found(key, source.size, time.monotonic()))

    def _on_missing(self, key: ObjectKey) -> None:
        self._obey(self._serving.missing(key))

    def _send_pieces(self) -> None:
        self._reap()
        self._more = False
        for _ in range(TURN):
            piece = self._serving.take(self._can_send, self._fetching.has) if len(self._sending) < SENDING else None
            if piece is None:
                return
            self._send_piece(piece)
        self._more = True

    def _can_send(self, link: Link) -> bool:
        return self._sending_on[link] < CHUNK_WINDOW

    def _send_piece(self, piece: Piece) -> None:
        buffer = self._spare.pop() if self._spare else bytearray(CHUNK)
        data = memoryview(buffer)[: piece.length]
        if not self._read(piece, data):
            self._obey(self._serving.missing(piece.key))
            self._say(piece.link, Unknown(piece.request))
            return
        chunk = Chunk(piece.request, piece.offset, piece.total, zlib.crc32(data))
        try:
            tracker = self._wires.send(piece.link, chunk, data)
        except LinkGone as gone:
            self.lost(piece.link, str(gone))
            return
        self.counts["bytes_out"] += piece.length
        if tracker is None:
            self._spare.append(buffer)
        else:
            self._sending.append((piece.link, tracker, buffer))
            self._sending_on[piece.link] += 1

    def _read(self, piece: Piece, into: memoryview) -> bool:
        source = self._sources[piece.key]
        try:
            return os.preadv(source.fd, [into], source.offset + piece.offset) == piece.length
        except OSError as error:
            log.error("an object cannot be read: %s", error)  # noqa: TRY400 -- the disk's fault, not a bug
            return False

    def _reap(self) -> None:
        """Note what has left."""
        for _ in range(len(self._sending)):
            link, tracker, buffer = self._sending.popleft()
            if tracker.done:
                self._spare.append(buffer)
                self._sending_on[link] -= 1
                if not self._sending_on[link]:
                    del self._sending_on[link]
            else:
                self._sending.append((link, tracker, buffer))


def _write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(fd, left, offset)
        left, offset = left[written:], offset + written
