"""From the journal back to the state: the same `apply` as live, then what unfinished attempts and their nodes need.

Order: the driver restores in commit order; a graph comes before the segments that run it. Workflows come back by
replaying their journalled edits, runs by replaying their segments. A sealed run keeps only its summary.

Attempts of the head's earlier life stay in force under their old tokens: the nodes that the journal knows become
members that nobody has heard, suspect until they say HELLO (inventory.py goes through what they still hold) or the
recovery grace is over. An attempt whose node the journal does not know is interrupted and queued again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from maze_head.core.backlog import enqueue, shape_of
from maze_head.core.codes import CodeFacts
from maze_head.core.describe import run_body
from maze_head.core.early import link_early
from maze_head.core.ends import cancel_task
from maze_head.core.graph import Graph, load_graph
from maze_head.core.leases import Grant, Lease
from maze_head.core.nodes import Node
from maze_head.core.objects import note_made
from maze_head.core.observed import kind_of
from maze_head.core.retry import NODE_LOSS
from maze_head.core.runs import Run
from maze_head.core.sealed import unpack_sealed
from maze_head.core.sharing import restore_sharing
from maze_head.core.state import REMOVED, LostLease, Recovered, State
from maze_head.core.transitions import LEASED, READY, RUNNING
from maze_head.core.workflows import Workflow, replay
from maze_protocol.events import (
    AttemptInterrupted,
    AttemptLost,
    ObjectGone,
    ObjectRebuilt,
    RunEvent,
    RunSubmitted,
    Segment,
    TaskAdopted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReleased,
)  # fmt: skip
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, WORKFLOW, parse_id
from maze_protocol.liveness import NodeLiveness
from maze_protocol.messages import Hello

__all__ = ["finish", "pack_hello", "restore_cluster", "restore_graph", "restore_sealed", "restore_segment"]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_hello: Final = msgspec.msgpack.Decoder(Hello).decode


def pack_hello(hello: Hello) -> bytes:
    """Return what the journal keeps of a node that joins: its HELLO without the inventory."""
    return _encode(msgspec.structs.replace(hello, inventory=()))


def restore_graph(state: State, workflow_id: bytes, version: int, body: bytes | None) -> None:
    """Take in a saved version of a workflow's graph, with its body if a live run is of it: that compiles it."""
    state.saved_graphs[workflow_id, version] = body


def restore_cluster(state: State, kind: str, body: dict[str, Any], time: float) -> None:
    """Take in an event of the cluster's log; kinds that carry no state are skipped."""
    if kind == "workflow_created":
        created_at = float(body.get("time", time))
        state.workflows[body["workflow_id"]] = Workflow(body["workflow_id"], body["name"], created_at)
    elif kind == "workflow_edited":
        _edit(state, body)
    elif kind == "code_saved":
        major, minor = body["python"]
        state.codes[body["hash"]] = CodeFacts(body["kind"], (major, minor))
    elif kind == "runs_removed":
        for number, run_id in body["runs"]:
            state.forget_run(number, run_id, body["reason"])
    elif kind == "workflow_removed":
        state.forget_workflow(body["workflow_id"], body["codes"], body.get("reason", REMOVED))
    elif kind == "node_joined" and "hello" in body:
        hello = _decode_hello(body["hello"])
        state.recovered.nodes[hello.node_id] = hello, time
    elif kind in ("node_lost", "node_left"):
        state.recovered.nodes.pop(body["node_id"], None)
        state.recovered.incarnations[body["node_id"]] = body["incarnation"]
    elif kind in ("node_authorised", "node_revoked"):
        state.keys.restore(kind, body)
    else:
        restore_sharing(state, kind, body)


