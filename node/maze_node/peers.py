"""Objects between this node and others, as the event loop sees it: fetch this, serve what the store has.

What is being fetched is served, too, as far as it has come: a broadcast may go from node to node as a chain.

The bytes move on a thread of their own (maze._daemon.exchange) between sockets and the descriptors of the store, which
is asked here, on the loop. A port that others could reach from elsewhere is there only with CURVE, or with --insecure;
without the port objects go through the head. With CURVE whoever asks here, or is asked, has a key that the head
vouches for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

import zmq

from maze._daemon.exchange import Exchange, Source
from maze._daemon.keys import KeyPair
from maze_node.config import Settings
from maze_node.hello import address_towards
from maze_node.identity import HeadAddress
from maze_node.peerlinks import HEAD, Peer, PeerLinks
from maze_node.store import ObjectStore, Room
from maze_protocol.fetching import Order, Origin
from maze_protocol.messages import Welcome
from maze_protocol.tickets import prove_session
from maze_protocol.transfers import BlobHello
from maze_protocol.values import ObjectKey, ObjectRef, key_of

__all__ = ["Peers", "complete"]

log = logging.getLogger(__name__)

HEAD_PATIENCE: Final = 120.0
"""Seconds that the head may take to get an object that it does not have."""


class Peers:
    """This node among the others."""

    def __init__(
        self,
        settings: Settings,
        node_id: str,
        store: ObjectStore,
        told: Callable[[ObjectKey, str, bool], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Prepare, on the loop.

        Args:
            settings: of this node.
            node_id: its name.
            store: where objects are.
            told: hears of each fetch once, "" or why it failed, and whether the object is on disk.
            failed: hears that the thread ended by a bug.
        """
        self._settings = settings
        self._node_id = node_id
        self._store = store
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._links = PeerLinks(lambda error: self._later(failed, error))
        self._exchange = Exchange(self._links, node_id, self._find, lambda error: self._later(failed, error))
        self._pair: KeyPair | None = None
        self._rooms: dict[ObjectKey, Room] = {}
        self._started = False
        self._endpoint = ""

    def introduce(self, head: HeadAddress) -> str:
        """Return where others may fetch from this node, "" for nowhere; begin with the first call."""
        if not self._started:
            self._started = True
            self._links.identify(head.pair)
            self._pair = head.pair
            self._endpoint = self._listen(address_towards(head.endpoint), head.pair)
            self._exchange.start()
        if head.pair != self._pair:
            log.warning("nobody fetches from this node until it is started again: it has another key now")
            self._exchange.call(self._links.identify, head.pair)
            return ""
        return self._endpoint

    def vouch(self, keys: Iterable[str]) -> None:
        """Take these keys, and no others, for those of nodes."""
        self._exchange.call(self._links.vouch, frozenset(keys))

    def welcome(self, welcome: Welcome, head: HeadAddress) -> None:
        """Begin with a session: its tickets count, and the head is to be asked over a connection of its own."""
        if not welcome.secret:
            return
        self._exchange.trust(welcome.secret)
        if welcome.blob_endpoint:
            proof = prove_session(welcome.secret, welcome.session)
            address = head._replace(endpoint=complete(welcome.blob_endpoint, head.endpoint))
            hello = BlobHello(self._node_id, welcome.session, proof)
            self._exchange.call(self._links.greet_head, address, hello)

    def leave(self, reason: str) -> None:
        """The session is over."""
        self._exchange.call(self._links.leave_head, reason)

    def fetch(self, ref: ObjectRef) -> None:
        """Fetch an object into the store, from its holders and then from the head; nothing if that is under way."""
        key = key_of(ref)
        if key in self._rooms:
            return
        try:
            room = self._store.create(ref.size)
        except OSError as error:
            self._told(key, f"there is no room for {ref.size} bytes: {error.strerror}", False)
            return
        self._rooms[key] = room
        order = Order(key, ref.size, self._origins(ref))
        self._exchange.fetch(order, room.fd, room.offset, lambda reason: self._later(self._on_told, key, reason))

    def cancel(self, key: ObjectKey) -> None:
        """Stop fetching an object; `told` hears of it."""
        self._exchange.cancel(key)

    def close(self) -> None:
        """End; what is being fetched is given up."""
        self._exchange.close()
        for room in self._rooms.values():
            self._store.abort(room)
        self._rooms.clear()

    def counters(self) -> dict[str, int | float]:
        """Return what was counted."""
        return self._exchange.counters()

    def _listen(self, address: str, pair: KeyPair | None) -> str:
        settings = self._settings
        if settings.peer_port is None:
            return ""
        if not (pair is not None or settings.insecure or _is_loopback(address)):
            log.warning("objects go through the head: without CURVE only --insecure lets nodes fetch from this one")
            return ""
        try:
            port = self._links.bind(address, settings.peer_port)
        except zmq.ZMQError as error:
            log.warning("objects go through the head: cannot listen on %s: %s", address, error.strerror)
            return ""
        host = settings.advertise or address
        return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"

    def _origins(self, ref: ObjectRef) -> tuple[Origin, ...]:
        others = [holder for holder in ref.holders if holder[0] not in ("", self._endpoint)]
        # The head's ticket stands among the others, without an address.
        ticket = next((holder[2] for holder in ref.holders if not holder[0]), b"")
        return (
            *(Origin(Peer(endpoint, key), ticket) for endpoint, key, ticket in others),
            Origin(HEAD, ticket, dialled=False, patience=HEAD_PATIENCE),
        )

    def _on_told(self, key: ObjectKey, reason: str) -> None:
        room = self._rooms.pop(key, None)
        if room is None:
            return  # closed meanwhile
        on_disk = False
        if reason:
            self._store.abort(room)
        else:
            on_disk = self._store.commit(room, key)
        self._told(key, reason, on_disk)

    def _find(self, key: ObjectKey) -> None:
        self._later(self._open, key)

    def _open(self, key: ObjectKey) -> None:
        found = self._store.open(key)
        room = self._rooms.get(key)
        # A copy of the descriptor: the store may let the object go while somebody is fetching it.
        if found is not None:
            fd, offset, size = found
            self._exchange.found(key, Source(os.dup(fd), offset, size))
        elif room is not None:
            self._exchange.found(key, Source(os.dup(room.fd), room.offset, room.size, coming=True))
        else:
            self._exchange.missing(key)

    def _later(self, function: Callable[..., None], *arguments: Any) -> None:
        """Do something on the loop; it may be closed by now."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def complete(endpoint: str, head: str) -> str:
    """Return an endpoint of the head; a host that is missing is the one that the head is known by."""
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    known, _, _ = head.partition("://")[2].rpartition(":")
    return f"{scheme}://{host or known}:{port}"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:  # a name
        return False
