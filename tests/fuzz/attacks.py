"""The fuzzer of sockets: connects to every port of a head and behaves badly, until its time is over.

It keeps what it learnt: which statuses came back, what was answered with 500 or worse (with the bytes that led there),
whether anybody refused to be connected to, and how long those who only drip bytes were put up with.
"""

from __future__ import annotations

import re
import resource
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

from fuzz.rubbish import GREETING, TLS_HELLO, Rubbish

STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [A-Z]")
RESET = struct.pack("ii", 1, 0)
CROWD = 1_000
CROWD_SECONDS = 2.0
CROWD_EVERY = 10.0
DRIPPING = 20
NOT_SERVED = 501
"""The answer to routes of the original that Maze does not have: it is meant so."""
KEPT = 20
"""How many findings are told in full."""

Address = tuple[str, int]


class Attack:
    """Everything that is under way against one head."""

    def __init__(self, http: Address, others: list[Address], authorization: str, seed: int) -> None:
        self._http = http
        self._others = others
        self._rubbish = Rubbish(seed, authorization)
        self._crowd: list[socket.socket] = []
        self._crowd_since = -CROWD_EVERY
        self._dripping: dict[socket.socket, float] = {}
        self.done: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.findings: list[dict[str, Any]] = []
        self.patience = 0.0
        """The longest that a slow client was put up with, seconds."""
        self.crowd = 0
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def run(self, deadline: float) -> dict[str, Any]:
        """Attack until `time.monotonic()` is there; return what was learnt."""
        ways: list[tuple[Callable[[], None], int]] = [
            (self._speak_http, 60), (self._speak_elsewhere, 25), (self._confuse_ports, 8), (self._talk_zeromq, 4),
            (self._drip, 6), (self._come_as_a_crowd, 2),
        ]  # fmt: skip
        choices = [way for way, weight in ways for _ in range(weight)]
        while time.monotonic() < deadline:
            way = self._rubbish.random.choice(choices)
            try:
                way()
            except ConnectionRefusedError as error:
                self._find(f"refused a connection: {error}", b"")
                time.sleep(0.5)
            self.done[way.__name__.strip("_")] += 1
            self._let_go()
        self._let_go(everybody=True)
        return {
            "done": dict(self.done), "statuses": {str(key): count for key, count in sorted(self.statuses.items())},
            "crowd": self.crowd, "patience_s": round(self.patience, 1), "findings": self.findings[:KEPT],
            "findings_total": len(self.findings),
        }  # fmt: skip

    def _find(self, what: str, sent: bytes) -> None:
        self.findings.append({"what": what, "sent": sent[:2_000].hex()})

    def _exchange(self, address: Address, sent: bytes, patience: float = 0.3) -> bytes:
        """Send bytes in pieces, take what comes for a moment, and leave, sometimes rudely."""
        random = self._rubbish.random
        with socket.create_connection(address, timeout=5.0) as connection:
            cut = random.randint(0, len(sent)) if random.random() < 0.3 else len(sent)
            answer = b""
            try:
                connection.sendall(sent[:cut])
                if cut < len(sent):
                    connection.sendall(sent[cut:])
                connection.settimeout(patience)
                while len(answer) < 65_536 and (piece := connection.recv(16_384)):
                    answer += piece
            except (TimeoutError, ConnectionError):
                pass
            if random.random() < 0.3:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return answer

    def _speak_http(self) -> None:
        sent = self._rubbish.request()
        self._judge(sent, self._exchange(self._http, sent, 0.02))

    def _judge(self, sent: bytes, answer: bytes) -> None:
        for found in STATUS_LINE.findall(answer):
            status = int(found)
            self.statuses[status] += 1
            if status >= 500 and status != NOT_SERVED:
                self._find(f"status {status}", sent)
        if b"Traceback" in answer:
            self._find("a traceback came back", sent)

    def _speak_elsewhere(self) -> None:
        random = self._rubbish.random
        sent = self._rubbish.zmtp() if random.random() < 0.7 else self._rubbish.noise()
        self._exchange(random.choice(self._others), sent, 0.02)

    def _confuse_ports(self) -> None:
        random = self._rubbish.random
        if random.random() < 0.5:
            sent = random.choice((TLS_HELLO, GREETING))
            self._judge(sent, self._exchange(self._http, sent))
        else:
            self._exchange(random.choice(self._others), random.choice((TLS_HELLO, self._rubbish.request())), 0.05)

    def _talk_zeromq(self) -> None:
        """Get in as anybody may on loopback, and say what no node would."""
        random = self._rubbish.random
        context: zmq.Context[Any] = zmq.Context()
        try:
            for host, port in self._others:
                kind = random.choice((zmq.DEALER, zmq.DEALER, zmq.SUB, zmq.REQ))
                opened = context.socket(kind)
                opened.setsockopt(zmq.LINGER, 200)
                opened.setsockopt(zmq.SNDTIMEO, 100)  # who was shown the door has nowhere to send to
                opened.connect(f"tcp://{host}:{port}")
                with suppress(zmq.Again):
                    self._say(opened, kind)
                opened.poll(20)
                opened.close()
        finally:
            context.term()

    def _say(self, opened: zmq.Socket[Any], kind: int) -> None:
        for _ in range(1 if kind == zmq.REQ else self._rubbish.random.randint(1, 20)):
            if kind == zmq.SUB:
                opened.setsockopt(zmq.SUBSCRIBE, self._rubbish.noise(300))
            else:
                opened.send_multipart(self._rubbish.frames())

    def _drip(self) -> None:
        """Send one byte more on connections that never finish their headers."""
        if len(self._dripping) < DRIPPING:
            opened = socket.create_connection(self._http, timeout=5.0)
            opened.setblocking(False)
            self._dripping[opened] = time.monotonic()
        for opened, since in list(self._dripping.items()):
            self.patience = max(self.patience, time.monotonic() - since)
            try:
                opened.send(self._rubbish.random.choice((b"G", b"ET", b"X: a\r\n")))
                if opened.recv(4_096):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            opened.close()
            del self._dripping[opened]

    def _come_as_a_crowd(self) -> None:
        """Open a thousand connections that say nothing."""
        if self._crowd or time.monotonic() - self._crowd_since < CROWD_EVERY:
            return
        everywhere = [self._http, *self._others]
        for number in range(CROWD):
            try:
                opened = socket.create_connection(everywhere[number % len(everywhere)], timeout=5.0)
            except OSError as error:
                if isinstance(error, ConnectionRefusedError):
                    raise
                break
            self._crowd.append(opened)
        self._crowd_since = time.monotonic()
        self.crowd = max(self.crowd, len(self._crowd))

    def _let_go(self, *, everybody: bool = False) -> None:
        if everybody or (self._crowd and time.monotonic() - self._crowd_since > CROWD_SECONDS):
            for opened in self._crowd:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                opened.close()
            self._crowd = []
        if everybody:
            for opened in self._dripping:
                opened.close()