def _edit(state: State, body: dict[str, Any]) -> None:
    workflow = state.workflows[body["workflow_id"]]
    codes = body.get("codes")
    if codes is None:  # journalled before version 2 of the schema
        codes = replay(workflow, body["changes"], body["edit_id"])
    else:
        workflow.postpone(body.get("changes", b""), body["edit_id"], body["tasks"])
    state.code_users.note(workflow.id, codes)
    state.use_uploads(workflow.id, body.get("uploads", ()))


def restore_sealed(state: State, run_no: int, packed: bytes) -> RunBody:
    """Take in the summary of a run that is over, and return what it says."""
    sealed = unpack_sealed(packed)
    graph = parse_id(sealed.body.workflow_id, WORKFLOW), sealed.body.revision
    state.keep_sealed(run_no, parse_id(sealed.body.run_id, RUN), graph, sealed)
    _remember_run(state, sealed.body)
    return sealed.body


def _remember_run(state: State, body: RunBody) -> None:
    if body.status == "finished" and body.ended_at is not None:
        state.observed.note_run(body.ended_at - body.submitted_at)


def restore_segment(state: State, run_no: int, segment: Segment) -> None:
    """Take in the events that one commit added to a run's log."""
    first = segment.events[0]
    if isinstance(first, RunSubmitted):
        state.open_run(Run(run_no, first, _graph(state, first), segment.time))
        state.recovered.held[run_no] = {}
    run = state.runs[run_no]
    if segment.first_seq != run.next_seq:
        raise ValueError(f"run {run_no}: the log continues at {segment.first_seq}, {run.next_seq} was expected")
    for event in segment.events:
        run.apply(event)
        _remember(state, run_no, event)
    # Which tasks wait in which order is settled at the end, when all runs are there.
    run.fresh.clear()
    run.again.clear()
    run.later.clear()
    if run.sealed_by is not None:
        run.ended_at = segment.time
        body = run_body(state, run)
        _remember_run(state, body)
        state.close_run(run, body)
        del state.recovered.held[run_no]


def _graph(state: State, submitted: RunSubmitted) -> Graph:
    key = submitted.workflow_id, submitted.version
    graph = state.graphs.get(key)
    if graph is None:
        body = state.saved_graphs[key]
        if body is None:
            raise ValueError(f"version {key[1]} of workflow {key[0].hex()} is without its graph")
        graph = state.graphs[key] = load_graph(*key, body)
    return graph


def _remember(state: State, run_no: int, event: RunEvent) -> None:
    held = state.recovered.held[run_no]
    if isinstance(event, (TaskLeased, TaskAdopted)):
        held[event.task] = event
    elif isinstance(event, TaskFinished):
        state.leases.remember(event.lease)
        held.pop(event.task, None)
        graph = state.runs[run_no].graph
        kind = kind_of(graph.shape(event.task).request)
        state.observed.note(graph.function(event.task), kind, event.wall_ms / 1000)
    elif isinstance(event, ObjectRebuilt):
        state.leases.remember(event.lease)
        held.pop(event.task, None)
    elif isinstance(event, (TaskFailed, AttemptLost)):
        _remember_fault(state, run_no, event, held.pop(event.task, None))
    elif isinstance(event, (TaskReleased, AttemptInterrupted, TaskCancelled, ObjectGone)):
        held.pop(event.task, None)


def _remember_fault(
    state: State, run_no: int, event: TaskFailed | AttemptLost, leased: TaskLeased | TaskAdopted | None
) -> None:
    if event.error.type_name != NODE_LOSS:
        state.leases.remember(event.lease)  # its node reported that end, and may do so again
    elif isinstance(event, AttemptLost) and leased is not None:
        holder = leased.node, state.recovered.incarnations.get(leased.node, 0)
        state.remember_lost(event.lease, LostLease(run_no, event.task, leased.claim, holder, charged=True))


