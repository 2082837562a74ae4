"""The life of a task within a run: eight phases and the one table of legal moves.

    WAITING --(sources finished)--> READY --> LEASED --> RUNNING --> FINISHED
                                      ^---------+----------'   `---> FAILED
    WAITING, READY --> SKIPPED          any that is not over --> CANCELLED
    FINISHED --(objects lost)--> READY

A task goes back to READY when its lease ends without blame or its attempt is lost. READY --> FAILED is a task whose
inputs can never be sent; LEASED --> FAILED one that may begin once only and was lost with its node, which may have
begun it. WAITING or READY --> FAILED, too, is a task that no node could ever take, in a run that does not wait for
capacity. FINISHED --> READY is a task that runs once more because objects that it made are lost, and READY --> WAITING
what needs it meanwhile. WAITING --> LEASED is a short task that goes early to the node of what it waits for (early.py).
Phases are small integers because a run keeps one byte per task.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CANCELLED", "FAILED", "FINISHED", "IS_LEGAL", "IS_OVER", "LEASED", "MORE_READY", "PHASE_NAMES", "READY", "RUNNING",
    "SKIPPED", "UNHELD_CANCELLED", "WAITING",
]  # fmt: skip

WAITING: Final = 0
READY: Final = 1
LEASED: Final = 2
RUNNING: Final = 3
FINISHED: Final = 4
FAILED: Final = 5
SKIPPED: Final = 6
CANCELLED: Final = 7

PHASE_NAMES: Final = ("waiting", "ready", "leased", "running", "finished", "failed", "skipped", "cancelled")

_LEGAL: Final[dict[int, tuple[int, ...]]] = {
    WAITING: (READY, LEASED, FAILED, SKIPPED, CANCELLED),
    READY: (WAITING, LEASED, FAILED, SKIPPED, CANCELLED),
    LEASED: (READY, RUNNING, FAILED, CANCELLED),
    RUNNING: (READY, FINISHED, FAILED, CANCELLED),
    FINISHED: (READY,),
    FAILED: (),
    SKIPPED: (),
    CANCELLED: (),
}

IS_LEGAL: Final = tuple(tuple(to in _LEGAL[phase] for to in range(8)) for phase in range(8))
"""`IS_LEGAL[from][to]`."""
MORE_READY: Final = tuple(
    tuple((to == READY) - (phase == READY) if IS_LEGAL[phase][to] else None for to in range(8)) for phase in range(8)
)
"""`MORE_READY[from][to]`: by how much a move changes the number of ready tasks; None if it is illegal."""
IS_OVER: Final = tuple(phase >= FINISHED for phase in range(8))

UNHELD_CANCELLED: Final = bytes([CANCELLED, CANCELLED, *range(2, 256)])
"""For bytearray.translate: a cancelled run drops at once what no node holds."""
