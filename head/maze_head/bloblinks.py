"""The head's sockets for objects: one ROUTER, over which nodes ask the head and the head asks nodes.

A node shows by BLOB_HELLO that a session is its own; until then nothing that comes on its connection is heard. Links
are named by the routing id for what a node asks, and by the node's id for what it is asked: the newest session of a
node is the one that is asked. With CURVE the key is looked at with each message, because it may be revoked while the
connection is open. Used on the exchange's thread.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import Final

import zmq

from maze._daemon.blobsockets import decode, receive_some, send
from maze._daemon.curve import key_of_frame
from maze._daemon.exchange import Exchange, Heard, LinkGone, Sayable
from maze_protocol.fetching import Link
from maze_protocol.tickets import prove_session, session_secret
from maze_protocol.transfers import BlobHello, Denied, Fetch

__all__ = ["BlobLinks"]

_NOT_YOURS: Final = "the ticket is for another node"


class BlobLinks:
    """All nodes that opened a connection for objects."""

    def __init__(self, router: zmq.Socket[bytes], secret: bytes, admits: Callable[[str], bool] | None = None) -> None:
        """Use a bound ROUTER, which is closed in the end; `secret` is the head's; `admits` tells whose key counts."""
        self._admits = admits
        self._router = router
        self._secret = secret
        self._exchange: Exchange
        self._nodes: dict[bytes, str] = {}
        """By routing id."""
        self._links: dict[str, tuple[int, bytes]] = {}
        """The session and routing id of each node."""

    def start(self, exchange: Exchange) -> None:
        """Begin."""
        self._exchange = exchange

    def sockets(self) -> Iterator[zmq.Socket[bytes]]:
        """Return the ROUTER."""
        yield self._router

    def receive(self, ready: zmq.Socket[bytes]) -> Iterator[Heard]:
        """Take what came."""
        for sender, *frames in receive_some(ready):
            decoded = decode(frames) if self._may_speak(frames) else None
            if decoded is not None:
                yield from self._hear(sender.bytes, *decoded)

    def send(self, link: Link, message: Sayable, piece: memoryview | None = None) -> zmq.MessageTracker | None:
        """Say something."""
        if isinstance(link, bytes):
            to = link
        else:
            _, to = self._links.get(str(link), (0, b""))
        try:
            return send(self._router, message, piece, to=to)
        except zmq.ZMQError as error:
            self._forget(to)
            raise LinkGone(f"the connection to a holder is gone: {error.strerror}") from error

    def tick(self, now: float) -> None:
        """Do nothing: the ROUTER looks after itself."""

    def close(self) -> None:
        """Close the ROUTER."""
        self._router.close(0)

    def _may_speak(self, frames: list[zmq.Frame]) -> bool:
        return self._admits is None or (bool(frames) and self._admits(key_of_frame(frames[0])))

    def _hear(self, sender: bytes, message: Sayable | BlobHello, payload: memoryview) -> Iterator[Heard]:
        if isinstance(message, BlobHello):
            self._greet(sender, message)
            return
        node = self._nodes.get(sender)
        if node is None:
            return
        if not isinstance(message, Fetch):
            yield Heard(node, message, payload)
        elif message.node == node:
            yield Heard(sender, message)
        else:
            self._deny(sender, message)

    def _greet(self, sender: bytes, hello: BlobHello) -> None:
        proof = prove_session(session_secret(self._secret, hello.session), hello.session)
        known, before = self._links.get(hello.node, (0, b""))
        if not hmac.compare_digest(proof, hello.proof) or hello.session < known:
            return
        if before and before != sender:
            self._nodes.pop(before, None)
            self._exchange.lost(hello.node, "the holder began another session")
        self._nodes[sender] = hello.node
        self._links[hello.node] = hello.session, sender
        self._exchange.opened(hello.node)

    def _deny(self, sender: bytes, fetch: Fetch) -> None:
        try:
            self.send(sender, Denied(fetch.request, _NOT_YOURS))
        except LinkGone:
            self._exchange.lost(sender, _NOT_YOURS)

    def _forget(self, sender: bytes) -> None:
        """Drop a connection that is gone."""
        node = self._nodes.pop(sender, None)
        if node is not None and self._links.get(node, (0, b""))[1] == sender:
            del self._links[node]
