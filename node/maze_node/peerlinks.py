"""The node's sockets for objects: a ROUTER that others ask, a DEALER to each other node that is asked, one to the head.

Links are named by the routing id of who asks, by the endpoint and key of who is asked, and HEAD. A DEALER connects
once: when its monitor tells that the connection is gone it is thrown away, and whoever asks there again gets a new one;
only that to the head is made anew by itself, since the head also asks over it. Used on the exchange's thread.

With CURVE whom the head does not vouch for is neither heard nor asked; that is looked at with each message, because a
key may be revoked while its connections are open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import zmq

from maze._daemon.blobsockets import ObjectMessage, decode, make_socket, receive_some, send
from maze._daemon.curve import ClientSide, ServerSide, key_of_frame
from maze._daemon.exchange import Exchange, Heard, LinkGone, Sayable
from maze._daemon.keys import KeyPair
from maze._daemon.zap import PEERS, Doorkeeper
from maze_node.identity import HeadAddress
from maze_protocol.fetching import Link
from maze_protocol.transfers import BlobHello

__all__ = ["HEAD", "Peer", "PeerLinks"]

HEAD: Final = "head"
IDLE: Final = 30.0
"""Seconds after which a connection that nobody uses is closed."""
AGAIN: Final = 0.5
"""Seconds after which a lost connection to the head is made anew."""
_GONE: Final = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Peer(NamedTuple):
    """Another node, as it is asked."""

    endpoint: str
    key: str = ""
    """That it must have; "" without CURVE."""


@dataclass(slots=True)
class _Dealer:
    link: str | Peer
    socket: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    used_at: float

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


class PeerLinks:
    """All of them."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        """Begin without any; `failed` hears, on a thread, that nobody says any more who may connect."""
        self._failed = failed
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._doorkeeper: Doorkeeper | None = None
        self._pair: KeyPair | None = None
        self._vouched: frozenset[str] = frozenset()
        self._exchange: Exchange
        self._router: zmq.Socket[bytes] | None = None
        self._dealers: dict[str | Peer, _Dealer] = {}
        self._by_socket: dict[zmq.Socket[bytes], _Dealer] = {}
        self._by_monitor: dict[zmq.Socket[bytes], _Dealer] = {}
        self._head: tuple[HeadAddress, BlobHello] | None = None
        self._again_at = 0.0

    def identify(self, pair: KeyPair | None) -> None:
        """Speak by this pair with CURVE from now on; None: without."""
        self._pair = pair
        for dealer in [dealer for dealer in self._dealers.values() if dealer.link != HEAD]:
            self._lose(dealer, "this node has another key now")

    def bind(self, address: str, port: int) -> int:
        """Begin to listen, before the exchange starts; return the port.

        Raises:
            zmq.ZMQError: it cannot be bound.
        """
        router = make_socket(self._context, zmq.ROUTER)
        if self._pair is not None:
            self._guard(router, self._pair)
        try:
            router.bind(f"tcp://{_bracketed(address)}:{port or '*'}")
        except zmq.ZMQError:
            router.close(0)
            raise
        self._router = router
        return int(router.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def _guard(self, router: zmq.Socket[bytes], pair: KeyPair) -> None:
        self._doorkeeper = Doorkeeper(self._context, lambda _, key: key in self._vouched, self._failed)
        self._doorkeeper.start()
        ServerSide(pair, PEERS).apply(router)

    def vouch(self, keys: frozenset[str]) -> None:
        """Hear and ask those who have one of these keys, and nobody else any more."""
        self._vouched = keys
        for dealer in list(self._dealers.values()):
            if isinstance(dealer.link, Peer) and not self._may_ask(dealer.link):
                self._lose(dealer, "its key was revoked")

    def start(self, exchange: Exchange) -> None:
        """Begin."""
        self._exchange = exchange

    def greet_head(self, address: HeadAddress, hello: BlobHello) -> None:
        """Open the connection to the head for a session."""
        self.leave_head("a new session")
        self._head = address, hello
        self._dial_head()

    def leave_head(self, reason: str) -> None:
        """Close the connection to the head: the session is over."""
        self._head = None
        if HEAD in self._dealers:
            self._lose(self._dealers[HEAD], reason)

    def sockets(self) -> Iterator[zmq.Socket[bytes]]:
        """Return all that may have something to be received."""
        if self._router is not None:
            yield self._router
        for dealer in self._dealers.values():
            yield dealer.socket
            yield dealer.monitor

    def receive(self, ready: zmq.Socket[bytes]) -> Iterator[Heard]:
        """Take what came on a socket."""
        if ready is self._router:
            for sender, *frames in receive_some(ready):
                if self._doorkeeper is None or (frames and key_of_frame(frames[0]) in self._vouched):
                    yield from _heard(sender.bytes, frames)
        elif ready in self._by_socket:
            dealer = self._by_socket[ready]
            for frames in receive_some(ready):
                dealer.used_at = time.monotonic()
                yield from _heard(dealer.link, frames)
        elif ready in self._by_monitor:
            self._lose(self._by_monitor[ready], "the connection to a holder is lost")

    def send(self, link: Link, message: Sayable, piece: memoryview | None = None) -> zmq.MessageTracker | None:
        """Say something; a node that is not connected is dialled."""
        try:
            if isinstance(link, bytes):
                assert self._router is not None, "its name came from there"
                return send(self._router, message, piece, to=link)
            assert isinstance(link, str | Peer), "there are no others"
            return send(self._dealer(link).socket, message, piece)
        except zmq.ZMQError as error:
            raise LinkGone(f"a holder cannot be asked: {error.strerror}") from error

    def tick(self, now: float) -> None:
        """Close what nobody uses, and dial the head again."""
        for dealer in list(self._dealers.values()):
            if dealer.link != HEAD and now - dealer.used_at > IDLE:
                self._lose(dealer, "nothing came for a long time")
        if self._head is not None and HEAD not in self._dealers and now >= self._again_at:
            self._dial_head()

    def close(self) -> None:
        """Close them all."""
        for dealer in self._dealers.values():
            dealer.close()
        self._dealers.clear()
        if self._router is not None:
            self._router.close(0)
        if self._doorkeeper is not None:
            self._doorkeeper.close()
        self._context.term()

    def _dealer(self, link: str | Peer) -> _Dealer:
        known = self._dealers.get(link)
        if known is None:
            if not isinstance(link, Peer):
                raise LinkGone("the head is not connected")
            if not self._may_ask(link):
                raise LinkGone("a holder has a key that the head does not vouch for")
            side = ClientSide(self._pair, link.key) if self._pair is not None else None
            known = self._dial(link, HeadAddress(link.endpoint, side))
        known.used_at = time.monotonic()
        return known

    def _may_ask(self, peer: Peer) -> bool:
        return self._pair is None or peer.key in self._vouched

    def _dial(self, link: str | Peer, address: HeadAddress) -> _Dealer:
        made = make_socket(self._context, zmq.DEALER)
        if address.side is not None:
            address.side.apply(made)
        dealer = _Dealer(link, made, made.get_monitor_socket(_GONE), time.monotonic())
        self._dealers[link] = self._by_socket[made] = self._by_monitor[dealer.monitor] = dealer
        try:
            made.connect(address.endpoint)
        except zmq.ZMQError as error:
            self._forget(dealer)
            raise LinkGone(f"a holder has a useless address {address.endpoint!r}: {error.strerror}") from error
        return dealer

    def _dial_head(self) -> None:
        assert self._head is not None, "asked by callers"
        address, hello = self._head
        self._again_at = time.monotonic() + AGAIN
        try:
            # The first thing on the connection, and there is only one connection per socket.
            send(self._dial(HEAD, address).socket, hello)
        except LinkGone:
            return
        self._exchange.opened(HEAD)

    def _lose(self, dealer: _Dealer, reason: str) -> None:
        self._forget(dealer)
        self._exchange.lost(dealer.link, reason)

    def _forget(self, dealer: _Dealer) -> None:
        del self._dealers[dealer.link], self._by_socket[dealer.socket], self._by_monitor[dealer.monitor]
        dealer.close()


def _heard(link: Link, frames: list[zmq.Frame]) -> Iterator[Heard]:
    decoded: tuple[ObjectMessage, memoryview] | None = decode(frames)
    if decoded is not None and not isinstance(decoded[0], BlobHello):
        yield Heard(link, decoded[0], decoded[1])


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
