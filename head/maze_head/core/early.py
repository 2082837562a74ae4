"""Early leases: a short task goes to the node of the task that it waits for, before that has ended.

Without them every hop of a chain costs a way to the head and back, which is many times what a short task takes. With
them the node fills in what the first one made, and goes on in the same worker; the head hears of both together.

* An early lease is a lease like any other: in the log before its node hears of it, with a token of its own, behind the
  grant of the task before it. So what runs outlives the head, and nothing of it is done twice.
* Early goes the only task that waits for the last one of a grant, if it waits for nothing else, has the same shape, and
  might queue there (queueing.py): short, and not one that may begin once only.
* Nobody loses a turn by it: nothing goes early behind a grant whose end would make room for anybody who waits.
* Its result counts only after that of the task before it. If that does not end well, its node hands the early one back,
  and the head does not wait for that (ends.py): the task waits again, as if it had never been leased.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.dispatch import lease_early
from maze_head.core.leases import Grant, Lease
from maze_head.core.queueing import may_follow, may_grow, would_fit
from maze_head.core.ready import Queue
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.tasks import TaskSpec
from maze_head.core.transitions import LEASED, WAITING

__all__ = ["lead", "link_early"]

EARLY_MINOR: Final = 5
"""From this minor version of the protocol on nodes know early leases."""
MOST_EARLY: Final = 64


def lead(state: State, roomless: list[Queue]) -> None:
    """Let what waits for the last tasks of grants follow them, where those have moved on in this turn.

    Args:
        roomless: the queues that found no room in the pass of this turn.
    """
    grants, state.chains = state.chains, {}
    waiting = [queue for queue in roomless if queue.lanes]
    for grant in grants.values():
        # Half a queue at a time: so that its messages are few.
        if 2 * len(grant.leases) > MOST_EARLY or not (grant.leases and _is_open(grant)):
            continue
        if not any(would_fit(queue, grant) for queue in waiting):
            _extend(state, grant)


def _is_open(grant: Grant) -> bool:
    node = grant.node
    return grant.queue is not None and node.takes_work and node.hello.minor >= EARLY_MINOR and may_grow(grant)


def _extend(state: State, grant: Grant) -> None:
    while len(grant.leases) < MOST_EARLY:
        before = next(reversed(grant.leases.values()))
        task = _next(before)
        if task is None:
            return
        spec = before.run.graph.spec(task)
        seconds = may_follow(state, grant, before.run, task, spec)
        if seconds is None or not _declares(before.run, before.task, spec):
            return
        if not lease_early(state, before, task, spec, seconds):
            return


def _next(before: Lease) -> int | None:
    """Return the task that may go early behind a lease, as far as the graph and its run tell."""
    run, graph = before.run, before.run.graph
    task = graph.only_after(before.task)
    if task is None or run.halting or run.phase[task] != WAITING or before.task in run.objects.lost:
        return None
    alike = graph.shape_of[task] == graph.shape_of[before.task]
    bound = task in graph.anchors or task in graph.uploads or task in run.grown or task in run.not_before
    return task if alike and not bound else None


def _declares(run: Run, task: int, spec: TaskSpec) -> bool:
    """Tell whether a task declares the outputs that another one lacks."""
    declared = {output.key for output in run.graph.spec(task).outputs}
    return all(key in declared for entry in spec.inputs for _, key in entry.refs)


def link_early(state: State, lease: Lease) -> None:
    """Find the early lease that lacks the outputs of one, after a restart of the head."""
    run = lease.run
    task = run.graph.only_after(lease.task)
    if task is None or run.phase[task] != LEASED or lease.task in run.objects.lost:
        return
    early = state.leases.current.get(run.lease[task])
    if early is not None:
        early.follow(lease)
