"""The two ends of a connection between node and head: pure machines, one object per connection and side.

Theory of operation
* Session = one connection = one HELLO. The node connects and says HELLO until it is answered; the head's core
  answers with WELCOME (`accept`) or a refusal (`refuse`). Nothing is repeated within a session but HELLO and its
  answer; whatever goes wrong later ends the session, and the node connects anew with its inventory.
* Each machine has ONE table of legal moves. A local call (`connect`, `accept`, `send`…) that the table forbids
  raises IllegalTransition: a bug on this side. Input from the wire that the table does not know is dropped: late,
  repeated and stale frames are normal.
* Outputs are obeyed in order. After Ended the machine is spent; the shell closes the link and forgets it.
* A spent or unknown head end answers whatever still comes with its last word (REHELLO, REJECT, …), at most once per
  second, so that a lost farewell is told again and two confused sides cannot flood each other.

What is odd: silence is judged here for the node only. The head's core judges it for all its nodes with the head's
own stalls forgiven (liveness.py), and then calls `refuse`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from maze_protocol.codec import Envelope
from maze_protocol.errors import IllegalTransition, ProtocolError, RemoteProtocolError, VersionMismatch
from maze_protocol.limits import HELLO_RETRY, HELLO_TIMEOUT, LOST_AFTER
from maze_protocol.messages import (
    DUPLICATE,
    REVOKED,
    Assign,
    BlobOffer,
    Cancel,
    Code,
    Credit,
    Disconnect,
    Drain,
    Forget,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Holding,
    LogChunk,
    LogPull,
    Measured,
    Message,
    Nak,
    NodeConfig,
    Recall,
    Rehello,
    Reject,
    Release,
    Result,
    ResultAck,
    RetryAfter,
    Shutdown,
    Started,
    Starved,
    Welcome,
)  # fmt: skip
from maze_protocol.moves import (
    HEAD_MOVES,
    NODE_MOVES,
    Deliver,
    Ended,
    Established,
    Greeted,
    Moves,
    Output,
    Refusal,
    SessionState,
    Transmit,
    Trigger,
)  # fmt: skip
from maze_protocol.ordering import Ordering, Verdict
from maze_protocol.versions import check_welcome, version_reject

__all__ = [
    "FROM_HEAD", "FROM_NODE", "HEAD_MOVES", "NODE_MOVES", "Deliver", "Ended", "Established", "Greeted", "HeadSession",
    "NodeSession", "Output", "Refusal", "SessionState", "Transmit", "Trigger",
]  # fmt: skip

FROM_NODE: Final = frozenset({
    Heartbeat, Nak, Started, Result, Release, Credit, Drain, LogChunk, Goodbye, BlobOffer, Measured,
    Holding, Starved,
})  # fmt: skip
FROM_HEAD: Final = frozenset({
    HeartbeatAck, Nak, Assign, ResultAck, Cancel, Recall, Forget, Code, NodeConfig, Shutdown, LogPull,
})  # fmt: skip
"""What each side may say within a session. The objects' messages (Fetch, Chunk, …) travel between nodes instead."""


