"""The XPUB shell: committed events for whoever subscribed. A hint, never the only copy.

A publication has three frames: topic, kind, body. Kinds:
    S   a segment or a piece of one: the very bytes of a WebSocket frame with format=msgpack, an array of events
    T   tip: MessagePack of [epoch, last_seq, sealed], every second while somebody listens and three times after the
        seal, so that a lost last publication is noticed
    W   welcome, sent when a subscription arrives: MessagePack of [epoch, cluster id]; a reader that has it has joined,
        and reads what it missed over HTTP, from the number that it has
Each subscription is answered by hand (XPUB_MANUAL): with CURVE the key of who subscribes must allow it, at that moment;
a subscription that stands lasts as long as its connection.
A slow reader loses messages and finds out by the numbers; it never slows anybody down, so NODROP is never set, and its
queue is short. A segment is rendered once for all its readers, WebSockets included, and only if somebody listens; an
event too large for a publication is told by a tip.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import zmq

from maze._daemon.curve import key_of_frame
from maze_head.sockets import Pump
from maze_head.tips import Tips
from maze_protocol.errors import BadFrame
from maze_protocol.events import Segment
from maze_protocol.limits import KIB
from maze_protocol.topics import parse_topic, run_topic

__all__ = ["PIECE_BYTES", "SEGMENT", "TIP", "WELCOME", "Publisher", "Readings"]

logger = logging.getLogger(__name__)

SEGMENT: Final = b"S"
TIP: Final = b"T"
WELCOME: Final = b"W"
PIECE_BYTES: Final = 64 * KIB
QUEUED: Final = 256
"""Publications that wait for one subscriber at most, with PIECE_BYTES at most 16 MiB; what is above it is lost."""
WAITING: Final = 1_000
"""Segments that wait to be rendered; above it they are left to the tips."""
MAX_TOPIC: Final = 64
MAX_TOPICS: Final = 10_000
"""Above it topics are not told apart any more and everything is published."""

_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Readings:
    """What the publisher asks for; given by the composition root."""

    tip: Callable[[bytes], tuple[int, bool] | None]
    """The number of a run's newest committed event and whether its log is sealed; None: no such run."""
    render: Callable[[bytes, Segment, int], Awaitable[list[bytes]]]
    """A run's segment as arrays of events of about so many bytes at most."""
    clock: Callable[[], float]
    """A monotonic clock."""
    may_read: Callable[[str], bool] = lambda key: True
    """Whether a key may subscribe; "" without CURVE."""


