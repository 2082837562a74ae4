"""Find what a command names, or refuse it in the same words everywhere."""

from __future__ import annotations

import msgspec

from maze_head.core.describe import ready_nodes, run_body
from maze_head.core.errors import NotFound
from maze_head.core.state import State
from maze_head.core.workflows import Workflow
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, WORKFLOW, format_id

__all__ = ["find_run", "find_workflow", "show"]


def find_workflow(state: State, workflow_id: bytes) -> Workflow:
    """Return a workflow, or refuse."""
    workflow = state.workflows.get(workflow_id)
    if workflow is None:
        raise NotFound("unknown_workflow", f"no workflow {format_id(workflow_id, WORKFLOW)}")
    return workflow


def find_run(state: State, run_id: bytes) -> int:
    """Return the number of a run, or refuse."""
    number = state.run_numbers.get(run_id)
    if number is None:
        raise NotFound("unknown_run", f"no run {format_id(run_id, RUN)}")
    return number


def show(state: State, number: int) -> RunBody:
    """Return the summary of a run, live or sealed."""
    run = state.runs.get(number)
    if run is not None:
        return run_body(state, run)
    return msgspec.structs.replace(state.sealed[number].body, ready_nodes=ready_nodes(state))
