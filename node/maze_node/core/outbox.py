"""Outcomes that the head has not acknowledged: the one copy of a finished attempt's result.

They are sent once per session, and again after each WELCOME, until RESULT_ACK or a drop; nothing else removes them.
That of an early lease is sent after that of the lease that it followed, or the head would not take it (early.py).
Bodies of values stay in the outcome; each message packs them anew (small ones inline, large ones as payloads). What
does not fit into memory is on the shelf (shelf.py), and comes back to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from maze_node.core.effects import Effect
from maze_node.core.events import Instant, Loaded, Spilled
from maze_node.core.outcomes import under
from maze_node.core.shelf import RESULT_MEMORY, Kept, Shelf
from maze_protocol.limits import FLUSH_BYTES, MAX_CONTROL_MESSAGE
from maze_protocol.messages import HELD_DONE, Held, Outcome, Result
from maze_protocol.values import OutputValue, ValuePacker

__all__ = ["Outbox"]

MAX_ITEMS: Final = 1_000
_OVERHEAD: Final = 256
_OUTPUT: Final = 128
"""Bytes of an output besides its name and its value."""


class Outbox:
    """Finished attempts by lease, in the order in which they finished."""

    def __init__(self, emit: Callable[[Effect], None], budget: int = RESULT_MEMORY) -> None:
        self._kept: dict[int, Kept] = {}
        self.unsent: dict[int, None] = {}
        """Leases whose outcomes are to be said in this session, as far as memory has them."""
        self._shelf = Shelf(emit, budget)
        self._next = 1

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, lease: int) -> bool:
        return lease in self._kept

    @property
    def overfull(self) -> bool:
        """Tell whether the node should start nothing before some of this is acknowledged."""
        return self._shelf.overfull

    def outcome_of(self, lease: int) -> Outcome | None:
        """Return an outcome that has not been acknowledged, if memory has it."""
        kept = self._kept.get(lease)
        return None if kept is None else kept.outcome

    def inventory(self) -> Iterator[Held]:
        """Return what HELLO tells about them."""
        for lease, kept in self._kept.items():
            yield Held(lease, HELD_DONE, kept.started_at)

    def keep(self, outcome: Outcome, after: int = 0) -> None:
        """Keep an outcome until it is acknowledged; of an early lease, `after` is the one that it followed."""
        lease, text, size = outcome.lease, _OVERHEAD, 0
        for each in outcome.outputs:
            text += 4 * len(each.key) + _OUTPUT
            size += len(each.value.body)
        if outcome.error is not None or outcome.warnings or outcome.stdout_tail or outcome.stderr_tail:
            text += _words_size(outcome)
        self._kept[lease] = kept = Kept(self._next, lease, outcome, outcome.started_at, text + size, text, after)
        self._next += 1
        self.unsent[lease] = None
        self._shelf.add(kept)

    def forget(self, lease: int) -> None:
        """Drop an outcome that is acknowledged or unwanted."""
        kept = self._kept.pop(lease, None)
        if kept is not None:
            self.unsent.pop(lease, None)
            self._shelf.remove(kept)

    def rename(self, old: int, new: int) -> None:
        """Report a finished attempt under another token."""
        kept = self._kept.pop(old, None)
        if kept is not None:
            self.unsent.pop(old, None)
            kept.lease = new
            if kept.outcome is not None:
                kept.outcome = under(kept.outcome, new)
            self._kept[new] = kept
            self.send_again(new)

    def send_again(self, lease: int) -> None:
        """Send one outcome once more in this session."""
        kept = self._kept.get(lease)
        if kept is None:
            return
        if kept.outcome is not None:
            self.unsent[lease] = None
        else:
            self._shelf.want(kept)

    def restart(self) -> None:
        """A session began: everything goes out again."""
        self._shelf.restart()
        for kept in self._kept.values():
            kept.said = False
        self.unsent = {lease: None for lease, kept in self._kept.items() if kept.outcome is not None}

    def settle(self, mono: float, *, live: bool) -> None:
        """Move outcomes between memory and disk."""
        self._shelf.settle(mono, live=live)

    def spilled(self, event: Spilled, now: Instant) -> None:
        """Note how a write went."""
        kept = self._shelf.spilled(event.number, done=event.done, mono=now.mono)
        if kept is not None and kept.lease in self.unsent:
            del self.unsent[kept.lease]
            self._shelf.want(kept)

    def loaded(self, event: Loaded, now: Instant) -> None:
        """Let what was read go out."""
        kept = self._shelf.loaded(event.number, event.data)
        if kept is not None:
            self.unsent[kept.lease] = None

    def messages(self) -> Iterator[tuple[Result, tuple[bytes, ...]]]:
        """Yield what has not been sent in this session, in messages within the limits."""
        batch: list[Outcome] = []
        packer, size, payload = ValuePacker(), 0, 0
        on_disk = self._shelf.on_disk
        for kept in self._take_unsent():
            outcome = kept.outcome
            assert outcome is not None, "what is only on disk waits on the shelf"
            kept.said = True
            if kept.number in on_disk:
                # It was read to be said.
                kept.outcome = None
            text, total = kept.text, kept.size - kept.text
            size, payload = size + text, payload + total
            inline = packer.takes_inline(total)
            full = size > FLUSH_BYTES or payload > MAX_CONTROL_MESSAGE // 2 or not (inline or _fits(outcome, packer))
            if batch and (full or len(batch) >= MAX_ITEMS):
                yield Result(tuple(batch)), tuple(packer.payloads)
                batch, packer, size, payload = [], ValuePacker(), text, total
                inline = packer.takes_inline(total)
            batch.append(outcome if inline else _packed(outcome, packer))
        if batch:
            yield Result(tuple(batch)), tuple(packer.payloads)

    def _take_unsent(self) -> Iterator[Kept]:
        """Take out what can be said now, each after what it followed; what has to wait for that stays unsent."""
        unsent, self.unsent = self.unsent, {}
        taken: set[int] = set()
        for lease in unsent:
            if lease in taken:
                continue
            kept = self._kept[lease]
            if not kept.after:
                yield kept
                continue
            chain = [kept]
            while (before := self._before(chain[-1])) is not None and before.lease in unsent:
                chain.append(before)
            if before is not None:
                self.unsent.update((each.lease, None) for each in chain)
                self._shelf.hurry(before)
                continue
            if len(chain) > 1:
                taken.update(each.lease for each in chain)
            yield from reversed(chain)

    def _before(self, kept: Kept) -> Kept | None:
        """Return what has to be said before an outcome, and has not been."""
        before = self._kept.get(kept.after) if kept.after else None
        return None if before is None or before.said else before


def _fits(outcome: Outcome, packer: ValuePacker) -> bool:
    return packer.fits([len(each.value.body) for each in outcome.outputs])


def _packed(outcome: Outcome, packer: ValuePacker) -> Outcome:
    outputs = [OutputValue(each.key, packer.pack(each.value, each.value.body), each.type) for each in outcome.outputs]
    return msgspec.structs.replace(outcome, outputs=tuple(outputs))


def _words_size(outcome: Outcome) -> int:
    """Estimate the meta bytes of what people read of an outcome."""
    error, texts = outcome.error, 0
    if error is not None:
        texts += len(error.traceback) + len(error.message) + len(error.stderr_tail)
    texts += sum(map(len, outcome.warnings))
    return 4 * texts + len(outcome.stdout_tail) + len(outcome.stderr_tail)
