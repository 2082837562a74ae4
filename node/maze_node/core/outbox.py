"""Outcomes that the head has not acknowledged: the one copy of a finished attempt's result.

They are sent once per session, and again after each WELCOME, until RESULT_ACK or a drop; nothing else removes them.
Bodies of values stay in the outcome; each message packs them anew (small ones inline, large ones as payloads).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from maze_protocol.limits import FLUSH_BYTES, MAX_CONTROL_MESSAGE
from maze_protocol.messages import HELD_DONE, Held, Outcome, Result
from maze_protocol.values import OutputValue, ValuePacker

__all__ = ["Outbox"]

MAX_ITEMS: Final = 1_000
_OVERHEAD: Final = 256


class Outbox:
    """Finished attempts by lease, in the order in which they finished."""

    def __init__(self) -> None:
        self._kept: dict[int, Outcome] = {}
        self._unsent: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, lease: int) -> bool:
        return lease in self._kept

    def inventory(self) -> Iterator[Held]:
        """Return what HELLO tells about them."""
        for lease, outcome in self._kept.items():
            yield Held(lease, HELD_DONE, outcome.started_at)

    def keep(self, outcome: Outcome) -> None:
        """Keep an outcome until it is acknowledged."""
        self._kept[outcome.lease] = outcome
        self._unsent[outcome.lease] = None

    def forget(self, lease: int) -> None:
        """Drop an outcome that is acknowledged or unwanted."""
        self._kept.pop(lease, None)
        self._unsent.pop(lease, None)

    def rename(self, old: int, new: int) -> None:
        """Report a finished attempt under another token."""
        outcome = self._kept.pop(old, None)
        if outcome is not None:
            self._unsent.pop(old, None)
            self.keep(msgspec.structs.replace(outcome, lease=new))

    def send_again(self, lease: int) -> None:
        """Send one outcome once more in this session."""
        if lease in self._kept:
            self._unsent[lease] = None

    def restart(self) -> None:
        """A session began: everything goes out again."""
        self._unsent = dict.fromkeys(self._kept)

    def messages(self) -> Iterator[tuple[Result, tuple[bytes, ...]]]:
        """Yield what has not been sent in this session, in messages within the limits."""
        batch: list[Outcome] = []
        packer, size, payload = ValuePacker(), 0, 0
        for lease in self._unsent:
            outcome = self._kept[lease]
            bodies = [each.value.size for each in outcome.outputs]
            text, total = _text_size(outcome), sum(bodies)
            full = size + text > FLUSH_BYTES or payload + total > MAX_CONTROL_MESSAGE // 2 or not packer.fits(bodies)
            if batch and (full or len(batch) >= MAX_ITEMS):
                yield Result(tuple(batch)), tuple(packer.payloads)
                batch, packer, size, payload = [], ValuePacker(), 0, 0
            batch.append(_packed(outcome, packer))
            size, payload = size + text, payload + total
        self._unsent = {}
        if batch:
            yield Result(tuple(batch)), tuple(packer.payloads)


def _packed(outcome: Outcome, packer: ValuePacker) -> Outcome:
    if not outcome.outputs:
        return outcome
    outputs = tuple(OutputValue(each.key, packer.pack(each.value, each.value.body)) for each in outcome.outputs)
    return msgspec.structs.replace(outcome, outputs=outputs)


def _text_size(outcome: Outcome) -> int:
    """Estimate the meta bytes of an outcome without its values."""
    error = outcome.error
    texts = len(error.traceback) + len(error.message) + len(error.stderr_tail) if error is not None else 0
    texts += sum(map(len, outcome.warnings)) + sum(len(each.key) + 32 for each in outcome.outputs)
    return _OVERHEAD + 4 * texts + len(outcome.stdout_tail) + len(outcome.stderr_tail)