class Publisher:
    """Owns a bound XPUB. Made and used on the event loop."""

    def __init__(self, xpub: zmq.Socket[bytes], epoch: int, cluster_id: bytes, readings: Readings) -> None:
        # Every subscription is passed up and holds only once it is confirmed; so is every end of one.
        xpub.setsockopt(zmq.XPUB_MANUAL, 1)
        xpub.setsockopt(zmq.SNDHWM, QUEUED)
        self._xpub = xpub
        self._epoch = epoch
        self._readings = readings
        self._welcome = _encode((epoch, cluster_id))
        self._topics: set[bytes] = set()
        self._asked: Counter[bytes] = Counter()
        """How many have asked for a topic and not left it, whether they got it or not: nobody tells who leaves."""
        self._crowded = False
        self._tips = Tips()
        self._waiting: deque[tuple[bytes, Segment]] = deque()
        self._rendering: asyncio.Task[None] | None = None
        self._pump = Pump(xpub, self._take)
        self.published = 0
        self.tips_sent = 0
        self.skipped = 0
        self.refused = 0

    async def close(self) -> None:
        """Stop and close the socket."""
        self._waiting.clear()
        if self._rendering is not None:
            self._rendering.cancel()
            await asyncio.gather(self._rendering, return_exceptions=True)
        self._pump.close()
        self._xpub.close(0)

    def tick(self) -> None:
        """Look for missed wake-ups, and send the tips that are due."""
        self._pump.check()
        now = self._readings.clock()
        for run_id in self._tips.due(now):
            sealed = self._tell(run_id)
            if sealed is None:
                self._tips.forget(run_id)
            else:
                self._tips.told(run_id, now, sealed=sealed)

    def publish(self, run_id: bytes, segment: Segment) -> None:
        """Send a committed segment to the subscribers of its run, after those that wait already."""
        if (not self._topics and not self._crowded) or not self._listens(run_topic(run_id)):
            return
        self._tips.watch(run_id, self._readings.clock())
        if len(self._waiting) >= WAITING:
            self.skipped += 1
            return
        self._waiting.append((run_id, segment))
        if self._rendering is None or self._rendering.done():
            self._rendering = asyncio.create_task(self._render_all())

    def counters(self) -> dict[str, int | float]:
        """Return what the publisher counted."""
        return {
            "publisher_topics": len(self._topics),
            "publisher_segments_total": self.published,
            "publisher_skipped_total": self.skipped,
            "publisher_tips_total": self.tips_sent,
            "publisher_refused_total": self.refused,
        }

    async def _render_all(self) -> None:
        while self._waiting:
            run_id, segment = self._waiting.popleft()
            try:
                pieces = await self._readings.render(run_id, segment, PIECE_BYTES)
            except Exception:
                logger.exception("a segment could not be published; its readers will find that it is missing")
                self.skipped += 1
                continue
            for piece in pieces:
                self._publish(run_id, piece)
            self.published += 1

    def _publish(self, run_id: bytes, piece: bytes) -> None:
        if len(piece) <= 2 * PIECE_BYTES:
            self._send(run_topic(run_id), SEGMENT, piece)
        else:
            self._tell(run_id)

    def _tell(self, run_id: bytes) -> bool | None:
        """Send a tip and return whether the log is sealed; None if nobody listens or there is no such run."""
        topic, tip = run_topic(run_id), self._readings.tip(run_id)
        if tip is None or not self._listens(topic):
            return None
        self._send(topic, TIP, _encode((self._epoch, *tip)))
        self.tips_sent += 1
        return tip[1]

    def _listens(self, topic: bytes) -> bool:
        # Subscriptions match by prefix; a topic has few prefixes, while there may be many subscriptions.
        return self._crowded or any(topic[:length] in self._topics for length in range(len(topic) + 1))

    def _take(self) -> bool:
        try:
            frames = self._xpub.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        asked = frames[0].bytes
        mark, topic = asked[:1], asked[1:]
        if len(topic) > MAX_TOPIC or len(frames) != 1:
            return True
        if mark == b"\x01":
            self._ask(topic, key_of_frame(frames[0]))
        elif mark == b"\x00":
            self._left(topic)
        return True

    def _ask(self, topic: bytes, key: str) -> None:
        tracked = topic in self._asked or len(self._asked) < MAX_TOPICS
        if tracked:
            self._asked[topic] += 1
        if not self._readings.may_read(key):
            self.refused += 1
            return
        self._xpub.setsockopt(zmq.SUBSCRIBE, topic)
        if tracked:
            self._topics.add(topic)
        else:
            self._crowded = True
        self._joined(topic)

    def _left(self, topic: bytes) -> None:
        self._xpub.setsockopt(zmq.UNSUBSCRIBE, topic)
        left = self._asked[topic] - 1
        if left > 0:
            self._asked[topic] = left
        else:
            del self._asked[topic]
            self._topics.discard(topic)

    def _joined(self, topic: bytes) -> None:
        self._send(topic, WELCOME, self._welcome)
        run_id = _run_of(topic)
        if run_id is not None:
            self._tips.watch(run_id, self._readings.clock())

    def _send(self, topic: bytes, kind: bytes, body: bytes) -> None:
        try:
            self._xpub.send_multipart([topic, kind, body], zmq.NOBLOCK)
        except zmq.Again:
            return
        self._pump.nudge()


def _run_of(topic: bytes) -> bytes | None:
    """Return the run that a subscription names, if it names one."""
    try:
        return parse_topic(topic)
    except BadFrame:
        return None  # a prefix: which runs it means shows when they are published
