"""Who may connect: the thread that answers ZeroMQ's questions of authentication (ZAP, https://rfc.zeromq.org/spec/27/).

Rules
* It is there before any socket of its context is bound, and until all are closed; who connects before `start` waits.
  Sockets enforce their domain, so without it nobody new gets in; that it has ended is told to its owner, who must not
  go on without it.
* It has a thread of its own: connections are answered while the loop is busy.
* A key is asked for in the domain of the socket that it came to. Whoever gets in is known there by its key (`User-Id`).
* Sockets without CURVE have a doorkeeper, too: for them ZeroMQ then takes no bytes for its version 1.0, which knows no
  handshake, so that `GET /` would be a peer for ever.
* Asked at the handshake only: who loses the right must also be disconnected by whoever took it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import zmq

from maze_protocol.keys import encode_key

__all__ = ["EVENTS", "NODES", "PEERS", "Admit", "Doorkeeper"]

log = logging.getLogger(__name__)

NODES: Final = "maze.nodes"
EVENTS: Final = "maze.events"
PEERS: Final = "maze.peers"
"""Domains: the head's sockets for nodes, the head's publications, a node's socket for other nodes."""

Admit = Callable[[str, str], bool]
"""Tells whether a key, "" without CURVE, may connect in a domain; called on the thread."""

TELL_EVERY: Final = 10.0
"""Seconds between two lines of the log about strangers: who knocks for ever must not fill the disk."""
_ENDPOINT: Final = "inproc://zeromq.zap.01"
_FRAMES: Final = 7


class Doorkeeper:
    """The ZAP handler of one context."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], admit: Admit, failed: Callable[[BaseException], None]
    ) -> None:
        """Take the place; `failed` hears, on the thread, that it ended by a bug."""
        self._admit = admit
        self._failed = failed
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(_ENDPOINT)
        self._near, self._far = os.pipe()
        self._thread = threading.Thread(target=self._run, name="zap", daemon=True)
        self._told_at = -TELL_EVERY
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Tell whether somebody answers."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End; afterwards nobody gets in."""
        os.close(self._far)
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close(0)
        os.close(self._near)

    def _run(self) -> None:
        try:
            self._answer_all()
        except Exception as error:  # noqa: BLE001 -- thread entry point: a bug ends the daemon, not only this thread
            self._failed(error)
        finally:
            self._socket.close(0)

    def _answer_all(self) -> None:
        poller = zmq.Poller()
        poller.register(self._near, zmq.POLLIN)
        poller.register(self._socket, zmq.POLLIN)
        while True:
            ready: dict[Any, int] = dict(poller.poll())
            if self._near in ready:
                return
            self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def _answer(self, question: list[bytes]) -> list[bytes]:
        version, request, domain, address, _, mechanism, *credentials = question
        key = encode_key(credentials[0]) if len(question) == _FRAMES and mechanism == b"CURVE" else ""
        if (key or mechanism == b"NULL") and self._admit(domain.decode(), key):
            self.counts["admitted"] += 1
            return [version, request, b"200", b"OK", key.encode(), b""]
        self.counts["refused"] += 1
        self._tell(address.decode(), key)
        return [version, request, b"400", b"unknown key", b"", b""]

    def _tell(self, address: str, key: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            log.warning("refused a connection: its key is not known here", extra={"address": address, "key": key})
