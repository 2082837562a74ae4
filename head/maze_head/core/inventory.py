"""What a node that says HELLO still holds, against what the head knows: keep, adopt, send, drop, take back.

    head's view of the lease                          the node holds it      the node lacks it
    in force (also one of an earlier epoch)           keep                   take back, without blame
    given up as lost, its task still waits            adopt: a new lease     -
    anything else                                     drop                   -

* A lease in force is kept under its token, whichever head made it: running work outlives the head.
* A node may lie: what it claims to run besides must fit beside the rest, on the node and in limits and caps.
* Adoption makes the next attempt of the task out of the one that was given up, refunds the loss, and tells the node the
  new token (`keep` holds the pair). A report under the old token stays stale. Only what has begun is worth it. The
  WELCOME may be lost, or the head die before it is sent: so the old token is known until the lease ends.
* A HELLO that was said before the session in which a lease was sent proves nothing about it: the order may be on its
  way. A task that may be started once only stays leased, and is kept: a node that lacks it says RELEASE.
* A lease that the same process never got is proof that it never ran, unless its start was told: then the journal has
  lost its end (a power cut), and a task that may be started once only is not tried again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from maze_head.core.backlog import shape_of, withdraw
from maze_head.core.ends import fail, give_back, release
from maze_head.core.leases import Grant, Lease
from maze_head.core.nodes import Node
from maze_head.core.runs import Run
from maze_head.core.state import LostLease, State
from maze_head.core.transitions import LEASED, READY, RUNNING
from maze_protocol.events import TaskAdopted, TaskFailed
from maze_protocol.messages import HELD_DONE, HELD_LEASED, HELD_RUNNING, ErrorInfo, Held, Hello

__all__ = ["Verdicts", "reconcile"]

VANISHED: Final = ErrorInfo("node_lost", "AttemptVanished", "the attempt began, and its node knows nothing of it")


class Verdicts(NamedTuple):
    """The lists of WELCOME."""

    keep: tuple[tuple[int, int], ...]
    drop: tuple[int, ...]
    send: tuple[int, ...]


def reconcile(state: State, node: Node, hello: Hello) -> Verdicts:
    """Compare an inventory with the lease table and put both in order."""
    ours = hello.cluster_id in (b"", state.cluster_id)
    keep: list[tuple[int, int]] = []
    drop: list[int] = []
    send: list[int] = []
    withdrawn: dict[int, dict[int, None]] = {}
    told = frozenset(held.lease for held in hello.inventory) if ours else frozenset()
    unproven = _take_back(state, node, told, hello.last_session)
    keep += [(token, token) for token in unproven]
    renamed = {lease.formerly: lease for lease in node.leases.values() if lease.token not in told}
    for held in hello.inventory:
        lease = renamed.get(held.lease) or _find(state, node, held, withdrawn) if ours else None
        if lease is None:
            drop.append(held.lease)
            continue
        keep.append((held.lease, lease.token))
        if held.state == HELD_DONE:
            send.append(lease.token)
        _catch_up(state, lease, held)
    for run_no, tasks in withdrawn.items():
        withdraw(state, state.runs[run_no], tasks)
    return Verdicts(tuple(keep), tuple(drop), tuple(send))


def _find(state: State, node: Node, held: Held, withdrawn: dict[int, dict[int, None]]) -> Lease | None:
    """Return the lease under which a held attempt goes on, or None if nobody wants it."""
    lease = node.leases.get(held.lease)
    if lease is not None or held.state == HELD_LEASED:
        return lease
    lost = state.lost.get(held.lease)
    run = state.runs.get(lost.run_no) if lost is not None else None
    if lost is None or run is None or lost.holder != node.identity or not _waits(run, lost.task, held.lease):
        return None
    if not node.ledger.has_room(lost.claim) or not _is_allowed(state, run, lost.task):
        return None
    del state.lost[held.lease]
    withdrawn.setdefault(run.no, {})[lost.task] = None
    return _adopt(state, node, run, lost, held.lease)


def _waits(run: Run, task: int, token: int) -> bool:
    return not run.halting and run.phase[task] == READY and run.lease[task] == token


def _is_allowed(state: State, run: Run, task: int) -> bool:
    """Tell whether limits and caps have room for one more attempt; meanwhile others may have got what it held."""
    shape = shape_of(run, task)
    capped = not state.shares.has_room(run.submitted.project, shape.request, shape.terms.nodes)
    return not capped and state.allowances.has_room(shape.terms.limits)


def _adopt(state: State, node: Node, run: Run, lost: LostLease, old: int) -> Lease:
    node.ledger.take(lost.claim)
    terms = shape_of(run, lost.task).terms
    token = state.leases.next_token()
    lease = Lease(token, run, lost.task, Grant(token, node, lost.claim), terms)
    state.leases.restore(lease, state.now.mono)
    lease.formerly = old
    state.counters.leases_adopted += 1
    attempt = run.attempt[lost.task] + 1
    adopted = TaskAdopted(lost.task, attempt, lease.token, node.id, lost.claim, old, lease.token, lost.charged)
    state.record(run, adopted)
    return lease


def _catch_up(state: State, lease: Lease, held: Held) -> None:
    run, task = lease.run, lease.task
    if held.state == HELD_RUNNING and run.phase[task] == LEASED and not lease.lacks_inputs:
        started_at = held.started_at if held.started_at > 0 else state.now.wall
        state.record(run, lease.started(started_at))


def _take_back(state: State, node: Node, held: frozenset[int], last_session: int) -> list[int]:
    """End the leases that the node lacks; return those of which its inventory is no proof."""
    unproven = []
    missing = [lease for lease in node.leases.values() if lease.token not in held and lease.formerly not in held]
    for lease in reversed(missing):
        run, task = lease.run, lease.task
        if lease.once and run.phase[task] == LEASED and lease.session > last_session:
            unproven.append(lease.token)
        elif lease.once and run.phase[task] == RUNNING and not run.halting:
            give_back(state, lease)
            fail(state, run, TaskFailed(task, run.attempt[task], lease.token, VANISHED))
        else:
            release(state, lease, "the node does not hold it")
    return unproven
