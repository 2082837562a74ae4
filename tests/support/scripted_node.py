"""A node without workers: a DEALER and the protocol's own session; the test says what becomes of each lease."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any

import zmq

from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import OK, AckItem, Assign, Assignment, Code, Message, Outcome, Result, ResultAck
from maze_protocol.session import Deliver, Ended, Established, NodeSession, Output, Transmit
from maze_protocol.values import MSGPACK, OutputValue, Value, ValuePacker, body_of
from support.messages import make_hello

PATIENCE = 30.0


class ScriptedNode:
    """One connection of a node; single-threaded, driven by the test."""

    def __init__(self, endpoint: str, **hello: Any) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.session = NodeSession()
        self.waiting: deque[tuple[Assignment, tuple[bytes, ...]]] = deque()
        self.codes: dict[bytes, Code] = {}
        self.acks: list[AckItem] = []
        self.ended: Ended | None = None
        self.welcome: Any = None
        self._act(self.session.connect(make_hello(**hello), time.monotonic()))
        self.until(lambda: self.welcome)

    def __enter__(self) -> ScriptedNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close(0)
        self._context.term()

    def until(self, condition: Any) -> Any:
        """Receive until the condition holds; return its value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < deadline, "the head did not do what the test waits for"
            if self.socket.poll(100):
                self._take()
            self._act(self.session.tick(time.monotonic()))
        return value

    def next_assignment(self) -> tuple[Assignment, dict[str, list[bytes]]]:
        """Return the next lease and the bodies of its inputs."""
        self.until(lambda: self.waiting)
        assignment, payloads = self.waiting.popleft()
        assert assignment.code in self.codes, "a task came before its code"
        inputs = {given.name: [body_of(part, payloads) for part in given.parts] for given in assignment.inputs}
        return assignment, inputs

    def finish(self, assignment: Assignment, **outputs: bytes) -> None:
        """Send the result of a lease."""
        packer = ValuePacker()
        packed = tuple(OutputValue(key, packer.pack(Value(MSGPACK, 0), body)) for key, body in outputs.items())
        outcome = Outcome(assignment.lease, OK, 1000.0, 0.5, packed, stdout_tail=b"hello\n", stdout_size=6)
        self.say(Result((outcome,)), packer.payloads)

    def say(self, message: Message, payloads: Any = ()) -> None:
        """Send a message within the session."""
        self._act(self.session.send(message, time.monotonic(), payloads))

    def _take(self) -> None:
        decoded = decode_frames(self.socket.recv_multipart())
        assert decoded is not None
        self._act(self.session.receive(*decoded, time.monotonic()))

    def _act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(envelope, payloads):
                    self.socket.send_multipart(encode_frames(envelope, payloads))
                case Established(welcome):
                    self.welcome = welcome
                case Deliver(Assign(items), payloads):
                    self.waiting.extend((item, payloads) for item in items)
                case Deliver(Code() as code):
                    self.codes[code.hash] = code
                case Deliver(ResultAck(items)):
                    self.acks.extend(items)
                case Ended():
                    self.ended = output
