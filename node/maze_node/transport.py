"""The DEALER shell: one socket at a time, frames to session to agent, and back.

Rules
* The raw FD with add_reader, drained up to DRAIN_MESSAGES per turn; after every send the socket's events are looked
  at again, since any call on it may consume the edge. A slow poll is the safety net, never the way.
* IMMEDIATE=1 and a monitor: a socket that loses its connection is thrown away, not reused. Nothing is queued by
  ZeroMQ for a connection that is not there; what is worth saying again is in the agent.
* Connecting anew: see core/backoff.py. The address is asked for each time, because a restarted head may have written
  another one into the connection file, or have another key.
* A head that knows our key refuses it only if it was revoked, or never authorised: after REFUSALS times in a row the
  node leaves instead of knocking for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import zmq
from zmq.utils.monitor import parse_monitor_message

from maze._daemon.errors import SecretUnusable
from maze_node.clock import monotonic
from maze_node.core.backoff import Backoff
from maze_node.core.events import LinkLost, Said, Welcomed
from maze_node.identity import HeadAddress
from maze_node.turns import Turns
from maze_protocol.errors import MessageTooLarge, RemoteProtocolError
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.limits import DRAIN_MESSAGES, HIGH_WATER_MARK, MAX_CONTROL_FRAME
from maze_protocol.messages import Hello, Message
from maze_protocol.session import Deliver, Ended, Established, NodeSession, Output, SessionState, Transmit

__all__ = ["Transport"]

log = logging.getLogger(__name__)
TICK: Final = 0.25
GOODBYE_LINGER: Final = 2000
REFUSALS: Final = 3
_UNAUTHORISED: Final = (
    "the head does not know this node's key {key}: it was revoked, or never authorised; get a token from "
    "`maze-head token create --scope node-join` there, and give it to `maze-node join`"
)
# As plain numbers: the enum's operators cost more than the calls.
_POLLIN: Final = int(zmq.POLLIN)
_POLLOUT: Final = int(zmq.POLLOUT)
_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = _NOBLOCK | int(zmq.SNDMORE)
_EVENTS: Final = int(zmq.EVENTS)
_FAILED: Final = (
    "the handshake failed; a head that authenticates nodes needs `maze-node join`, or --head-key with the key it has"
)
_NO_WORD: Final = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_BAD_NEWS: Final = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Transport:
    """The node's connection to its head."""

    def __init__(
        self,
        turns: Turns,
        find_head: Callable[[], HeadAddress | None],
        make_hello: Callable[[], Hello],
        give_up: Callable[[str], None],
    ) -> None:
        self._loop = turns.loop
        self._post = turns.post
        self._on_readable = turns.ending(self._woken)
        self._find_head = find_head
        self._make_hello = make_hello
        self._give_up = give_up
        self._context = zmq.Context(io_threads=1)
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._session = NodeSession()
        self._outgoing: deque[list[bytes]] = deque()
        self._backoff = Backoff()
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._said = ""
        self._refusals = 0
        self.head = HeadAddress("")

    def start(self) -> None:
        """Connect, and keep connecting until `close`."""
        self._connect()
        self._tick()

    def send(self, message: Message, payloads: Sequence[bytes] = ()) -> None:
        """Say something within the session; dropped if there is none (the agent will know)."""
        if self._session.state is SessionState.LIVE:
            self._perform(self._session.send(message, monotonic(), payloads))

    def reconnect(self, reason: str) -> None:
        """Throw the connection away and make another one."""
        self._disconnect("reconnect", reason)

    def close(self) -> None:
        """Leave; what was sent just before is still delivered."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._close_socket(GOODBYE_LINGER)
        self._context.term()

    # -- connecting

    def _connect(self) -> None:
        self._timer = None
        head = self._look()
        if head is None:
            self._timer = self._loop.call_later(self._backoff.look_again(monotonic(), _jitter()), self._connect)
            return
        self.head = head
        self._session = NodeSession()
        self._outgoing.clear()
        self._socket = self._open(head)
        self._asked_at = monotonic()
        self._backoff.connecting(self._asked_at)
        self._perform(self._session.connect(self._make_hello(), self._asked_at))

    def _look(self) -> HeadAddress | None:
        """Find the head; None, and why is told, if there is none now."""
        try:
            head = self._find_head()
        except SecretUnusable as error:
            self._say_once(f"waiting for keys that can be used: {error}")
            return None
        if head is None:
            self._say_once("waiting for a head: there is no connection file yet")
        return head

    def _open(self, head: HeadAddress) -> zmq.Socket[bytes]:
        new = self._context.socket(zmq.DEALER)
        for option, value in _profile().items():
            new.setsockopt(option, value)
        if head.side is not None:
            head.side.apply(new)
        self._monitor = new.get_monitor_socket(_BAD_NEWS)
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._loop.add_reader(self._monitor.fileno(), self._on_monitor)
        self._loop.add_reader(new.fileno(), self._on_readable)
        new.connect(head.endpoint)
        # A descriptor becomes readable only after its socket has once been asked for events and had none.
        self._loop.call_soon(self._on_monitor)
        return new

    def _connect_later(self, at_least: float = 0.0) -> None:
        if self._closed or self._timer is not None:
            return
        self._timer = self._loop.call_later(self._backoff.delay(monotonic(), _jitter(), at_least), self._connect)

    def _disconnect(self, code: str, reason: str, retry_after: float = 0.0) -> None:
        if self._socket is None:
            return
        was_live = self._session.state is SessionState.LIVE or self._session.session > 0
        self._close_socket(0)
        self._session = NodeSession()
        if was_live:
            log.warning("connection to the head lost: %s", reason or code, extra={"code": code})
            self._post(LinkLost(code, reason))
        else:
            self._say_once(f"waiting for the head at {self.head.endpoint}: {reason or code}")
        self._connect_later(retry_after)

    def _say_once(self, text: str) -> None:
        """Tell people why nothing happens, once for each cause."""
        if text != self._said:
            self._said = text
            log.info(text)

    def _close_socket(self, linger: int) -> None:
        if self._socket is None or self._monitor is None:
            return
        self._loop.remove_reader(self._monitor.fileno())
        self._loop.remove_reader(self._socket.fileno())
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(linger)
        self._socket = self._monitor = None

    # -- traffic

    def _on_monitor(self) -> None:
        while self._monitor is not None and _events(self._monitor) & _POLLIN:
            event = parse_monitor_message(self._monitor.recv_multipart(_NOBLOCK))["event"]
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._count_refusal()
            self._disconnect("disconnected", _FAILED if event in _NO_WORD else _name(event))

    def _count_refusal(self) -> None:
        """Leave after a few: what the head does not know now it will not know later."""
        self._refusals += 1
        if self._refusals == REFUSALS:
            self._closed = True
            self._give_up(_UNAUTHORISED.format(key=self.head.pair.public if self.head.pair else ""))

    def _pump(self) -> None:
        """Send what waits, take what came, until the socket is quiet or the turn's share is used up."""
        self._pump_on(0)

    def _woken(self) -> None:
        """Do the same, but take something without asking first: there nearly always is something."""
        if self._socket is not None:
            self._take_one()
            self._pump_on(1)

    def _pump_on(self, taken: int) -> None:
        while self._socket is not None:
            events = _events(self._socket)
            if self._outgoing and events & _POLLOUT:
                self._send_some()
            elif not events & _POLLIN:
                return
            elif taken >= DRAIN_MESSAGES:
                self._loop.call_soon(self._on_readable)
                return
            else:
                taken += 1
                self._take_one()

    def _send_some(self) -> None:
        assert self._socket is not None, "without a socket there is no session"
        try:
            while self._outgoing:
                _send(self._socket, self._outgoing[0])
                self._outgoing.popleft()
        except zmq.Again:
            return

    def _take_one(self) -> None:
        assert self._socket is not None, "only _pump calls"
        try:
            frames = _receive(self._socket)
        except zmq.Again:
            return
        try:
            decoded = decode_frames(frames)
        except RemoteProtocolError as error:
            log.warning("refused frames of the head: %s", error, extra={"code": error.code})
            self._perform(self._session.complain(error, monotonic()))
            return
        if decoded is not None:
            self._perform(self._session.receive(*decoded, monotonic()))

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._transmit(output)
            elif isinstance(output, Deliver):
                self._post(Said(output.message, output.payloads))
            elif isinstance(output, Established):
                self._backoff.established(monotonic())
                self._said = ""
                self._refusals = 0
                self._post(Welcomed(output.welcome, self._asked_at))
            elif isinstance(output, Ended):
                self._on_ended(output)

    def _transmit(self, output: Transmit) -> None:
        try:
            frames = encode_frames(output.envelope, output.payloads)
        except MessageTooLarge:
            # The agent batches within the limits: a bug, but dropping the session keeps both sides in step.
            log.exception("cannot send %s", type(output.envelope.message).__name__)
            self._loop.call_soon(self._disconnect, "too_large", "a message of this node exceeds the limits")
            return
        self._outgoing.append(frames)
        self._send_some()
        self._pump()

    def _on_ended(self, ended: Ended) -> None:
        if ended.code == "goodbye":
            return
        if ended.fatal:
            self._closed = True
            self._disconnect(ended.code, ended.reason)
            self._give_up(f"the head refused this node: {ended.reason or ended.code}")
            return
        self._disconnect(ended.code, ended.reason, ended.retry_after)

    def _tick(self) -> None:
        if self._closed:
            return
        if self._socket is not None:
            self._perform(self._session.tick(monotonic()))
            self._pump()
            self._on_monitor()
        self._loop.call_later(TICK, self._tick)


