"""When to connect again. The shell brings the time and the jitter.

Rules
* The first try after a session that lasted comes at once, later ones ever more rarely, each after a random half to
  whole of its delay: nodes that lost the same head do not come back in step.
* Short sessions are failures too: a link that flaps is not hammered.
* However it comes about, connections are SPACING apart at the least.
* A head that has not told its address yet is looked for often at first: it mostly starts beside the node.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Backoff"]

FIRST_DELAY: Final = 0.05
MAX_DELAY: Final = 0.6
"""A head that is back sees every node within this and the time of a connect: less than the second that it gives a node
whose connection broke before it takes it for lost."""
SPACING: Final = 0.1
LASTED: Final = 5.0
LOOK_AGAIN: Final = 0.01
LOOK_OFTEN: Final = 5.0
"""So long the look at a missing file is repeated at that rate, for a twentieth of a percent of a CPU."""


class Backoff:
    """The delays of one node."""

    def __init__(self) -> None:
        self._delay = FIRST_DELAY
        self._connected_at = -SPACING
        self._live_since: float | None = None
        self._looking_since: float | None = None

    def connecting(self, now: float) -> None:
        """Note that a connection is being made."""
        self._looking_since = None
        self._connected_at = now

    def established(self, now: float) -> None:
        """Note that a session began."""
        self._live_since = now

    def look_again(self, now: float, jitter: float) -> float:
        """Return how long to wait before asking anew where the head is: nobody has told yet."""
        if self._looking_since is None:
            self._looking_since = now
        return LOOK_AGAIN if now - self._looking_since < LOOK_OFTEN else self.delay(now, jitter)

    def delay(self, now: float, jitter: float, at_least: float = 0.0) -> float:
        """Return how long to wait from now on; `jitter` is between 0 and 1."""
        if self._live_since is not None and now - self._live_since >= LASTED:
            self._delay = FIRST_DELAY
        self._live_since = None
        wait = max(at_least, self._delay * (0.5 + 0.5 * jitter), self._connected_at + SPACING - now)
        self._delay = min(MAX_DELAY, self._delay * 2)
        return wait
