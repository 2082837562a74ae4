"""Nodes come, fall silent, return and leave.

* HELLO on a new link: checked, then the newest wins. Another incarnation of the same node takes its place and all
  leases of the old one are lost at once; the same incarnation goes on with what it holds (inventory.py).
* After a restart of the head, the nodes that its journal knows are members that nobody has heard yet (recovery.py):
  suspect, and lost when the recovery grace is over.
* A broken link makes a node suspect (no new work). It is lost when its silence passes `lost_after`, or already after
  `disconnect_grace` if the connection was seen to break while the node was well heard (a reason in DISCONNECTED).
* A lost node's leases are fenced by leaving the table: attempts that ran are blamed on the loss (with a budget),
  the others are not blamed; all are tried again at the front.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_head.core.admission import capacity_problem, refusal
from maze_head.core.backlog import unpin
from maze_head.core.effects import Admit, AppendCluster, Drop, Refuse, Send
from maze_head.core.ends import end_cancelled, fail, give_back, release
from maze_head.core.events import LinkLost, NodeGreeted, Ticked
from maze_head.core.inventory import Verdicts, reconcile
from maze_head.core.leases import Lease
from maze_head.core.ledger import Ledger
from maze_head.core.losses import judge
from maze_head.core.nodes import Node
from maze_head.core.objects import OBJECT_MINOR, drop_node
from maze_head.core.quarantine import judge_return, parole
from maze_head.core.recovery import pack_hello
from maze_head.core.retry import node_loss, spent
from maze_head.core.state import KEPT_NODES, LostLease, State
from maze_head.core.transitions import READY, RUNNING
from maze_protocol.events import AttemptLost, TaskFailed
from maze_protocol.liveness import Liveness, NodeLiveness
from maze_protocol.messages import REVOKED, Cancel, Disconnect, ErrorInfo, Goodbye, Hello, Measured, RetryAfter, Welcome
from maze_protocol.resources import Capacity
from maze_protocol.tickets import session_secret
from maze_protocol.versions import choose_version

__all__ = ["DISCONNECTED", "expel", "greet", "hear", "leave", "lose_attempt", "lose_link", "resize", "tick"]

DISCONNECTED: Final = ("disconnected", "unroutable")
"""Reasons of a LinkLost whose TCP connection is known to be gone: the monitor's, and a send that found no peer."""


def greet(state: State, event: NodeGreeted) -> None:
    """Answer a HELLO: a session or a refusal."""
    refused = refusal(event.hello, event.key, state.keys)
    if refused is not None:
        state.counters.nodes_refused += 1
        state.emit(Refuse(event.link, refused))
        return
    seconds = state.gate.wait(state.now.mono)
    if seconds:
        state.counters.nodes_deferred += 1
        state.emit(Refuse(event.link, RetryAfter(seconds)))
        return
    came_back = event.hello.node_id in state.nodes
    node = _member(state, event.link, event.hello)
    _bind(state, node, event.link, event.hello)
    if came_back:
        judge_return(state, node)
    verdicts = reconcile(state, node, event.hello)
    state.emit(Admit(event.link, _welcome(state, node, verdicts)))
    if state.keys.local:
        state.emit(Send(event.link, state.keys.config()))
    stopping = tuple(lease.token for lease in node.leases.values() if lease.cancelled)
    if stopping:
        state.emit(Send(event.link, Cancel(stopping, "the run is stopping", state.settings.cancel_grace)))


def _member(state: State, link: bytes, hello: Hello) -> Node:
    """Return the record of this incarnation, after parting from an older one."""
    node = state.nodes.get(hello.node_id)
    if node is not None and node.link is not None:
        old, node.link = node.link, None
        del state.links[old]
        if old != link:
            # Only another process must go for good; our own may still read what is sent to its older connection.
            code = "superseded" if node.hello.incarnation == hello.incarnation else "duplicate"
            state.emit(Drop(old, Disconnect(code, "a newer connection of this node id took its place")))
    if node is not None and node.hello.incarnation == hello.incarnation and not node.gone:
        return node
    before = node
    if node is not None and not node.gone:
        _part(state, node, "lost", "another process of this node took its place")
    state.nodes.pop(hello.node_id, None)
    state.sessions += 1
    node = state.nodes[hello.node_id] = Node(hello, state.sessions, state.now.wall)
    if before is not None:
        # Coming and going is a trait of the machine; what its earlier process did is forgiven.
        node.health.returns = before.health.returns
        node.health.sentences = before.health.sentences
    state.counters.nodes_joined += 1
    facts = {"node_id": node.id, "incarnation": hello.incarnation, "hostname": hello.hostname}
    known = {"hello": pack_hello(hello), "address": hello.address, "time": state.now.wall}
    state.emit(AppendCluster("node_joined", {**facts, **known}))
    return node