def _jitter() -> float:
    return random.random()  # noqa: S311 -- to spread connections, not a secret


def _events(of: zmq.Socket[bytes]) -> int:
    return cast(int, of.get(_EVENTS))  # `getsockopt` takes twice as long


def _send(to: zmq.Socket[bytes], frames: list[bytes]) -> None:
    """Send a message without waiting; as `send_multipart`, which joins flags of the enum for each frame.

    Raises:
        zmq.Again: not now; nothing of it was sent.
    """
    for frame in frames[:-1]:
        to.send(frame, _MORE)
    to.send(frames[-1], _NOBLOCK)


def _receive(of: zmq.Socket[bytes]) -> list[bytes]:
    """Return the frames of a message; as `recv_multipart`, which asks the socket after each whether there are more.

    Raises:
        zmq.Again: there is none.
    """
    frame = of.recv(_NOBLOCK, copy=False)
    frames = [frame.bytes]
    while frame.more:
        frame = of.recv(_NOBLOCK, copy=False)
        frames.append(frame.bytes)
    return frames


def _name(event: int) -> str:
    return str(zmq.Event(event).name).lower().replace("_", " ")


def _profile() -> dict[int, int]:
    return {
        zmq.IMMEDIATE: 1,
        zmq.LINGER: 0,
        zmq.IPV6: 1,
        zmq.SNDHWM: HIGH_WATER_MARK,
        zmq.RCVHWM: HIGH_WATER_MARK,
        zmq.MAXMSGSIZE: MAX_CONTROL_FRAME,
        zmq.HEARTBEAT_IVL: 1000,
        zmq.HEARTBEAT_TIMEOUT: 3000,
        zmq.HEARTBEAT_TTL: 3000,
        zmq.HANDSHAKE_IVL: 5000,
        zmq.RECONNECT_IVL: 100,
        zmq.RECONNECT_IVL_MAX: 1000,
        zmq.CONNECT_TIMEOUT: 800,
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: 30,
        zmq.TCP_KEEPALIVE_INTVL: 10,
        zmq.TCP_KEEPALIVE_CNT: 3,
    }
