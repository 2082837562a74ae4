"""The end of an attempt by which a finished task was run once more for the objects that were lost.

The accepted result stays the first one, so what comes now must be the like of it: the same outputs, with objects where
there were some. From here on they go by the new lease, and what is left of the old one is let go. Bytes that differ
are taken and told of: a task that does not give the same twice was promised nothing else (docs/semantics.md).
"""

from __future__ import annotations

from maze_head.core.ends import give_up
from maze_head.core.keeping import take_in
from maze_head.core.leases import Lease
from maze_head.core.made import objects_of
from maze_head.core.objects import forget
from maze_head.core.state import State
from maze_protocol.events import ObjectRebuilt, OutputMeta

__all__ = ["end_rebuild"]


def end_rebuild(state: State, lease: Lease, outputs: tuple[OutputMeta, ...], wall_ms: float) -> bool:
    """Take in what a task made when it ran once more; return False if it does not serve.

    Args:
        lease: which is out of force already.
        outputs: what it returned.
        wall_ms: how long it took, in milliseconds.
    """
    run, task = lease.run, lease.task
    before = run.objects.made[task]
    if not _is_alike(before.outputs, outputs):
        give_up(state, run, task, "it returned other outputs, or smaller ones, when it ran again")
        return False
    diverged = tuple(new.key for old, new in zip(before.outputs, outputs, strict=True) if _differ(old, new))
    attempt, node = run.attempt[task], lease.node.id
    state.counters.objects_rebuilt += len(run.objects.lost[task])
    state.record(run, ObjectRebuilt(task, attempt, lease.token, node, outputs, diverged, wall_ms))
    take_in(state, run, task)
    forget(state, [before.lease])
    return True


def _is_alike(before: tuple[OutputMeta, ...], now: tuple[OutputMeta, ...]) -> bool:
    keys = [meta.key for meta in before] == [meta.key for meta in now]
    return keys and all(now[number].object for number in objects_of(before))


def _differ(old: OutputMeta, new: OutputMeta) -> bool:
    return old.size != new.size or bool(old.crc and new.crc and old.crc != new.crc)