def _bind(state: State, node: Node, link: bytes, hello: Hello) -> None:
    settings = state.settings
    bound = state.links.get(link)
    if bound is not None and bound is not node:
        _forget_link(state, bound)
    state.links[link] = node
    state.sessions += 1
    node.link, node.session = link, state.epoch << 32 | state.sessions
    node.secret = session_secret(state.secret, node.session)
    if not _same_amounts(node.hello.capacity, hello.capacity):
        _note_resize(state, node, "told when it came back")
    node.hello = hello
    node.codes.clear()
    node.suspected = node.draining = node.accused = False
    node.liveness = NodeLiveness(state.now.mono, suspect_after=settings.suspect_after, lost_after=settings.lost_after)
    node.heard_at = state.now.mono
    node.leaves_at = state.now.mono + hello.remaining if hello.remaining else None
    if hello.minor >= OBJECT_MINOR:
        state.objects.told[node.id] = {}
    _refit(state, node)


def _refit(state: State, node: Node) -> None:
    """Count the room of a node anew, from its capacity and what it holds."""
    node.ledger = Ledger(node.hello.capacity)
    for _, claim in node.held():
        node.ledger.take(claim)
    state.gain(node)
    state.roster += 1
    measure_cluster(state)


def measure_cluster(state: State) -> None:
    """Count what all members together have, for the shares of projects."""
    capacities = [node.ledger.capacity for node in state.nodes.values() if not node.gone]
    devices = [device for capacity in capacities for device in capacity.devices]
    state.shares.set_total(
        sum(capacity.cpu_milli for capacity in capacities),
        sum(capacity.mem_mib for capacity in capacities),
        1000 * len(devices),
        sum(device.mem_mib for device in devices),
    )


def resize(state: State, node: Node, message: Measured) -> None:
    """Take in that a node has more or less to offer; what runs there keeps what it has."""
    if capacity_problem(message.capacity):
        state.counters.messages_ignored += 1
        return
    before = node.hello.capacity
    node.hello = msgspec.structs.replace(node.hello, capacity=message.capacity)
    _refit(state, node)
    if not _same_amounts(before, message.capacity):
        _note_resize(state, node, message.reason)


def _same_amounts(one: Capacity, other: Capacity) -> bool:
    """Tell whether two capacities differ at most in the origins of their numbers."""
    return msgspec.structs.replace(one, origins=()) == msgspec.structs.replace(other, origins=())


def _note_resize(state: State, node: Node, reason: str) -> None:
    body = {"node_id": node.id, "incarnation": node.hello.incarnation, "reason": reason[:200]}
    state.emit(AppendCluster("node_resized", {**body, "time": state.now.wall}))


def _forget_link(state: State, node: Node) -> None:
    node.link = None
    node.suspected = True
    node.liveness.doubt()


def _welcome(state: State, node: Node, verdicts: Verdicts) -> Welcome:
    settings = state.settings
    major, minor = choose_version(node.hello)
    knows_objects = minor >= OBJECT_MINOR
    return Welcome(
        major,
        minor,
        node.session,
        state.epoch,
        state.cluster_id,
        settings.heartbeat,
        settings.suspect_after,
        settings.lost_after,
        settings.orphan_timeout,
        keep=verdicts.keep,
        drop=verdicts.drop,
        send=verdicts.send,
        secret=node.secret if knows_objects else b"",
        blob_endpoint=state.blob_endpoint if knows_objects else "",
    )


def hear(state: State, node: Node) -> None:
    """Note a sign of life on the node's current link."""
    node.heard_at = state.now.mono
    node.liveness.heard(state.now.mono)
    if node.suspected:
        node.suspected = False
        state.gain(node)


def lose_link(state: State, event: LinkLost) -> None:
    """Stop using a link; its node is suspect until it says HELLO on another one, or lost."""
    node = state.links.pop(event.link, None)
    if node is None:
        return
    node.link = None
    node.suspected = True
    well_heard = state.now.mono - node.heard_at < 2 * state.settings.heartbeat
    # What may be started once only waits for its node as long as it can: given up early it would fail.
    patient = any(lease.once for lease in node.leases.values())
    quick = event.reason in DISCONNECTED and well_heard and not patient
    node.liveness.doubt(state.now.mono + state.settings.disconnect_grace if quick else None)


