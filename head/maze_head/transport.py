"""The ROUTER shell: frames in, sessions, events for the driver; messages of the core out.

Rules
* Sends never block and never raise for a peer: EHOSTUNREACH and EAGAIN mean that the link is lost.
* Nothing that a peer sends can raise out of the loop; each kind of refusal has a counter.
* A ROUTER cannot close one connection. A link whose session is over stays in the table for a while, so that the
  session can repeat its last word, and is then forgotten.
* The monitor tells when a connection closes; the descriptor under a link's first frame tells whose it was. The
  monitor is drained before a descriptor is noted, because descriptors are used again. That frame also tells the key.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import zmq

from maze._daemon.curve import key_of_frame
from maze_head.core.events import Event, LinkLost, NodeGreeted, NodeSaid
from maze_head.links import STRANGER_SECONDS, Link, LinkTable
from maze_head.pulls import PULL_SECONDS, LogPulls
from maze_head.sockets import NOBLOCK, Pump, send_frames
from maze_protocol.errors import LocalProtocolError, RemoteProtocolError
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.limits import MAX_FRAMES
from maze_protocol.messages import Disconnect, LogChunk, LogPull, Message, Reject, RetryAfter, Welcome
from maze_protocol.session import Deliver, Ended, Established, Greeted, Output, SessionState, Transmit

__all__ = ["Transport"]

log = logging.getLogger(__name__)

MAX_STRIKES: Final = 3
"""Refused messages after which a link is ended."""
TELL_EVERY: Final = 60.0
"""Seconds between two lines of the log about connections of whoever speaks no ZeroMQ."""
_MONITOR_EVENT: Final = struct.Struct("=HI")
_UNSENT: Final = (zmq.EHOSTUNREACH, zmq.EAGAIN)


class Transport:
    """Owns the sessions on a bound ROUTER. Made and used on the event loop.

    Args:
        feed: takes news of links.
        gather: takes what nodes say; `feed` does if there is none.
        gathered: called when all that came together has been taken.
        http: where HTTP is served; told to the log when somebody comes here who speaks no ZeroMQ.
    """

    def __init__(
        self,
        router: zmq.Socket[bytes],
        feed: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        gather: Callable[[Event], None] | None = None,
        gathered: Callable[[], None] = lambda: None,
        http: str = "",
    ) -> None:
        self._router = router
        self._feed = feed
        self._gather = gather or feed
        self._clock = clock
        self._links = LinkTable()
        self._pulls = LogPulls()
        self._counts: Counter[str] = Counter()
        self._http = http
        self._silent: set[int] = set()
        """Descriptors of connections that have said nothing yet."""
        self._told_at = -TELL_EVERY
        self._monitor = router.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._monitor_pump = Pump(self._monitor, self._take_notice)
        self._pump = Pump(router, self._take, gathered)

    def close(self) -> None:
        """Stop receiving and close the sockets; nodes keep what they run and look for the next head."""
        self._pump.close()
        self._monitor_pump.close()
        for link in self._links.all():
            self._pulls.lose(link.id)
        self._router.disable_monitor()
        self._monitor.close(0)
        self._router.close(0)

    def send(self, link: bytes, message: Message, payloads: Iterable[bytes] = ()) -> None:
        """Say something within a session; nothing happens if it is over."""
        known = self._links.get(link)
        if known is not None and known.live:
            self._act(known, known.session.send(message, self._clock(), tuple(payloads)))

    def admit(self, link: bytes, welcome: Welcome) -> None:
        """Open the session of a link that greeted."""
        known = self._links.get(link)
        if known is not None and known.session.state is SessionState.GREETING:
            self._act(known, known.session.accept(welcome, self._clock()))

    def refuse(self, link: bytes, message: Reject | RetryAfter | Disconnect) -> None:
        """Turn a link away, or end its session. The core knows already, so no LinkLost comes of it."""
        known = self._links.get(link)
        if known is not None:
            known.greeted = False
            self._act(known, known.session.refuse(message, self._clock()))

    async def pull(self, link: bytes, lease: int, stream: int, offset: int, limit: int) -> LogChunk | None:
        """Ask a node for captured output; None if the link went away or did not answer in time."""
        known = self._links.get(link)
        if known is None or not known.live:
            return None
        request, future = self._pulls.begin(link)
        try:
            self.send(link, LogPull(request, lease, stream, offset, limit))
            async with asyncio.timeout(PULL_SECONDS):
                return await future
        except TimeoutError:
            return None
        finally:
            self._pulls.end(request)

    def tick(self) -> None:
        """Forget silent strangers and look for missed wake-ups; called a few times per second."""
        now = self._clock()
        for link in self._links.strangers():
            ended = any(isinstance(output, Ended) for output in link.session.tick(now))
            if ended or now - link.heard_at > STRANGER_SECONDS:
                self._forget(link, "silent")
        self._monitor_pump.check()
        self._pump.check()

    def counters(self) -> dict[str, int | float]:
        """Return what the transport counted."""
        return {
            "transport_links": len(self._links),
            "transport_sessions": self._links.live,
            "transport_missed_wakeups_total": self._pump.missed + self._monitor_pump.missed,
            **{f"transport_{name}_total": value for name, value in self._counts.items()},
        }

    def _take(self) -> bool:
        """Receive one message; False if there is none."""
        try:
            routing = self._router.recv(NOBLOCK, copy=False)
        except zmq.Again:
            return False
        link = self._links.get(routing.bytes)
        if link is None:
            frames, fd, key = self._receive_first(routing)
            link = self._meet(routing.bytes, fd, key)
        else:
            frames = self._receive_rest(routing)
        link.heard_at = self._clock()
        self._counts["messages_in"] += 1
        self._hear(link, frames)
        return True

    def _receive_rest(self, before: zmq.Frame) -> list[bytes]:
        """Receive the frames after another one; a surplus is read and dropped, one above the limit remains."""
        frames: list[bytes] = []
        # A frame knows whether more follow; to ask the socket after each costs more than the frame itself.
        while before.more:
            before = self._router.recv(NOBLOCK, copy=False)
            if len(frames) <= MAX_FRAMES:
                frames.append(before.bytes)
        return frames

    def _receive_first(self, routing: zmq.Frame) -> tuple[list[bytes], int, str]:
        """Receive the frames of a new link, the descriptor of its connection, -1 if that is not known, and its key."""
        if not routing.more:
            return [], -1, ""
        frame = self._router.recv(NOBLOCK, copy=False)
        return [frame.bytes, *self._receive_rest(frame)], _descriptor(frame), key_of_frame(frame)

    def _meet(self, link_id: bytes, fd: int, key: str) -> Link:
        while self._take_notice():
            pass
        self._silent.discard(fd)
        link = Link(link_id, fd, self._clock(), key)
        displaced = self._links.add(link)
        if displaced is not None:
            self._lost(displaced, "too many strangers")
        return link

    def _take_notice(self) -> bool:
        """Receive one event of the monitor; False if there is none."""
        try:
            event, _ = self._monitor.recv_multipart(NOBLOCK)
        except zmq.Again:
            return False
        kind, fd = _MONITOR_EVENT.unpack(event)
        if kind == zmq.EVENT_ACCEPTED:
            self._silent.add(fd)
        elif link := self._links.by_fd(fd):
            self._counts["disconnects"] += 1
            self._forget(link, "disconnected")
        elif fd in self._silent:
            self._silent.discard(fd)
            self._counts["disconnects_without_a_word"] += 1
            self._tell_of_silence()
        return True

    def _tell_of_silence(self) -> None:
        now = self._clock()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            log.info("a connection to the port for nodes ended before it said anything", extra={"http": self._http})

    def _hear(self, link: Link, frames: list[bytes]) -> None:
        now = self._clock()
        try:
            decoded = decode_frames(frames)
        except RemoteProtocolError as error:
            self._refuse_frames(link, error, now)
            return
        if decoded is None:
            self._counts["ignored_unknown"] += 1
            return
        self._act(link, link.session.receive(*decoded, now))

    def _refuse_frames(self, link: Link, error: RemoteProtocolError, now: float) -> None:
        self._counts[f"refused_{error.code}"] += 1
        link.strikes += 1
        log.debug("frames refused", extra={"code": error.code, "reason": str(error)})
        self._act(link, link.session.complain(error, now))
        if link.strikes == MAX_STRIKES:
            self._act(link, link.session.refuse(Disconnect(error.code, str(error)), now))

    def _act(self, link: Link, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit():
                    self._write(link, output)
                case Deliver(LogChunk() as chunk):
                    self._pulls.deliver(link.id, chunk)
                case Deliver(message, payloads):
                    self._gather(NodeSaid(link.id, message, payloads))
                case Greeted(hello):
                    link.greeted = True
                    self._feed(NodeGreeted(link.id, hello, link.key))
                case Ended():
                    self._lost(link, output.reason or output.code)
                case Established():
                    raise AssertionError("a head's session is accepted, not established")
        self._links.sort(link)

    def _write(self, link: Link, output: Transmit) -> None:
        try:
            frames = encode_frames(output.envelope, output.payloads)
            send_frames(self._router, (link.id, *frames))
            self._counts["messages_out"] += 1
        except LocalProtocolError:
            log.exception("a message could not be sent", extra={"kind": type(output.envelope.message).__name__})
            self._forget(link, "a message to it could not be sent")
        except zmq.ZMQError as error:
            if error.errno not in _UNSENT:
                raise
            self._counts["unroutable" if error.errno == zmq.EHOSTUNREACH else "congested"] += 1
            self._forget(link, "unroutable" if error.errno == zmq.EHOSTUNREACH else "its queue is full")
        self._pump.nudge()

    def _forget(self, link: Link, reason: str) -> None:
        self._links.remove(link)
        self._lost(link, reason)

    def _lost(self, link: Link, reason: str) -> None:
        """Tell the core once, if it ever heard of the link."""
        self._pulls.lose(link.id)
        if link.greeted:
            link.greeted = False
            self._feed(LinkLost(link.id, reason))


def _descriptor(frame: zmq.Frame) -> int:
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        # Bytes that are no ZMTP can pass for its version 1.0 (`GET /` does), whose frames carry no properties.
        return -1