def finish(state: State) -> None:
    """Queue what is ready, older runs first, and wait for the nodes that hold the rest."""
    _settle_graphs(state)
    state.sealed = dict(sorted(state.sealed.items(), key=lambda item: item[1].body.ended_at or 0.0))
    for run in list(state.runs.values()):
        ready = [task for task in range(len(run.graph)) if run.phase[task] == READY]
        run.fresh.extend(task for task in ready if task not in run.not_before)
        run.later.extend(task for task in ready if task in run.not_before)
        enqueue(state, run)
        state.touched.setdefault(run.no, [])
    for node_id, (hello, joined_at) in state.recovered.nodes.items():
        state.nodes[node_id] = _unheard(state, hello, joined_at)
    for run in state.runs.values():
        for task in run.objects.made:
            note_made(state, run, task)
    state.objects.settled_at = state.now.mono + max(state.settings.recovery_grace, state.settings.lost_after)
    _settle_attempts(state)
    state.recovered = Recovered()


def _settle_graphs(state: State) -> None:
    """Note which versions are saved; those that no live run uses are read and compiled again when they are run."""
    for workflow_id, version in state.saved_graphs:
        state.graph_runs.setdefault(workflow_id, {}).setdefault(version, 0)
        state.settle_graph((workflow_id, version))
    state.saved_graphs.clear()
    for workflow in state.workflows.values():
        if state.is_saved(workflow.id, workflow.revision):
            state.put_away(workflow)
        elif workflow.lacks_changes:
            raise ValueError(f"workflow {workflow.id.hex()} is without edits that lead to revision {workflow.revision}")
        state.note_idle(workflow.id)
    for graph in list(state.graphs.values()):
        state.drop_graph(graph)


def _settle_attempts(state: State) -> None:
    """Put the attempts that nodes may still hold in force again; interrupt those that nobody can hold."""
    held = [
        (leased, state.runs[run_no])
        for run_no, leases in state.recovered.held.items()
        for leased in leases.values()
        if state.runs[run_no].phase[leased.task] in (LEASED, RUNNING)
    ]
    held.sort(key=lambda entry: entry[0].lease)
    for leased, run in held:
        if _is_whole(state, leased):
            _hold(state, run, leased.task, leased, state.nodes[leased.node])
    for lease in state.leases.current.values():
        link_early(state, lease)
    for leased, run in reversed(held):
        if not _is_whole(state, leased):
            _interrupt(state, run, leased.task)


def _is_whole(state: State, leased: TaskLeased | TaskAdopted) -> bool:
    """Tell whether all nodes of an attempt are members."""
    return all(name in state.nodes for name in (leased.node, *(name for name, _ in leased.gang)))


def _unheard(state: State, hello: Hello, joined_at: float) -> Node:
    settings = state.settings
    state.sessions += 1
    node = Node(hello, state.sessions, joined_at)
    grace = max(settings.recovery_grace, settings.lost_after)
    node.liveness = NodeLiveness(state.now.mono, suspect_after=grace, lost_after=grace)
    node.liveness.doubt()
    node.heard_at = state.now.mono
    node.suspected = True
    return node


def _hold(state: State, run: Run, task: int, leased: TaskLeased | TaskAdopted, node: Node) -> None:
    once = run.graph.spec(task).at_most_once
    terms = shape_of(run, task).terms
    number = leased.grant or leased.lease
    before = node.grants.get(number)
    grant = before or Grant(number, node, leased.claim)
    lease = Lease(leased.lease, run, task, grant, terms, once=once)
    lease.gang = tuple((state.nodes[name], claim) for name, claim in leased.gang)
    state.leases.restore(lease, state.now.mono)
    lease.formerly = leased.old_lease if isinstance(leased, TaskAdopted) else None
    lease.cancelled = run.halting
    if before is None:
        for member, claim in lease.parts():
            member.ledger.take(claim)


def _interrupt(state: State, run: Run, task: int) -> None:
    if run.halting:
        cancel_task(state, run, task, "the head restarted")
    else:
        state.record(run, AttemptInterrupted(task, run.attempt[task], run.lease[task]))
