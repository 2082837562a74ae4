"""Commands that need the tasks of a workflow, and what becomes of them if it is put away (shelf.py).

Such a command is set aside, unanswered and without having changed anything, and one reading of the saved graph is
ordered; what comes meanwhile for the same workflow and needs it, too, queues behind. When all of it is there they are
carried out in their order, as if they had come only then. To make its contents of the graph takes longer than a turn
may, so whoever reads that does this, too.
"""

from __future__ import annotations

from maze_head.core.effects import ReadGraph
from maze_head.core.events import Command, GraphRead
from maze_head.core.lookups import find_workflow
from maze_head.core.state import State
from maze_head.core.workflows import Workflow

__all__ = ["Away", "bring", "need", "wait_for"]


class Away(Exception):
    """A command needs the tasks of a workflow that is put away; raised before anything is changed."""

    def __init__(self, workflow: Workflow) -> None:
        super().__init__(workflow.id)
        self.workflow = workflow


def need(state: State, workflow_id: bytes) -> Workflow:
    """Return a workflow with its tasks at hand, or refuse.

    Raises:
        NotFound, Gone: no such workflow.
        Away: the command has to wait for it.
    """
    workflow = find_workflow(state, workflow_id)
    if workflow.away:
        raise Away(workflow)
    if workflow.id in state.shelf:
        state.keep_at_hand(workflow)
    return workflow


def wait_for(state: State, workflow: Workflow, command: Command) -> None:
    """Set a command aside until a workflow is at hand, and have its graph read."""
    waiting = state.shelf.awaited.setdefault(workflow.id, [])
    if not waiting:
        state.emit(ReadGraph(workflow.id, workflow.revision))
    waiting.append(command)


def bring(state: State, event: GraphRead) -> list[Command]:
    """Take in a graph that was read; return the commands that waited for it."""
    workflow = state.workflows.get(event.workflow_id)
    if workflow is not None and workflow.away:  # else it was removed meanwhile: the commands are told so
        assert event.contents is not None, f"the journal has lost version {event.version} of {event.workflow_id.hex()}"
        workflow.bring_back(event.contents)
        state.keep_at_hand(workflow)
    return state.shelf.awaited.pop(event.workflow_id, [])
