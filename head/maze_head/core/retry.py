"""Who is to blame for an attempt that ended without a result, and whether the task gets another one.

Budgets are per task and per cause: a worker that dies under it (crash, 3 tries), a node that is lost while it runs
(5), an owner of all workers that dies (20: hardly ever the task's doing, save of one that kills it each time), a lack
of memory (one more attempt, see memory.py), an error of its own (as often as its author said, if it is of a kind that
the author named). A lease that never
started costs nothing. The history of a spent budget becomes the text of the failure, because that is all the author
will see.

Pauses grow with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), so that tasks that failed together do
not come back together. The dice are the lease token: the core has no randomness of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from maze_head.core.tasks import TaskSpec
from maze_protocol.messages import ErrorInfo

__all__ = [
    "CRASH",
    "NODE_LOSS",
    "NODE_LOST",
    "SPAWNER_LOSS",
    "crash_of",
    "lacked_memory",
    "longest_pause",
    "node_loss",
    "retry_pause",
    "spent",
]

CRASH: Final = "crash"
MEMORY: Final = "memory"
DEVICE_MEMORY: Final = "DeviceMemoryExceeded"
"""Type name of a lack of memory that a larger claim of the machine's does not mend."""
NODE_LOST: Final = "node_lost"
NODE_LOSS: Final = "NodeLost"
"""Type name of the fault whose attempt may still be going on somewhere."""


SPAWNER_LOSS: Final = "SpawnerLost"
"""Type name of the fault whose worker died with the process that owns all workers of its node."""
OWN: Final = ("user", "bad_return", "timeout")
"""Kinds of errors that another attempt may not have; the others are in the task's definition."""
LONGEST_PAUSE: Final = 30.0


def retry_pause(spec: TaskSpec, faults: Sequence[ErrorInfo], error: ErrorInfo, token: int) -> float | None:
    """Return how many seconds to wait before a task is tried again after an error of its own, or None for never.

    Args:
        spec: what its author allows.
        faults: earlier faults of the task, of any kind.
        error: the error that just happened.
        token: the lease of the attempt; decides where in its range the pause falls.
    """
    had = sum(fault.kind in OWN for fault in faults)
    if error.kind not in OWN or had >= spec.retries or not _named(spec.retry_on, error):
        return None
    most = min(longest_pause(spec), spec.retry_backoff * 2.0**had)
    return most * _fraction(token)


def longest_pause(spec: TaskSpec) -> float:
    """Return the bound of all pauses of a task, in seconds."""
    return max(LONGEST_PAUSE, spec.retry_backoff)


def _named(names: Sequence[str], error: ErrorInfo) -> bool:
    """Tell whether an error is of a class that the author named, by its full name or the end of it."""
    if not names:
        return True
    classes = error.bases or (error.type_name,)
    return any(each == name or each.endswith(f".{name}") for each in classes for name in names)


def _fraction(token: int) -> float:
    digest = hashlib.blake2b(token.to_bytes(8, "big"), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def spent(faults: Sequence[ErrorInfo], error: ErrorInfo, budget: int) -> ErrorInfo | None:
    """Return the final failure if this fault uses up the budget of its kind, else None.

    Args:
        faults: earlier faults of the task, of any kind.
        error: the fault that just happened.
        budget: how many faults of this kind end the task.
    """
    alike = [*(fault for fault in faults if _cause(fault) == _cause(error)), error]
    if len(alike) < budget:
        return None
    if len(alike) == 1:
        return error
    what = _WHAT[_cause(error)]
    history = ", ".join(fault.signal or fault.message[:80] for fault in alike)
    message = f"{error.message}; {what} {len(alike)}x: {history}"
    return msgspec.structs.replace(error, message=message, traceback="")


def lacked_memory(error: ErrorInfo) -> bool:
    """Tell whether an attempt ended because it had more memory than it claimed, or than there was."""
    if error.kind == MEMORY:
        return error.type_name != DEVICE_MEMORY
    return error.kind == CRASH and error.oom


def _cause(error: ErrorInfo) -> str:
    if lacked_memory(error):
        return MEMORY
    return SPAWNER_LOSS if error.type_name == SPAWNER_LOSS else error.kind


_WHAT: Final = {
    CRASH: "the worker died",
    NODE_LOST: "its node was lost",
    SPAWNER_LOSS: "the parent of its worker died",
}


def crash_of(error: ErrorInfo | None) -> ErrorInfo:
    """Return a well-formed crash from what a node told (or did not)."""
    if error is None:
        return ErrorInfo(CRASH, "WorkerCrashed", "the worker process died without a trace")
    if error.kind == CRASH:
        return error
    return msgspec.structs.replace(error, kind=CRASH)


def node_loss(node_id: str, reason: str) -> ErrorInfo:
    """Return the fault of an attempt whose node is gone."""
    return ErrorInfo(NODE_LOST, NODE_LOSS, f"node {node_id} was lost while the task ran ({reason})")
