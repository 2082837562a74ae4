"""The client, by the path that the API reference gives it. Re-exports only."""

from __future__ import annotations

from maze._decorator import get_task_metadata, task
from maze._handles import MaTask, TaskOutput, TaskOutputs
from maze._sync import MaClient
from maze._workflow import MaWorkflow

__all__ = ["MaClient", "MaTask", "MaWorkflow", "TaskOutput", "TaskOutputs", "get_task_metadata", "task"]