def tick(state: State, event: Ticked) -> None:
    """Judge the silence of every node."""
    for node in list(state.nodes.values()):
        if node.gone:
            continue
        if event.stall > 0:
            node.liveness.extend(event.stall)
        verdict = node.liveness.state(state.now.mono)
        parole(state, node)
        if verdict is Liveness.LOST:
            _part(state, node, "lost", f"silent for {state.now.mono - node.heard_at:.1f} s")
        else:
            _suspect(state, node, suspected=verdict is Liveness.SUSPECT)


def _suspect(state: State, node: Node, *, suspected: bool) -> None:
    if node.suspected and not suspected:
        state.gain(node)
    node.suspected = suspected


def leave(state: State, node: Node, message: Goodbye) -> None:
    """Let a node go in good order; it says that it holds nothing."""
    for lease in reversed(list(node.leases.values())):
        release(state, lease, "the node left")
    _part(state, node, "left", message.reason[:200])


def expel(state: State, node: Node, reason: str) -> None:
    """Lose a node that may not come back."""
    _part(state, node, "lost", reason, code=REVOKED)


def _part(state: State, node: Node, how: str, reason: str, *, code: str = "lost") -> None:
    """End the membership of a node: its link, its leases, its room. One that is lost is told so, with a code."""
    if node.link is not None:
        del state.links[node.link]
        if how == "lost":
            state.emit(Drop(node.link, Disconnect(code, reason)))
        node.link = None
    node.gone = how
    state.roster += 1
    for lease in reversed(list(node.leases.values())):
        _lose_to(state, lease, node, reason)
    for lease, _ in list(node.guests.values()):
        _lose_member(state, lease, node, reason)
    unpin(state, node)
    judge(state, drop_node(state, node))
    measure_cluster(state)
    if how == "lost":
        state.counters.nodes_lost += 1
    else:
        state.counters.nodes_left += 1
    body = {"node_id": node.id, "incarnation": node.hello.incarnation, "reason": reason, "time": state.now.wall}
    state.emit(AppendCluster(f"node_{how}", body))
    _forget_old(state)


def _lose_to(state: State, lease: Lease, node: Node, reason: str) -> None:
    run, task = lease.run, lease.task
    charged = run.phase[task] == RUNNING
    lose_attempt(state, lease, node_loss(node.id, reason), state.settings.node_loss_budget)
    if node.gone == "lost" and run.phase[task] == READY and not lease.gang:
        state.remember_lost(lease.token, LostLease(run.no, task, lease.claim, node.identity, charged))


def _lose_member(state: State, lease: Lease, node: Node, reason: str) -> None:
    """Give up an attempt of which one node is gone; the node that runs it is told to stop."""
    holder = lease.node.link
    lose_attempt(state, lease, node_loss(node.id, reason), state.settings.node_loss_budget)
    if holder is not None:
        state.emit(Send(holder, Cancel((lease.token,), "another node of it was lost", state.settings.cancel_grace)))


def _forget_old(state: State) -> None:
    gone = [node.id for node in state.nodes.values() if node.gone]
    for node_id in gone[: max(0, len(gone) - KEPT_NODES)]:
        del state.nodes[node_id]


def lose_attempt(state: State, lease: Lease, error: ErrorInfo, budget: int) -> None:
    """End an attempt that will never have a result: try again, or fail if its budget is spent."""
    run = lease.run
    if run.halting:
        end_cancelled(state, lease)
        return
    if run.phase[lease.task] != RUNNING and not lease.once:
        release(state, lease, error.message)
    else:
        _blame(state, lease, error, budget)


def _blame(state: State, lease: Lease, error: ErrorInfo, budget: int) -> None:
    """Charge a fault to a task whose attempt ran, or may have run."""
    run, task, token = lease.run, lease.task, lease.token
    give_back(state, lease)
    final = error if lease.once else spent(run.faults.get(task, ()), error, budget)
    if final is not None:
        fail(state, run, TaskFailed(task, run.attempt[task], token, final))
        return
    state.counters.attempts_lost += 1
    state.record(run, AttemptLost(task, run.attempt[task], token, error, 0.0, lease.node.id))
