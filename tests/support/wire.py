"""One node and one head joined by a wire that loses, doubles, reorders and replays; a fake clock; no I/O.

The hosts around the two machines do what the real shells and cores do, and no more: the node opens a new link when
its session ended and its wait is over; the head accepts whoever greets it and lets the newest HELLO win. Everything
crosses the wire as frames, so the codec takes part. `check` is the oracle: within one session and direction the
delivered reliable messages are exactly a prefix of the sent ones, and the others come at most once and in order.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import Disconnect, Heartbeat, HeartbeatAck, Recall, Release
from maze_protocol.session import (
    Deliver,
    Ended,
    Established,
    Greeted,
    HeadSession,
    NodeSession,
    Output,
    SessionState,
    Transmit,
)
from support.messages import make_hello, make_welcome

TO_HEAD, TO_NODE = "to head", "to node"
TICK = 0.25


@dataclass
class Packet:
    """A message on its way."""

    direction: str
    link: int
    frames: list[bytes]


@dataclass
class Record:
    """What one direction of one session carried: numbers of reliable messages, times of the others."""

    sent: list[int] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    loose: list[float] = field(default_factory=list)


class World:
    """The node, the head, the wire between them, and the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wire: list[Packet] = []
        self.history: list[Packet] = []
        self.records: dict[tuple[int, str], Record] = defaultdict(Record)
        self.ends: list[Ended] = []
        self._numbers = count(1)
        self._links = count(1)
        self._heads: dict[int, HeadSession] = {}
        self._epoch = 1
        self._sessions = count(1)
        self._beat_at = 0.0
        self._connect_at: float | None = None
        self.connect()

    # -- the node's shell ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open a new link with a new machine, as the node's shell does."""
        self.link = next(self._links)
        self.node = NodeSession()
        self._connect_at = None
        self._established = False
        self._obey_node(self.node.connect(make_hello(), self.now))

    def node_send(self) -> None:
        if self.node.state is SessionState.LIVE:
            number = next(self._numbers)
            self.records[self.node.session, TO_HEAD].sent.append(number)
            self._obey_node(self.node.send(Release((number,)), self.now))

    def beat(self) -> None:
        if self.node.state is SessionState.LIVE:
            self._obey_node(self.node.send(Heartbeat(float(next(self._numbers))), self.now))

    def _obey_node(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(envelope, payloads):
                    self._put(TO_HEAD, self.link, encode_frames(envelope, payloads))
                case Deliver(message, _):
                    self._note(self.node.session, TO_NODE, message)
                case Ended():
                    self.ends.append(output)
                    self._connect_at = self.now + output.retry_after
                case Established():
                    assert not self._established, "a session began twice on one connection"
                    self._established = True
                case Greeted():
                    raise AssertionError("only heads are greeted")

    # -- the head's shell and the little of its core that sessions need -------------------------------------------

    def head_send(self) -> None:
        for link, head in self._live_heads():
            number = next(self._numbers)
            self.records[head.session, TO_NODE].sent.append(number)
            self._obey_head(link, head, head.send(Recall((number,)), self.now))

    def restart_head(self) -> None:
        """Lose every session, as a kill -9 of the head does."""
        self._heads.clear()
        self._epoch += 1

    def _live_heads(self) -> list[tuple[int, HeadSession]]:
        return [(link, head) for link, head in self._heads.items() if head.state is SessionState.LIVE]

    def _obey_head(self, link: int, head: HeadSession, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(envelope, payloads):
                    self._put(TO_NODE, link, encode_frames(envelope, payloads))
                case Deliver(message, _):
                    self._note(head.session, TO_HEAD, message)
                case Greeted():
                    self._admit(link, head)
                case Ended():
                    self._heads.pop(link, None)
                case Established():
                    raise AssertionError("only nodes are established")

    def _admit(self, link: int, head: HeadSession) -> None:
        for other, old in self._live_heads():
            self._obey_head(other, old, old.refuse(Disconnect("superseded"), self.now))
        session = self._epoch << 32 | next(self._sessions)
        self._obey_head(link, head, head.accept(make_welcome(session, epoch=self._epoch), self.now))

    # -- the wire -------------------------------------------------------------------------------------------------

    def _put(self, direction: str, link: int, frames: list[bytes]) -> None:
        packet = Packet(direction, link, frames)
        self.wire.append(packet)
        self.history.append(packet)

    def deliver(self, index: int) -> None:
        """Let one packet arrive, not necessarily the oldest."""
        if not self.wire:
            return
        packet = self.wire.pop(index % len(self.wire))
        opened = decode_frames(packet.frames)
        assert opened is not None
        if packet.direction == TO_NODE:
            if packet.link == self.link:
                self._obey_node(self.node.receive(*opened, self.now))
            return
        head = self._heads.setdefault(packet.link, HeadSession(self.now))
        self._obey_head(packet.link, head, head.receive(*opened, self.now))

    def drop(self, index: int) -> None:
        if self.wire:
            self.wire.pop(index % len(self.wire))

    def double(self, index: int) -> None:
        if self.wire:
            self.wire.append(self.wire[index % len(self.wire)])

    def replay(self, index: int) -> None:
        """Send an old packet of the node again on its present link, as a queue that outlived its connection does."""
        old = [packet for packet in self.history if packet.direction == TO_HEAD]
        self.wire.append(Packet(TO_HEAD, self.link, old[index % len(old)].frames))

    def reroute(self) -> None:
        """Give the node's connection another routing id behind its back, as libzmq does after a TCP reset."""
        self.wire = [packet for packet in self.wire if packet.link != self.link]
        self.link = next(self._links)

    # -- time -------------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps with the shells' timers running; nothing arrives meanwhile."""
        for _ in range(max(1, round(seconds / TICK))):
            self._step()

    def settle(self, seconds: float = 25.0) -> None:
        """Let time pass on a good wire: everything arrives at once and in order."""
        for _ in range(round(seconds / TICK)):
            self._step()
            while self.wire:
                self.deliver(0)

    def _step(self) -> None:
        self.now += TICK
        if self._connect_at is not None and self.now >= self._connect_at:
            self.connect()
        if self.now >= self._beat_at:
            self._beat_at = self.now + 1.0
            self.beat()
        self._obey_node(self.node.tick(self.now))
        for link, head in list(self._heads.items()):
            self._obey_head(link, head, head.tick(self.now))

    # -- the oracle -------------------------------------------------------------------------------------------------

    def _note(self, session: int, direction: str, message: Any) -> None:
        record = self.records[session, direction]
        if isinstance(message, (Heartbeat, HeartbeatAck)):
            record.loose.append(message.sent_at if isinstance(message, Heartbeat) else message.echo)
        else:
            assert isinstance(message, (Release, Recall)), message
            record.delivered.extend(message.leases)
        self.check(record)

    def check(self, record: Record) -> None:
        assert record.delivered == record.sent[: len(record.delivered)], "not the sent messages, once and in order"
        assert record.loose == sorted(set(record.loose)), "an unreliable message came twice or out of order"

    def check_converged(self) -> None:
        """Both ends are live in one and the same session, nothing sent in it is missing, and it carries messages."""
        self.node_send()
        self.head_send()
        self.settle(5.0)
        live = [head.session for _, head in self._live_heads()]
        assert self.node.state is SessionState.LIVE
        assert live == [self.node.session]
        for direction in (TO_HEAD, TO_NODE):
            record = self.records[self.node.session, direction]
            assert record.delivered == record.sent, f"lost for ever {direction}"
            assert record.sent
