"""The XPUB shell: committed segments for whoever subscribed. A hint, never the only copy.

A publication has three frames: topic, kind, body. Kinds:
    S   a segment: MessagePack of maze_protocol.events.Segment, as in the journal
    W   welcome, sent when a subscription arrives: MessagePack of [epoch, cluster id]; a reader that has it has joined,
        and reads what it missed over HTTP, from the number that it has
A slow reader loses messages and finds out by the numbers (`first_seq`); it never slows anybody down, so NODROP is never
set. A segment is encoded once, and only if somebody listens to its topic.
"""

from __future__ import annotations

from typing import Final

import msgspec
import zmq

from maze_head.sockets import Pump
from maze_protocol.events import Segment
from maze_protocol.topics import run_topic

__all__ = ["SEGMENT", "WELCOME", "Publisher"]

SEGMENT: Final = b"S"
WELCOME: Final = b"W"
MAX_TOPIC: Final = 64
MAX_TOPICS: Final = 10_000
"""Above it topics are not told apart any more and everything is published."""

_encode: Final = msgspec.msgpack.Encoder().encode


class Publisher:
    """Owns a bound XPUB. Made and used on the event loop."""

    def __init__(self, xpub: zmq.Socket[bytes], epoch: int, cluster_id: bytes) -> None:
        # Every subscription is passed up, not only the first one of a topic: each joiner gets its welcome.
        xpub.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._xpub = xpub
        self._welcome = _encode((epoch, cluster_id))
        self._topics: set[bytes] = set()
        self._crowded = False
        self._pump = Pump(xpub, self._take)
        self.published = 0

    def close(self) -> None:
        """Stop and close the socket."""
        self._pump.close()
        self._xpub.close(0)

    def tick(self) -> None:
        """Look for missed wake-ups."""
        self._pump.check()

    def publish(self, run_id: bytes, segment: Segment) -> None:
        """Send a committed segment to the subscribers of its run."""
        if not self._topics and not self._crowded:
            return
        topic = run_topic(run_id)
        if self._listens(topic):
            self._send(topic, SEGMENT, _encode(segment))
            self.published += 1

    def counters(self) -> dict[str, int | float]:
        """Return what the publisher counted."""
        return {"publisher_topics": len(self._topics), "publisher_segments_total": self.published}

    def _listens(self, topic: bytes) -> bool:
        # Subscriptions match by prefix; a topic has few prefixes, while there may be many subscriptions.
        return self._crowded or any(topic[:length] in self._topics for length in range(len(topic) + 1))

    def _take(self) -> bool:
        try:
            frames = self._xpub.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        mark, topic = frames[0][:1], frames[0][1:]
        if len(topic) > MAX_TOPIC or len(frames) != 1:
            return True
        if mark == b"\x01":
            self._joined(topic)
        elif mark == b"\x00":
            self._topics.discard(topic)
        return True

    def _joined(self, topic: bytes) -> None:
        if len(self._topics) < MAX_TOPICS:
            self._topics.add(topic)
        else:
            self._crowded = True
        self._send(topic, WELCOME, self._welcome)

    def _send(self, topic: bytes, kind: bytes, body: bytes) -> None:
        try:
            self._xpub.send_multipart([topic, kind, body], zmq.NOBLOCK)
        except zmq.Again:
            return
        self._pump.nudge()
