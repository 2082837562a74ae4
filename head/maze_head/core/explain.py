"""Why a task has not started: an enumerated reason and a sentence, from the core's own state.

waiting_inputs   tasks that it needs are not finished
backoff          it failed and is tried again after a pause
no_node          no node can take any work right now
no_capacity_now  some node would fit it, all such nodes are busy
infeasible       no node would fit it even when idle; says what is missing
run_cancelling   the run is stopping, nothing starts any more
held             a node has it (leased or running)
over             it has ended
"""

from __future__ import annotations

from enum import Enum

import msgspec

from maze_head.core.graph import Shape
from maze_head.core.nodes import Node
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import FINISHED, IS_OVER, LEASED, PHASE_NAMES, RUNNING, WAITING

__all__ = ["Explanation", "Reason", "explain"]

NAMED_AT_MOST = 3


class Reason(Enum):
    """The codes of the table above."""

    WAITING_INPUTS = "waiting_inputs"
    BACKOFF = "backoff"
    NO_NODE = "no_node"
    NO_CAPACITY_NOW = "no_capacity_now"
    INFEASIBLE = "infeasible"
    RUN_CANCELLING = "run_cancelling"
    HELD = "held"
    OVER = "over"


class Explanation(msgspec.Struct, frozen=True):
    """Answer to ExplainTask."""

    code: str
    text: str


def explain(state: State, run: Run, task: int) -> Explanation:
    """Return why a task of a live run has not started, or that it has."""
    reason, text = _reason(state, run, task)
    return Explanation(reason.value, text)


def _reason(state: State, run: Run, task: int) -> tuple[Reason, str]:
    phase = run.phase[task]
    if IS_OVER[phase]:
        return Reason.OVER, f"the task is {PHASE_NAMES[phase]}"
    if phase in (LEASED, RUNNING):
        lease = state.leases.current[run.lease[task]]
        return Reason.HELD, f"the task is {PHASE_NAMES[phase]} on node {lease.node.id}"
    if run.halting:
        return Reason.RUN_CANCELLING, "the run is stopping; nothing starts any more"
    if phase == WAITING:
        return Reason.WAITING_INPUTS, _missing(run, task)
    pause = run.not_before.get(task, 0.0) - state.now.wall
    if pause > 0:
        return Reason.BACKOFF, f"the task failed {len(run.faults[task])}x and is tried again in {pause:.1f} s"
    return _placement(state, run.graph.shape(task))


def _missing(run: Run, task: int) -> str:
    graph = run.graph
    sources = [graph.index[task_id] for task_id in graph.spec(task).sources()]
    sources += [source for source, target in graph.manual if target == task and source not in sources]
    before = [source for source in sources if run.phase[source] != FINISHED]
    named = [f"{graph.task_name(source)!r} ({PHASE_NAMES[run.phase[source]]})" for source in before[:NAMED_AT_MOST]]
    more = f" and {len(before) - NAMED_AT_MOST} more" if len(before) > NAMED_AT_MOST else ""
    return f"the task waits for {', '.join(named)}{more}"


def _placement(state: State, shape: Shape) -> tuple[Reason, str]:
    nodes = [node for node in state.nodes.values() if node.takes_work]
    if not nodes:
        others = [f"{node.id} is {node.state}" for node in state.nodes.values()][:NAMED_AT_MOST]
        return Reason.NO_NODE, f"no node can take work: {', '.join(others) or 'none has joined'}"
    fitting = [node for node in nodes if node.runs_python(shape.python) and node.ledger.could_fit(shape.request)]
    if not fitting:
        return Reason.INFEASIBLE, f"no node could ever take it: {_lacks(nodes, shape)}"
    busy = ", ".join(f"{node.id} ({node.ledger.attempts} running)" for node in fitting[:NAMED_AT_MOST])
    return Reason.NO_CAPACITY_NOW, f"every node that could take it is busy: {busy}"


def _lacks(nodes: list[Node], shape: Shape) -> str:
    request, python = shape[:2]
    if not any(node.runs_python(python) for node in nodes):
        have = sorted({f"{node.python[0]}.{node.python[1]}" for node in nodes})
        return f"its code needs Python {python[0]}.{python[1]}, the nodes run {', '.join(have)}"
    most = max(node.ledger.capacity.cpu_milli for node in nodes)
    if request.cpu_milli > most:
        return f"it asks for {request.cpu_milli / 1000:g} CPUs, the largest node has {most / 1000:g}"
    most = max(node.ledger.capacity.mem_mib for node in nodes)
    if request.mem_mib > most:
        return f"it asks for {request.mem_mib} MiB of memory, the largest node has {most}"
    if request.wants_gpu:
        most = max(len(node.ledger.capacity.devices) for node in nodes)
        share = f"{request.gpu_milli / 1000:g} GPUs" if request.gpu_milli else "a share of a GPU"
        return f"it asks for {share} with {request.gpu_mem_mib} MiB each, the nodes have at most {most} devices"
    return "no single node has all of what it asks for"
