"""Attempts that ended for lack of memory: each task is tried once more, alone on its node, with a larger claim.

* The lack is told by the node, which ended the attempt because it had more than it claimed (kind `memory`), or by the
  kernel, which killed it (a crash with `oom`). Neither costs any of the task's other budgets.
* The next claim is twice the last one, and half as much again as the attempt had, bounded by what the largest node
  that could take the task has. If that is no more than it had, another attempt would end alike: the task fails at once.
* A second lack ends the task, with the story of both. What may be started once only is never tried again.
"""

from __future__ import annotations

import msgspec

from maze_head.core.ends import fail, give_back
from maze_head.core.fitness import could_ever
from maze_head.core.leases import Lease
from maze_head.core.retry import lacked_memory
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_protocol.events import AttemptLost, TaskFailed
from maze_protocol.messages import ErrorInfo, Outcome

__all__ = ["larger_claim", "lose_for_memory"]

KIB = 1024


def larger_claim(claimed: int, peak: int, most: int) -> int:
    """Return how many MiB the next attempt claims, or 0 if no node has more than this one had.

    Args:
        claimed: by the attempt that ended, in MiB; 0 for nothing.
        peak: MiB that it had; 0 if that is not known.
        most: MiB of the largest node.
    """
    wanted = max(2 * claimed, peak + (peak + 1) // 2) or most
    claim = min(wanted, most)
    return claim if claim > max(claimed, peak) else 0


def lose_for_memory(state: State, lease: Lease, error: ErrorInfo, outcome: Outcome) -> None:
    """End an attempt that lacked memory: try its task again, or fail it."""
    run, task = lease.run, lease.task
    error = msgspec.structs.replace(error, peak_mib=error.peak_mib or -(-outcome.peak_rss_kib // KIB))
    give_back(state, lease)
    before = next((fault for fault in run.faults.get(task, ()) if lacked_memory(fault)), None)
    if lease.once:
        _fail(state, lease, error, outcome)
    elif before is not None:
        _fail(state, lease, _with_story(lease, before, error), outcome)
    else:
        _try_larger(state, lease, error, outcome)


def _try_larger(state: State, lease: Lease, error: ErrorInfo, outcome: Outcome) -> None:
    run, task = lease.run, lease.task
    most = _largest(state, run, task)
    claim = larger_claim(lease.claim.mem_mib, error.peak_mib, most)
    if not claim:
        message = f"{error.message}; no node that could take the task has more than {most:,} MiB"
        _fail(state, lease, msgspec.structs.replace(error, message=message), outcome)
        return
    state.counters.attempts_lost += 1
    state.record(run, AttemptLost(task, run.attempt[task], lease.token, error, 0.0, lease.node.id, claim))


def _largest(state: State, run: Run, task: int) -> int:
    """Return the MiB of the largest node that could take the task; of a gang, of the last that it would get."""
    shape = run.graph.shape(task)
    fitting = [node for node in state.nodes.values() if not node.gone and could_ever(node, shape)]
    sizes = sorted((node.ledger.capacity.mem_mib for node in fitting), reverse=True)
    return sizes[shape.terms.nodes - 1] if len(sizes) >= shape.terms.nodes else 0


def _fail(state: State, lease: Lease, error: ErrorInfo, outcome: Outcome) -> None:
    run, task = lease.run, lease.task
    costs = (outcome.wall_ms, outcome.cpu_ms, outcome.peak_rss_kib)
    fail(state, run, TaskFailed(task, run.attempt[task], lease.token, error, *costs))


def _with_story(lease: Lease, before: ErrorInfo, error: ErrorInfo) -> ErrorInfo:
    declared = lease.run.graph.spec(lease.task).request.mem_mib
    first = f"{before.peak_mib:,} MiB of {_claimed(declared)}"
    second = f"{error.peak_mib:,} MiB of {_claimed(lease.claim.mem_mib)}"
    message = f"{error.message}; tried twice: it had {first}, then, alone on its node, {second}"
    return msgspec.structs.replace(error, message=message, traceback="")


def _claimed(mib: int) -> str:
    return f"{mib:,} MiB claimed" if mib else "memory that it had not claimed"
