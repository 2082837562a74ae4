"""Find what a command names, or refuse it in the same words everywhere."""

from __future__ import annotations

import msgspec

from maze_head.core.describe import ready_nodes, run_body
from maze_head.core.errors import Gone, NotFound
from maze_head.core.infeasible import find_infeasible
from maze_head.core.state import EXPIRED, State
from maze_head.core.workflows import Workflow
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, WORKFLOW, format_id

__all__ = ["find_run", "find_workflow", "refuse_gone", "show"]


def find_workflow(state: State, workflow_id: bytes) -> Workflow:
    """Return a workflow, or refuse."""
    workflow = state.workflows.get(workflow_id)
    if workflow is None:
        refuse_gone(state, workflow_id, "workflow")
        raise NotFound("unknown_workflow", f"no workflow {format_id(workflow_id, WORKFLOW)}")
    return workflow


def refuse_gone(state: State, id_: bytes, kind: str) -> None:
    """Refuse an id whose run or workflow was here and has been removed."""
    reason = state.gone.get(id_)
    if reason is not None:
        how = "removed to make room (see --keep-runs, --keep-days)" if reason == EXPIRED else "removed"
        raise Gone(f"{kind}_{reason}", f"{format_id(id_, kind)} was {how}")


def find_run(state: State, run_id: bytes) -> int:
    """Return the number of a run, or refuse."""
    number = state.run_numbers.get(run_id)
    if number is None:
        refuse_gone(state, run_id, "run")
        raise NotFound("unknown_run", f"no run {format_id(run_id, RUN)}")
    return number


def show(state: State, number: int) -> RunBody:
    """Return the summary of a run, live or sealed."""
    run = state.runs.get(number)
    if run is not None:
        return msgspec.structs.replace(run_body(state, run), infeasible=find_infeasible(state, run))
    return msgspec.structs.replace(state.sealed[number].body, ready_nodes=ready_nodes(state))