class _Session:
    """What both ends share: the state, its table, and the numbering of a live session."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._state = SessionState.NEW
        self._session = 0
        self._ordering = Ordering(LOST_AFTER)

    @property
    def state(self) -> SessionState:
        """Return where the connection stands."""
        return self._state

    @property
    def session(self) -> int:
        """Return the number of the session, 0 before it begins."""
        return self._session

    @property
    def unacked(self) -> int:
        """Return how many reliable messages the other side has not acknowledged."""
        return self._ordering.unacked

    def _allows(self, trigger: Trigger) -> bool:
        return trigger in self._moves[self._state]

    def _move(self, trigger: Trigger) -> None:
        row = self._moves[self._state]
        if trigger not in row:
            raise IllegalTransition("illegal_transition", f"{trigger.value!r} while {self._state.value}")
        self._state = row[trigger]

    def _begin(self, welcome: Welcome) -> None:
        self._session = welcome.session
        self._ordering = Ordering(welcome.suspect_after)

    def _wrap(self, message: Message, now: float, payloads: Sequence[bytes] = ()) -> Transmit:
        return Transmit(self._ordering.wrap(self._session, message, now), tuple(payloads))

    def _aside(self, message: Message) -> Transmit:
        """Wrap a message that is outside the numbering: greetings, refusals, farewells."""
        return Transmit(Envelope(self._session, 0, 0, message))

    def _say(self, message: Message, now: float, payloads: Sequence[bytes], allowed: frozenset[type]) -> list[Output]:
        self._move(Trigger.GOODBYE if type(message) is Goodbye else Trigger.SEND)
        if type(message) not in allowed:
            raise IllegalTransition("direction", f"{type(message).__name__} is not ours to send in a session")
        return [self._wrap(message, now, payloads)]

    def _fault_in(self, envelope: Envelope, allowed: frozenset[type], now: float) -> tuple[str, str] | None:
        """Judge an envelope of a live session: (code, reason) of a fault, ("", "") to drop it, None if it is new."""
        if envelope.session < self._session:
            return "", ""
        if envelope.session > self._session:
            return "session", f"session {envelope.session} on the connection of session {self._session}"
        if type(envelope.message) not in allowed:
            return "direction", f"{type(envelope.message).__name__} is not the other side's to send"
        verdict = self._ordering.judge(envelope, now)
        if verdict is Verdict.NEW:
            return None
        if verdict is Verdict.DUPLICATE:
            return "", ""
        return verdict.value, f"{verdict.value} at seq {envelope.seq}, ack {envelope.ack}"


class NodeSession(_Session):
    """The node's end of one connection.

    Call `connect` once, `receive` for each message that came, `tick` a few times per second, `send` while LIVE.
    """

    def __init__(self, *, hello_retry: float = HELLO_RETRY, hello_timeout: float = HELLO_TIMEOUT) -> None:
        super().__init__(NODE_MOVES)
        self._hello_retry = hello_retry
        self._hello_timeout = hello_timeout
        self._hello: Hello | None = None
        self._greeted_at = 0.0
        self._heard_at = 0.0
        self._silence_limit = hello_timeout
        self._on: dict[type, Callable[..., list[Output]]] = {
            Welcome: self._on_welcome,
            Rehello: self._on_rehello,
            Reject: self._on_refusal,
            RetryAfter: self._on_refusal,
            Disconnect: self._on_refusal,
        }

    def connect(self, hello: Hello, now: float) -> list[Output]:
        """Introduce the node; HELLO is repeated until the head answers.

        Raises:
            IllegalTransition: called twice.
        """
        self._move(Trigger.CONNECT)
        self._hello = hello
        self._heard_at = now
        return self._greet(now)

    def receive(self, envelope: Envelope, payloads: tuple[bytes, ...], now: float) -> list[Output]:
        """Take a message of the head."""
        handler = self._on.get(type(envelope.message))
        if handler is not None:
            return handler(envelope, now)
        if not self._allows(Trigger.TRAFFIC):
            return []
        fault = self._fault_in(envelope, FROM_HEAD, now)
        if fault is None:
            self._heard_at = now
            return [Deliver(envelope.message, payloads)]
        return self._end(Trigger.FAULT, Ended(*fault)) if fault[0] else []

    def send(self, message: Message, now: float, payloads: Sequence[bytes] = ()) -> list[Output]:
        """Say something within the session; GOODBYE ends it.

        Raises:
            IllegalTransition: the session is not LIVE, or the message is not a node's to send.
        """
        outputs = self._say(message, now, payloads, FROM_NODE)
        if self._state is SessionState.ENDED:
            outputs.append(Ended("goodbye", "the node left in good order", fatal=True))
        return outputs

    def tick(self, now: float) -> list[Output]:
        """Notice the passing of time: repeat HELLO, end a silent connection."""
        if not self._allows(Trigger.SILENCE):
            return []
        if now - self._heard_at > self._silence_limit:
            return self._end(Trigger.SILENCE, Ended("silence", f"no word from the head in {self._silence_limit:g} s"))
        if self._state is SessionState.GREETING and now - self._greeted_at >= self._hello_retry:
            return self._greet(now)
        return []

    def complain(self, error: RemoteProtocolError, now: float) -> list[Output]:
        """Tell the head that frames were refused; the message in them counts as lost."""
        return self.send(_nak(error), now) if self._state is SessionState.LIVE else []

    def _greet(self, now: float) -> list[Output]:
        assert self._hello is not None, "connect comes first"
        self._greeted_at = now
        return [self._aside(self._hello)]

    def _on_welcome(self, envelope: Envelope, now: float) -> list[Output]:
        welcome = envelope.message
        assert isinstance(welcome, Welcome), "dispatched by type"
        if self._state is SessionState.LIVE and welcome.session != self._session:
            return self._end(Trigger.FAULT, Ended("session", "a second WELCOME on one connection"))
        if not self._allows(Trigger.WELCOME):
            return []
        try:
            check_welcome(welcome)
        except VersionMismatch as error:
            return self._end(Trigger.FAULT, Ended(error.code, str(error), fatal=True))
        self._move(Trigger.WELCOME)
        self._begin(welcome)
        self._heard_at = now
        self._silence_limit = welcome.suspect_after
        return [Established(welcome)]

    def _on_rehello(self, envelope: Envelope, now: float) -> list[Output]:
        if not self._allows(Trigger.REHELLO) or envelope.session not in (0, self._session):
            return []
        self._move(Trigger.REHELLO)
        if self._state is SessionState.GREETING:
            return self._greet(now)
        return [Ended("rehello", "the head does not know this connection")]

    def _on_refusal(self, envelope: Envelope, now: float) -> list[Output]:
        if not self._allows(Trigger.REFUSED) or envelope.session not in (0, self._session):
            return []
        return self._end(Trigger.REFUSED, _ended_by(envelope.message, "the head"))

    def _end(self, trigger: Trigger, ended: Ended) -> list[Output]:
        self._move(trigger)
        return [ended]


class HeadSession(_Session):
    """The head's end of one connection.

    Call `receive` for each message that came and `tick` about once per second. Answer Greeted with `accept` or
    `refuse`; `refuse` also ends a live session. `send` while LIVE.
    """

    def __init__(self, now: float = 0.0, *, hello_timeout: float = LOST_AFTER, patience: float = HELLO_RETRY) -> None:
        super().__init__(HEAD_MOVES)
        self._opened_at = now
        self._hello_timeout = hello_timeout
        self._patience = patience
        self._hello: Hello | None = None
        self._welcome: Welcome | None = None
        self._last_word: Message | None = Rehello("unknown connection")
        self._last_word_at: float | None = None

    def receive(self, envelope: Envelope, payloads: tuple[bytes, ...], now: float) -> list[Output]:
        """Take a message of the other side."""
        message = envelope.message
        if isinstance(message, Hello) and self._allows(Trigger.HELLO):
            return self._on_hello(message, now)
        if not self._allows(Trigger.TRAFFIC):
            return self._answer_stranger(now)
        fault = self._fault_in(envelope, FROM_NODE, now)
        if fault is None:
            return self._on_traffic(message, payloads, now)
        return self._end_by_fault(Ended(*fault), now) if fault[0] else []

    def accept(self, welcome: Welcome, now: float) -> list[Output]:
        """Answer HELLO with WELCOME: the session begins.

        Raises:
            IllegalTransition: nobody is waiting for an answer.
        """
        self._move(Trigger.ACCEPT)
        self._welcome = welcome
        self._begin(welcome)
        return [self._aside(welcome)]

    def refuse(self, message: Refusal, now: float) -> list[Output]:
        """Turn a node away, or end its session; harmless after the end."""
        over = self._state is SessionState.ENDED
        self._move(Trigger.REFUSE)
        return [] if over else [self._part(message, now), _ended_by(message, "this head")]

    def send(self, message: Message, now: float, payloads: Sequence[bytes] = ()) -> list[Output]:
        """Say something within the session.

        Raises:
            IllegalTransition: the session is not LIVE, or the message is not a head's to send.
        """
        return self._say(message, now, payloads, FROM_HEAD)

    def tick(self, now: float) -> list[Output]:
        """Notice the passing of time: give up on a link that never introduced itself."""
        if not self._allows(Trigger.SILENCE) or now - self._opened_at <= self._hello_timeout:
            return []
        self._move(Trigger.SILENCE)
        return [Ended("no_hello", f"no HELLO within {self._hello_timeout:g} s")]

    def complain(self, error: RemoteProtocolError, now: float) -> list[Output]:
        """Tell the node that frames were refused; the message in them counts as lost.

        Before HELLO a foreign version is refused for good, in words that every version can read.
        """
        if self._state is SessionState.LIVE:
            return self.send(_nak(error), now)
        if self._state is SessionState.NEW and isinstance(error, VersionMismatch):
            return self.refuse(version_reject(error), now)
        return []

    def _on_hello(self, hello: Hello, now: float) -> list[Output]:
        if self._hello is not None and hello != self._hello:
            return self._end_by_fault(Ended("second_hello", "another HELLO on one connection"), now)
        first = self._hello is None
        self._hello = hello
        self._move(Trigger.HELLO)
        if first:
            return [Greeted(hello)]
        return [] if self._welcome is None else [self._aside(self._welcome)]

    def _on_traffic(self, message: Message, payloads: tuple[bytes, ...], now: float) -> list[Output]:
        outputs: list[Output] = [Deliver(message, payloads)]
        if isinstance(message, Heartbeat):
            outputs.append(self._wrap(HeartbeatAck(message.sent_at, now), now))
        elif isinstance(message, Goodbye):
            self._move(Trigger.GOODBYE)
            self._last_word = None
            outputs.append(Ended("goodbye", message.reason, fatal=True))
        return outputs

    def _answer_stranger(self, now: float) -> list[Output]:
        """Answer what cannot be heard in this state, unless a HELLO is waiting for the core's answer."""
        too_soon = self._last_word_at is not None and now - self._last_word_at < self._patience
        if self._last_word is None or self._state is SessionState.GREETING or too_soon:
            return []
        return [self._part(self._last_word, now)]

    def _end_by_fault(self, ended: Ended, now: float) -> list[Output]:
        self._move(Trigger.FAULT)
        return [self._part(Rehello(ended.reason), now), ended]

    def _part(self, message: Message, now: float) -> Transmit:
        self._last_word = message
        self._last_word_at = now
        return self._aside(message)


def _ended_by(message: Message, who: str) -> Ended:
    """Tell what a refusal means for the node that gets it."""
    if isinstance(message, RetryAfter):
        return Ended("retry_after", f"{who} is busy", retry_after=message.seconds)
    if isinstance(message, Disconnect):
        fatal = message.code in (DUPLICATE, REVOKED)
        return Ended(message.code, message.reason, retry_after=0.0 if fatal else HELLO_RETRY, fatal=fatal)
    assert isinstance(message, Reject), "dispatched by type"
    return Ended(message.code, message.reason, fatal=True)


def _nak(error: ProtocolError) -> Nak:
    return Nak(error.code, str(error)[:500])
