"""ZeroMQ sockets of the head: one profile of options, binding with errors that help, and the pump that drains them.

Every number here answers a measured trap (docs/design.md, sockets): without MANDATORY a ROUTER drops silently;
without heartbeats a half-open connection looks alive; MAXMSGSIZE bounds one frame; a handshake that never ends would
hold its connection for 30 s.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

import zmq

from maze_head.errors import HeadError, Misconfigured, PortBusy
from maze_protocol.limits import DRAIN_MESSAGES, DRAIN_SECONDS, HIGH_WATER_MARK

__all__ = ["NOBLOCK", "Pump", "bind", "is_loopback", "open_socket", "resolve", "send_frames", "tcp_address", "trouble"]

NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = NOBLOCK | int(zmq.SNDMORE)
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
# Plain integers: each use of pyzmq's enumerations costs a microsecond or two, several times per message.

_PROFILE: Final = (
    (zmq.LINGER, 0),
    (zmq.IPV6, 1),
    (zmq.BACKLOG, 1024),
    (zmq.HANDSHAKE_IVL, 5000),
    (zmq.HEARTBEAT_IVL, 1000),
    (zmq.HEARTBEAT_TIMEOUT, 3000),
    (zmq.HEARTBEAT_TTL, 3000),
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, 30),
    (zmq.TCP_KEEPALIVE_INTVL, 10),
    (zmq.TCP_KEEPALIVE_CNT, 3),
    (zmq.SNDHWM, HIGH_WATER_MARK),
    (zmq.RCVHWM, HIGH_WATER_MARK),
)


def open_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, max_frame: int) -> zmq.Socket[bytes]:
    """Return an unbound socket with the head's options; `max_frame` bounds what a peer may send in one frame."""
    opened = context.socket(kind)
    for option, value in _PROFILE:
        opened.setsockopt(option, value)
    opened.setsockopt(zmq.MAXMSGSIZE, max_frame)
    if kind == zmq.ROUTER:
        opened.setsockopt(zmq.ROUTER_MANDATORY, 1)
    return opened


def bind(opened: zmq.Socket[bytes], host: str, port: int, option: str) -> int:
    """Bind to a resolved address and return the port; 0 takes a free one.

    Raises:
        PortBusy: somebody listens there.
        Misconfigured: the address is not ours, or the port not allowed.
    """
    try:
        opened.bind(tcp_address(host, port or "*"))
    except zmq.ZMQError as error:
        raise trouble(error.errno, host, port, option) from error
    return int(opened.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def trouble(number: int | None, host: str, port: int, option: str) -> HeadError:
    """Return the error for a failed bind."""
    if number == errno.EADDRINUSE:
        return PortBusy(
            f"port {port} on {host} is in use", remedy=f"stop what listens there, or give another {option} (0: any)"
        )
    if number == errno.EACCES:
        return Misconfigured(f"port {port} may not be used by this user", remedy=f"give {option} above 1023")
    reason = errno.errorcode.get(number or 0, str(number))
    return Misconfigured(f"cannot listen on {host} port {port} ({reason})", remedy="give a --host of this machine")


def tcp_address(host: str, port: int | str) -> str:
    """Return `tcp://host:port`, with brackets around IPv6."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def resolve(host: str) -> str:
    """Return the numeric address of a host name; ZeroMQ binds to nothing else.

    Raises:
        Misconfigured: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"--host {host}: {error}", remedy="give an address of this machine") from error
    # IPv4 first: `localhost` names both, and clients that are told one address should find all four ports there.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def is_loopback(address: str) -> bool:
    """Tell whether a numeric address is reachable from this machine only."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def send_frames(opened: zmq.Socket[bytes], frames: Sequence[bytes]) -> None:
    """Send one message without blocking.

    Raises:
        zmq.ZMQError: nothing of it was sent.
    """
    last = len(frames) - 1
    for place, frame in enumerate(frames):
        opened.send(frame, NOBLOCK if place == last else _MORE)


class Pump:
    """Receives from one socket on the event loop, a bounded share of it at a time.

    The descriptor of a ZeroMQ socket tells of news once, and sending takes the news with it: so whoever has sent asks
    the socket, and asking (a microsecond or two) is much cheaper than receiving in vain or another round of the loop.

    `take` receives one message without blocking and returns False if there was none; `taken` is called after each
    share: what came of it can be done at once.
    """

    def __init__(
        self, opened: zmq.Socket[bytes], take: Callable[[], bool], taken: Callable[[], None] = lambda: None
    ) -> None:
        self._socket = opened
        self._take = take
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._draining = False
        self._nudged = False
        """Something was sent since the socket was asked last, or there was more than a share."""
        self._closed = False
        self._drains = 0
        self._drains_checked = -1
        self.missed = 0
        """How often the tick found messages that no wake-up had told of."""
        self._fd = int(opened.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self._drain)
        self.nudge()

    def nudge(self) -> None:
        """See to it that what has come is received; call it after every send."""
        self._nudged = True
        if not self._draining and not self._scheduled and self._has_news():
            self._schedule()

    def check(self) -> None:
        """Notice messages that were not told of; called by a timer."""
        if not self._scheduled and self._has_news():
            # On a busy socket this is a message that came just now, and its wake-up is on its way.
            self.missed += self._drains == self._drains_checked
            self._schedule()
        self._drains_checked = self._drains

    def close(self) -> None:
        """Stop receiving; the socket stays open."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)

    def _has_news(self) -> bool:
        return not self._closed and bool(int(self._socket.getsockopt(_EVENTS)) & _POLLIN)

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._scheduled_drain)

    def _scheduled_drain(self) -> None:
        self._scheduled = False
        self._drain()

    def _drain(self) -> None:
        self._drains += 1
        self._draining, self._nudged = True, False
        try:
            if self._take_share():
                self._taken()
        finally:
            self._draining = False
        if self._nudged:
            self.nudge()

    def _take_share(self) -> bool:
        """Receive what there is, within limits; tell whether it was anything."""
        until = time.monotonic() + DRAIN_SECONDS
        for number in range(DRAIN_MESSAGES):
            # Whoever was woken need not ask: there nearly always is something.
            if (number and not self._has_news()) or not self._take():
                return number > 0
            if time.monotonic() >= until:
                break
        self._nudged = True
        return True
