"""A tiny head for tests of the node: a ROUTER, HeadSession, and a list of what was said. Decides nothing.

Everything waits on conditions with a deadline; nothing sleeps. Use it from one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import zmq

from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import AckItem, Hello, Message, Outcome, Result, ResultAck, Welcome
from maze_protocol.session import Deliver, Ended, Greeted, HeadSession, Output, Transmit

M = TypeVar("M")


class FakeHead:
    """Accepts every node, keeps what it says, acknowledges results unless told not to."""

    def __init__(self, port: int = 0, *, epoch: int = 1, **welcome: Any) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.endpoint = f"tcp://127.0.0.1:{port}"
        if port:
            self._socket.bind(self.endpoint)
        else:
            self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._sessions: dict[bytes, HeadSession] = {}
        self.link = b""
        self.epoch = epoch
        self.welcome_fields = welcome
        self.auto_ack = True
        self.said: list[Message] = []
        self.hellos: list[Hello] = []
        self.ended: list[Ended] = []
        self.outcomes: dict[int, Outcome] = {}
        self.payloads: dict[int, tuple[bytes, ...]] = {}
        self._session_no = epoch << 32

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def close(self) -> None:
        """Vanish, as a killed head would; harmless if repeated."""
        self._socket.close(0)
        self._context.term()

    def send(self, message: Message, payloads: tuple[bytes, ...] = ()) -> None:
        self._perform(self.link, self._sessions[self.link].send(message, time.monotonic(), payloads))

    def refuse(self, message: Any) -> None:
        self._perform(self.link, self._sessions[self.link].refuse(message, time.monotonic()))

    def serve(self, until: Callable[[], Any], timeout: float = 20.0) -> Any:
        """Serve nodes until the condition holds; return its value."""
        deadline = time.monotonic() + timeout
        while not (found := until()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the condition did not come true in {timeout} s; said: {self.said[-5:]}")
            if self._socket.poll(min(50, left * 1000)):
                self._take()
        return found

    def wait_node(self, timeout: float = 20.0) -> Hello:
        count = len(self.hellos)
        self.serve(lambda: len(self.hellos) > count, timeout)
        return self.hellos[-1]

    def wait_outcome(self, lease: int, timeout: float = 20.0) -> Outcome:
        return self.serve(lambda: self.outcomes.get(lease), timeout)

    def wait_said(self, kind: type[M], timeout: float = 20.0) -> M:
        return self.serve(lambda: next((each for each in self.said if isinstance(each, kind)), None), timeout)

    def _take(self) -> None:
        link, *frames = self._socket.recv_multipart()
        decoded = decode_frames(frames)
        if decoded is not None:
            now = time.monotonic()
            session = self._sessions.setdefault(link, HeadSession(now))
            self._perform(link, session.receive(*decoded, now))

    def _perform(self, link: bytes, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._send_frames([link, *encode_frames(output.envelope, output.payloads)])
            elif isinstance(output, Greeted):
                self._greet(link, output.hello)
            elif isinstance(output, Deliver):
                self._note(output)
            elif isinstance(output, Ended):
                self.ended.append(output)

    def _send_frames(self, frames: list[bytes]) -> None:
        try:
            self._socket.send_multipart(frames)
        except zmq.ZMQError as error:
            # A node may be gone before its last heartbeat is answered; a real head takes that as a lost link.
            if error.errno != zmq.EHOSTUNREACH:
                raise

    def _greet(self, link: bytes, hello: Hello) -> None:
        self.hellos.append(hello)
        self.link = link
        self._session_no += 1
        fields = {"heartbeat": 0.5, "suspect_after": 3.0, "lease_ttl": 10.0, "orphan_timeout": 600.0}
        extra = self.welcome_fields
        if callable(extra.get("decide")):
            fields |= extra["decide"](hello)
        fields |= {key: value for key, value in extra.items() if key != "decide"}
        version = (fields.pop("major", 1), fields.pop("minor", 0))
        welcome = Welcome(*version, self._session_no, self.epoch, b"c" * 16, **fields)  # type: ignore[arg-type]
        self._perform(link, self._sessions[link].accept(welcome, time.monotonic()))

    def _note(self, output: Deliver) -> None:
        self.said.append(output.message)
        if isinstance(output.message, Result):
            for outcome in output.message.items:
                self.outcomes[outcome.lease] = outcome
                self.payloads[outcome.lease] = output.payloads
            if self.auto_ack:
                self.send(ResultAck(tuple(AckItem(outcome.lease, 0) for outcome in output.message.items)))


@contextmanager
def fake_head(**options: Any) -> Iterator[FakeHead]:
    head = FakeHead(**options)
    try:
        yield head
    finally:
        head.close()
