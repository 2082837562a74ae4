"""A workflow as it was at one moment, taken in no time; whoever asked for it makes of it later what people read.

To write out ten thousand tasks takes longer than a turn may, so the core only notes them as they are packed. A snapshot
never changes, and its methods are pure: they may be called anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from maze_head.core.contents import MANUAL
from maze_head.core.specs import body_of_spec
from maze_head.core.tasks import unpack
from maze_head.core.workflows import Workflow
from maze_protocol.http import TaskBody, WorkflowBody
from maze_protocol.ids import TASK, WORKFLOW, format_id

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One revision of a workflow."""

    workflow_id: bytes
    name: str
    revision: int
    created_at: float
    tasks: dict[bytes, bytes]
    """Packed, by id, in the order they were added."""
    edges: list[tuple[bytes, bytes, int]]
    """Source, target and who made it, in no particular order."""

    @classmethod
    def of(cls, workflow: Workflow) -> Snapshot:
        """Take it of a workflow that is at hand."""
        contents = workflow.contents
        tasks = {task_id: packed for task_id, packed in contents.tasks.items() if packed is not None}
        edges = [(source, target, by) for target, row in contents.before.items() for source, by in row.items()]
        return cls(workflow.id, workflow.name, workflow.revision, workflow.created_at, tasks, edges)

    def task(self, task_id: bytes) -> TaskBody | None:
        """Return one task as it was authored, or None."""
        packed = self.tasks.get(task_id)
        return None if packed is None else body_of_spec(unpack(packed))

    def body(self) -> WorkflowBody:
        """Return the whole graph, tasks and edges in the order the tasks were added."""
        place = {task_id: index for index, task_id in enumerate(self.tasks)}
        edges = sorted(self.edges, key=lambda edge: (place[edge[0]], place[edge[1]]))
        return WorkflowBody(
            workflow_id=format_id(self.workflow_id, WORKFLOW),
            name=self.name,
            revision=self.revision,
            created_at=self.created_at,
            tasks=[body_of_spec(unpack(packed)) for packed in self.tasks.values()],
            edges=[_edge_text(source, target) for source, target, _ in edges],
            manual_edges=[_edge_text(source, target) for source, target, by in edges if by == MANUAL],
        )


def _edge_text(source: bytes, target: bytes) -> tuple[str, str]:
    return format_id(source, TASK), format_id(target, TASK)
