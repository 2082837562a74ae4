"""Answers about the state, in the bodies of the HTTP API. Reads only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from maze_head.core.nodes import Node
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import CANCELLED, FAILED, FINISHED, SKIPPED
from maze_head.core.workflows import Workflow
from maze_protocol.cluster import NodeBody, NodeList
from maze_protocol.events import RunCancelled
from maze_protocol.http import RunBody, WorkflowSummary
from maze_protocol.ids import RUN, WORKFLOW, format_id

__all__ = ["counters", "describe_nodes", "ready_nodes", "run_body", "summarise_workflow"]


def ready_nodes(state: State) -> int:
    """Return how many nodes can take work right now."""
    return sum(node.takes_work for node in state.nodes.values())


def run_body(state: State, run: Run) -> RunBody:
    """Return the summary of a live run, or of one that was sealed in this very call."""
    submitted, counts, sealed = run.submitted, run.counts, run.sealed_by is not None
    return RunBody(
        run_id=format_id(submitted.run_id, RUN),
        workflow_id=format_id(submitted.workflow_id, WORKFLOW),
        revision=submitted.version,
        status=run_status(run),
        tasks=len(run.graph),
        finished=counts[FINISHED],
        failed=counts[FAILED],
        skipped=counts[SKIPPED] + counts[CANCELLED],
        running=run.held,
        submitted_at=run.submitted_at,
        ended_at=run.ended_at,
        last_seq=run.next_seq - 1,
        sealed=sealed,
        # Not of one that is over: to look at every node when each run ends costs more than most runs.
        ready_nodes=0 if sealed else ready_nodes(state),
        retry_of=format_id(submitted.retry_of, RUN) if submitted.retry_of else "",
        priority=submitted.priority,
        project=submitted.project,
    )


def run_status(run: Run) -> str:
    """Return the word that people see for the state of a run."""
    if run.sealed_by is not None:
        if isinstance(run.sealed_by, RunCancelled):
            return "cancelled"
        return "failed" if run.counts[FAILED] else "finished"
    if run.cancelling:
        return "cancelling"
    return "running" if run.begun else "waiting"


def summarise_workflow(workflow: Workflow) -> WorkflowSummary:
    """Return a workflow as it stands in a list."""
    return WorkflowSummary(
        workflow_id=format_id(workflow.id, WORKFLOW),
        name=workflow.name,
        revision=workflow.revision,
        tasks=workflow.size,
        created_at=workflow.created_at,
    )


def describe_nodes(state: State) -> NodeList:
    """Return every node the head knows, in the order they joined."""
    return NodeList([_node_body(state, node) for node in state.nodes.values()])


def _node_body(state: State, node: Node) -> NodeBody:
    """Describe a node. One that shrank below what its attempts hold has nothing free, rather than less than nothing."""
    hello, ledger = node.hello, node.ledger
    return NodeBody(
        node_id=node.id,
        state=node.state,
        hostname=hello.hostname,
        address=hello.address,
        pid=hello.pid,
        python=".".join(map(str, hello.python)),
        maze_version=hello.maze_version,
        cpu=ledger.capacity.cpu_milli / 1000,
        cpu_free=max(0, ledger.cpu_free) / 1000,
        cpu_mem=ledger.capacity.mem_mib,
        cpu_mem_free=max(0, ledger.mem_free),
        gpus=_gpus(node),
        workers=ledger.capacity.workers,
        running=ledger.attempts,
        labels=hello.labels,
        joined_at=node.joined_at,
        last_seen_s=max(0.0, state.now.mono - node.heard_at),
        origins=dict(ledger.capacity.origins),
        load=msgspec.structs.asdict(node.load),
        remaining_s=max(0.0, node.leaves_at - state.now.mono) if node.leaves_at is not None else None,
        isolation=hello.isolation,
        sandbox=hello.sandbox,
    )


def _gpus(node: Node) -> list[dict[str, Any]]:
    return [
        {
            "index": device.index,
            "name": device.name,
            "uuid": device.uuid,
            "mem": device.mem_mib,
            "mem_free": max(0, node.ledger.devices[device.index].free_mem),
            "free": node.ledger.devices[device.index].free_milli / 1000,
        }
        for device in node.ledger.capacity.devices
    ]


def counters(state: State) -> dict[str, int | float]:
    """Return totals and gauges."""
    gauges: dict[str, int | float] = {
        "runs_live": len(state.runs),
        "workflows": len(state.workflows),
        "leases_current": len(state.leases.current),
        "tasks_ready": sum(run.counts[1] for run in state.runs.values()),
        "tasks_waiting": sum(run.counts[0] for run in state.runs.values()),
        "queues": len(state.ready.queues),
        "graphs": len(state.graphs),
    }
    for word in ("ready", "quarantined", "suspect", "draining", "lost", "left"):
        gauges[f"nodes_{word}_now"] = sum(node.state == word for node in state.nodes.values())
    return asdict(state.counters) | gauges
