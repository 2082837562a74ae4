"""The front client: the same classes under the path of the API reference. Re-exports only.

`show_results(run_id, output_dir=...)` creates the directory only when a result file lands in it."""

from __future__ import annotations

from maze._decorator import get_task_metadata, task
from maze._handles import MaTask, TaskOutput, TaskOutputs
from maze._sync import MaClient
from maze._workflow import MaWorkflow

__all__ = ["MaClient", "MaTask", "MaWorkflow", "TaskOutput", "TaskOutputs", "get_task_metadata", "task"]
