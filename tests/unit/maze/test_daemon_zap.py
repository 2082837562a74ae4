"""The doorkeeper and real sockets: who has a key that counts gets in, and nobody else does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from maze._daemon.curve import ClientSide, ServerSide, key_of_frame
from maze._daemon.keys import KeyPair
from maze._daemon.zap import EVENTS, NODES, Doorkeeper

SERVER, FRIEND, STRANGER = KeyPair.make(), KeyPair.make(), KeyPair.make()
LONG = 10_000
"""Milliseconds for what will come."""
REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class Host:
    """A bound ROUTER with CURVE, and a doorkeeper who knows some keys by domain."""

    def __init__(self, *known: tuple[str, str]) -> None:
        self.known = set(known)
        self.bugs: list[BaseException] = []
        self.context: zmq.Context[Any] = zmq.Context()
        self.doorkeeper = Doorkeeper(self.context, lambda *asked: asked in self.known, self.bugs.append)
        self.router = self.context.socket(zmq.ROUTER)
        ServerSide(SERVER, NODES).apply(self.router)
        self.router.bind("tcp://127.0.0.1:*")
        self.endpoint = self.router.getsockopt_string(zmq.LAST_ENDPOINT)

    def close(self) -> None:
        self.router.close(0)
        self.doorkeeper.close()
        self.context.term()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host((NODES, FRIEND.public), (EVENTS, STRANGER.public))
    host.doorkeeper.start()
    yield host
    host.close()


class Outside:
    """Sockets of those who knock."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.sockets: list[tuple[zmq.Socket[Any], zmq.Socket[Any]]] = []

    def knock(self, endpoint: str, side: ClientSide | None) -> zmq.Socket[Any]:
        """Connect and say something; return a monitor of refusals."""
        dealer = self.context.socket(zmq.DEALER)
        monitor = dealer.get_monitor_socket(REFUSED)
        self.sockets.append((dealer, monitor))
        if side is not None:
            side.apply(dealer)
        dealer.connect(endpoint)
        dealer.send(b"hello")
        return monitor

    def refusal(self, endpoint: str, side: ClientSide | None) -> int:
        """Connect in vain; return the monitor's event."""
        monitor = self.knock(endpoint, side)
        assert monitor.poll(LONG)
        return int.from_bytes(monitor.recv_multipart()[0][:2], sys.byteorder)

    def close(self) -> None:
        for dealer, monitor in self.sockets:
            dealer.disable_monitor()
            monitor.close(0)
            dealer.close(0)
        self.context.term()


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.close()


def test_who_is_known_gets_in_and_is_known_by_its_key(host: Host, outside: Outside) -> None:
    outside.knock(host.endpoint, ClientSide(FRIEND, SERVER.public))
    assert host.router.poll(LONG)
    _, frame = host.router.recv_multipart(copy=False)
    assert (frame.bytes, key_of_frame(frame)) == (b"hello", FRIEND.public)
    assert host.doorkeeper.counts == {"admitted": 1}


def test_a_stranger_with_the_servers_key_is_refused(host: Host, outside: Outside) -> None:
    """A key that counts in another domain is a stranger's here."""
    assert outside.refusal(host.endpoint, ClientSide(STRANGER, SERVER.public)) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    assert not host.router.poll(0)
    assert host.doorkeeper.counts["refused"] > 0


@pytest.mark.parametrize("side", [None, ClientSide(FRIEND, FRIEND.public)], ids=["plain", "wrong server key"])
def test_who_speaks_another_language_never_reaches_the_doorkeeper(
    host: Host, outside: Outside, side: ClientSide | None
) -> None:
    outside.refusal(host.endpoint, side)
    assert not host.router.poll(0)
    assert not host.doorkeeper.counts


def test_who_was_revoked_is_refused_the_next_time(host: Host, outside: Outside) -> None:
    outside.knock(host.endpoint, ClientSide(FRIEND, SERVER.public))
    assert host.router.poll(LONG)
    host.known.clear()
    assert outside.refusal(host.endpoint, ClientSide(FRIEND, SERVER.public)) == zmq.EVENT_HANDSHAKE_FAILED_AUTH


def test_before_the_start_everybody_waits(outside: Outside) -> None:
    host = Host((NODES, FRIEND.public))
    outside.knock(host.endpoint, ClientSide(FRIEND, SERVER.public))
    assert not host.router.poll(50)
    host.doorkeeper.start()
    assert host.router.poll(LONG)
    host.close()


def test_without_a_doorkeeper_nobody_gets_in(outside: Outside) -> None:
    """The domain is enforced: without that ZeroMQ would let everybody in."""
    host = Host()
    host.doorkeeper.start()
    host.doorkeeper.close()
    assert not host.doorkeeper.alive
    outside.knock(host.endpoint, ClientSide(FRIEND, SERVER.public))
    assert not host.router.poll(300)
    host.router.close(0)
    host.context.term()


def test_a_bug_at_the_door_is_told_and_ends_it(outside: Outside) -> None:
    bugs: list[BaseException] = []
    context: zmq.Context[Any] = zmq.Context()

    def fall_ill(*_: str) -> bool:
        raise ValueError("ill")

    doorkeeper = Doorkeeper(context, fall_ill, bugs.append)
    router = context.socket(zmq.ROUTER)
    ServerSide(SERVER, NODES).apply(router)
    router.bind("tcp://127.0.0.1:*")
    doorkeeper.start()
    outside.knock(router.getsockopt_string(zmq.LAST_ENDPOINT), ClientSide(FRIEND, SERVER.public))
    doorkeeper._thread.join(LONG)
    assert not doorkeeper.alive
    assert [str(bug) for bug in bugs] == ["ill"]
    router.close(0)
    doorkeeper.close()
    context.term()
