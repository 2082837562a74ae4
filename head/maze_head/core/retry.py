"""Who is to blame for an attempt that ended without a result, and whether the task gets another one.

Budgets are per task and per cause: a worker that dies under it (crash, 3 tries), a node that is lost while it runs
(5), an error of its own code (none). A lease that never started costs nothing. The history of a spent budget becomes
the text of the failure, because that is all the author will see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maze_protocol.messages import ErrorInfo

__all__ = ["CRASH", "NODE_LOSS", "NODE_LOST", "crash_of", "node_loss", "spent"]

CRASH: Final = "crash"
NODE_LOST: Final = "node_lost"
NODE_LOSS: Final = "NodeLost"
"""Type name of the fault whose attempt may still be going on somewhere."""


def spent(faults: Sequence[ErrorInfo], error: ErrorInfo, budget: int) -> ErrorInfo | None:
    """Return the final failure if this fault uses up the budget of its kind, else None.

    Args:
        faults: earlier faults of the task, of any kind.
        error: the fault that just happened.
        budget: how many faults of this kind end the task.
    """
    alike = [*(fault for fault in faults if fault.kind == error.kind), error]
    if len(alike) < budget:
        return None
    if len(alike) == 1:
        return error
    what = "the worker died" if error.kind == CRASH else "its node was lost"
    history = ", ".join(fault.signal or fault.message[:80] for fault in alike)
    return ErrorInfo(
        error.kind,
        error.type_name,
        f"{error.message}; {what} {len(alike)}x: {history}",
        "",
        error.signal,
        error.exit_code,
        error.stderr_tail,
    )


def crash_of(error: ErrorInfo | None) -> ErrorInfo:
    """Return a well-formed crash from what a node told (or did not)."""
    if error is None:
        return ErrorInfo(CRASH, "WorkerCrashed", "the worker process died without a trace")
    if error.kind == CRASH:
        return error
    return ErrorInfo(
        CRASH, error.type_name, error.message, error.traceback, error.signal, error.exit_code, error.stderr_tail
    )


def node_loss(node_id: str, reason: str) -> ErrorInfo:
    """Return the fault of an attempt whose node is gone."""
    return ErrorInfo(NODE_LOST, NODE_LOSS, f"node {node_id} was lost while the task ran ({reason})")
