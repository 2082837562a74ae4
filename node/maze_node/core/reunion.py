"""What a HELLO tells of held leases, and what the head's WELCOME says to do with each: keep it, or drop it.

The head may know a lease by another token from now on; everything that is kept of it goes on under the new one.
"""

from __future__ import annotations

from collections.abc import Callable

from maze_node.core import outcomes
from maze_node.core.effects import Effect, RenameLog
from maze_node.core.events import Instant
from maze_node.core.leases import Ending
from maze_node.core.outbox import Outbox
from maze_node.core.runner import Runner
from maze_protocol.messages import HELD_RUNNING, Held

__all__ = ["Reunion"]


class Reunion:
    """Carries out what a WELCOME says of leases."""

    def __init__(self, runner: Runner, outbox: Outbox, emit: Callable[[Effect], None]) -> None:
        self._runner = runner
        self._outbox = outbox
        self._emit = emit
        self._told: dict[int, float] = {}
        """Attempts of which the last HELLO said that they run, with the wall-clock time of their start."""

    def inventory(self) -> tuple[Held, ...]:
        """Return every lease that this node still answers for, to be told in HELLO."""
        found = self._inventory()
        self._told = {held.lease: held.started_at for held in found if held.state == HELD_RUNNING}
        return found

    def _inventory(self) -> tuple[Held, ...]:
        return (*self._runner.leases.inventory(), *self._outbox.inventory())

    def keep(self, old: int, new: int) -> bool:
        """Go on answering for a lease, under the token that is in force now; tell whether it is still here."""
        self._adopt(old, new)
        lease = self._runner.leases.get(new)
        if lease is not None and lease.unwanted:
            # The head gave it up and came back for it: now it waits for an outcome.
            lease.wish = None
            lease.ending = Ending.ABANDONED if lease.ending is not None else None
        held = lease is not None or new in self._outbox
        if not held and old in self._told:
            # Given up by an earlier head, it ended without an outcome while HELLO was on its way: it did begin.
            self._outbox.keep(outcomes.of_vanished(new, self._told[old]))
            return True
        return held

    def _adopt(self, old: int, new: int) -> None:
        if old == new or new in self._runner.leases or new in self._outbox:
            return
        lease = self._runner.leases.get(old)
        if lease is not None:
            self._runner.rename(lease, new)
            self._emit(RenameLog(old, new))
        elif old in self._outbox:
            self._outbox.rename(old, new)
            self._runner.objects.rename(old, new)
            self._emit(RenameLog(old, new))

    def drop(self, token: int, now: Instant) -> None:
        """Forget a lease without telling the head about it."""
        self._outbox.forget(token)
        lease = self._runner.leases.get(token)
        if lease is None:
            return
        if lease.worker:
            self._runner.end(lease, Ending.DROPPED, "the head gave it up", 0.0, now)
        else:
            self._runner.forget_waiting(lease, now)

    def drop_everything(self, now: Instant) -> None:
        """Forget all that another cluster leased."""
        for held in self._inventory():
            self.drop(held.lease, now)
        self._runner.codes.clear()
