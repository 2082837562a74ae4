"""Whether leases still hold: nothing is started behind the fence.

The head gives a silent node's leases to others when its lease time has passed since it last heard the node. So the
node counts from the moment at which it *said* something that the head has answered since, never from when the answer
was read: after SIGCONT, or a stalled network, old answers come out of a buffer by the dozen, and prove nothing about
now. Welcomes count from the connection that they came on, heartbeats by their echo.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Fence"]

MAX_ASKED: Final = 64


class Fence:
    """Until when the leases of this node hold, by the clock that runs during suspend."""

    def __init__(self) -> None:
        self._ttl = 0.0
        self._until: float | None = None
        self._asked: dict[float, float] = {}

    def welcome(self, ttl: float, asked_at: float) -> None:
        """A session began, for which the node asked then."""
        self._ttl, self._until = ttl, asked_at + ttl
        self._asked.clear()

    def ask(self, mark: float, mono: float) -> None:
        """A heartbeat with that mark is said now."""
        # Wall clocks may repeat themselves; the earlier saying is the safe one.
        self._asked.setdefault(mark, mono)
        if len(self._asked) > MAX_ASKED:
            del self._asked[next(iter(self._asked))]

    def answer(self, mark: float) -> None:
        """The head has heard the heartbeat with that mark."""
        asked_at = self._asked.pop(mark, None)
        if asked_at is not None and self._until is not None:
            self._until = max(self._until, asked_at + self._ttl)

    @property
    def until(self) -> float:
        """Return the last instant at which something may be started, as far as is known now."""
        return self._until or 0.0

    def is_open(self, mono: float) -> bool:
        """Tell whether something may be started."""
        return self._until is not None and mono <= self._until
