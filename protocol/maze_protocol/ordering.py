"""Numbers on envelopes: what has been seen, what is missing, what the other side has. One object per session and side.

Rules
* Detection only. Nothing is ever sent again here: a fault ends the session, and the next HELLO tells both cores
  what the other still holds (decisions: docs/adr). So there is no buffer and no bound to keep.
* The reliable class is gapless: the next number is taken, an older one is a duplicate, a later one is a fault.
* The other class is numbered on its own and only ever moves forward: duplicates and late-comers are dropped, gaps
  are normal. Its values are absolute (load, credit), so the newest is all that counts.
* A peer that keeps talking without acknowledging has not got our last messages: that is a fault too, else a lost
  message at the end of a burst would never be noticed.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from maze_protocol.codec import Envelope
from maze_protocol.messages import RELIABLE, Message

__all__ = ["Ordering", "Verdict"]

_RELIABLE: Final = frozenset(RELIABLE)
_SILENT_FRAMES: Final = 3
"""So many frames without progress must come besides the time: one old frame in a buffer proves nothing."""


class Verdict(Enum):
    """What to do with an envelope of this session."""

    NEW = "new"
    DUPLICATE = "duplicate"
    GAP = "gap"
    BAD_ACK = "bad_ack"
    STALL = "stall"


class Ordering:
    """Both directions of one session, from one side."""

    __slots__ = ("_acked", "_frames", "_got", "_got_loose", "_progress_at", "_sent", "_sent_loose", "_stall_after")

    def __init__(self, stall_after: float) -> None:
        self._stall_after = stall_after
        self._sent = 0
        self._acked = 0
        self._got = 0
        self._sent_loose = 0
        self._got_loose = 0
        self._progress_at = 0.0
        self._frames = 0

    @property
    def unacked(self) -> int:
        """Return how many reliable messages the peer has not acknowledged."""
        return self._sent - self._acked

    def wrap(self, session: int, message: Message, now: float) -> Envelope:
        """Number a message that is about to be sent."""
        if type(message) not in _RELIABLE:
            self._sent_loose += 1
            return Envelope(session, self._sent_loose, self._got, message)
        if self._sent == self._acked:
            self._restart_patience(now)
        self._sent += 1
        return Envelope(session, self._sent, self._got, message)

    def judge(self, envelope: Envelope, now: float) -> Verdict:
        """Judge a received envelope and record it if it is new."""
        fault = self._note_ack(envelope.ack, now)
        if fault is not None:
            return fault
        if type(envelope.message) in _RELIABLE:
            return self._judge_reliable(envelope.seq)
        if envelope.seq <= self._got_loose:
            return Verdict.DUPLICATE
        self._got_loose = envelope.seq
        return Verdict.NEW

    def _judge_reliable(self, seq: int) -> Verdict:
        if seq <= self._got:
            return Verdict.DUPLICATE
        if seq > self._got + 1:
            return Verdict.GAP
        self._got = seq
        return Verdict.NEW

    def _note_ack(self, ack: int, now: float) -> Verdict | None:
        if ack > self._sent:
            return Verdict.BAD_ACK
        if ack > self._acked:
            self._acked = ack
            self._restart_patience(now)
        elif self._acked < self._sent:
            self._frames += 1
            if self._frames >= _SILENT_FRAMES and now - self._progress_at > self._stall_after:
                return Verdict.STALL
        return None

    def _restart_patience(self, now: float) -> None:
        self._progress_at = now
        self._frames = 0
