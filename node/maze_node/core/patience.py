"""For how long what a node has to say may wait for more, to be said together: each message costs a turn of the head.

Long queues leave more time than short ones: their workers do not run dry, and what depends on a result would have to
wait behind them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ENOUGH", "FLUSH_LATER", "FLUSH_SOON", "LONG_QUEUE", "patience"]

FLUSH_SOON: Final = 0.001
FLUSH_LATER: Final = 0.005
"""A quarter of the time for which leases are sent ahead (decisions: grants and prefetch)."""
LONG_QUEUE: Final = 4
"""Leases behind each that runs."""
ENOUGH: Final = 64
"""Outcomes in a message: more of them save nothing, and the next leases come the sooner."""


def patience(running: int, queued: int, unsent: int) -> float:
    """Return for how many seconds there may be more to say; 0: nothing is expected soon, or there is enough.

    Args:
        running: attempts that run.
        queued: leases that do not run yet.
        unsent: outcomes that are to be sent.
    """
    if not queued or not running or unsent >= ENOUGH:
        return 0.0
    return FLUSH_LATER if queued >= LONG_QUEUE * running else FLUSH_SOON
