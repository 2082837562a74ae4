"""What the two session machines are made of: states, triggers, the two tables of legal moves, and outputs.

Rules: data only; what is made for each message is a struct. The machines (session.py) change state nowhere but through
these tables; docs/wire.md prints them and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from maze_protocol.codec import Envelope
from maze_protocol.messages import Disconnect, Hello, Message, Reject, RetryAfter, Welcome

__all__ = [
    "HEAD_MOVES", "NODE_MOVES", "Deliver", "Ended", "Established", "Greeted", "Moves", "Output", "Refusal",
    "SessionState", "Transmit", "Trigger",
]  # fmt: skip

Refusal = Reject | RetryAfter | Disconnect


class SessionState(Enum):
    """Where a connection stands; the same words on both sides."""

    __hash__ = object.__hash__  # members are single objects; Enum's own hash is a call in Python for each move

    NEW = "new"
    GREETING = "greeting"
    """HELLO is said and not answered."""
    LIVE = "live"
    ENDED = "ended"


class Trigger(Enum):
    """What moves a machine: local calls, messages, faults."""

    __hash__ = object.__hash__  # as above

    CONNECT = "connect"
    HELLO = "HELLO"
    ACCEPT = "accept"
    REFUSE = "refuse"
    WELCOME = "WELCOME"
    REFUSED = "REJECT, RETRY_AFTER or DISCONNECT"
    REHELLO = "REHELLO"
    TRAFFIC = "traffic"
    SEND = "send"
    GOODBYE = "GOODBYE"
    FAULT = "fault"
    SILENCE = "silence"


_NEW, _GREETING, _LIVE, _ENDED = SessionState
Moves = dict[SessionState, dict[Trigger, SessionState]]

NODE_MOVES: Final[Moves] = {
    _NEW: {Trigger.CONNECT: _GREETING},
    _GREETING: {
        Trigger.WELCOME: _LIVE,
        Trigger.REHELLO: _GREETING,
        Trigger.REFUSED: _ENDED,
        Trigger.FAULT: _ENDED,
        Trigger.SILENCE: _ENDED,
    },
    _LIVE: {
        Trigger.TRAFFIC: _LIVE,
        Trigger.SEND: _LIVE,
        Trigger.GOODBYE: _ENDED,
        Trigger.REHELLO: _ENDED,
        Trigger.REFUSED: _ENDED,
        Trigger.FAULT: _ENDED,
        Trigger.SILENCE: _ENDED,
    },
    _ENDED: {},
}
HEAD_MOVES: Final[Moves] = {
    _NEW: {Trigger.HELLO: _GREETING, Trigger.REFUSE: _ENDED, Trigger.SILENCE: _ENDED},
    _GREETING: {
        Trigger.HELLO: _GREETING,
        Trigger.ACCEPT: _LIVE,
        Trigger.REFUSE: _ENDED,
        Trigger.FAULT: _ENDED,
    },
    _LIVE: {
        Trigger.HELLO: _LIVE,
        Trigger.TRAFFIC: _LIVE,
        Trigger.SEND: _LIVE,
        Trigger.GOODBYE: _ENDED,
        Trigger.REFUSE: _ENDED,
        Trigger.FAULT: _ENDED,
    },
    _ENDED: {Trigger.REFUSE: _ENDED},
}


class Transmit(msgspec.Struct, frozen=True):
    """Put this on the wire."""

    envelope: Envelope
    payloads: tuple[bytes, ...] = ()


class Deliver(msgspec.Struct, frozen=True):
    """Give this to the core: reliable messages once and in order, others at most once."""

    message: Message
    payloads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Greeted:
    """A node introduced itself (head side): answer with `accept` or `refuse`."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Established:
    """The session has begun (node side)."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Ended:
    """This connection is over. A node waits `retry_after` seconds and connects anew, or exits if it is `fatal`."""

    code: str
    reason: str
    retry_after: float = 0.0
    fatal: bool = False


Output = Transmit | Deliver | Greeted | Established | Ended
