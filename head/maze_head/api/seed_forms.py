"""Bodies of the original's wire, as its client sends and reads them. Unknown fields are ignored, as it did."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "AddTaskForm", "Detail", "Done", "EdgeForm", "FileMade", "InputParam", "OutputParam", "RunMade", "SaveTaskForm",
    "TaskForm", "TaskInput", "TaskMade", "TaskOutput", "TaskRow", "TaskRows", "WorkflowForm", "WorkflowMade",
]  # fmt: skip


class WorkflowForm(msgspec.Struct):
    """What names a workflow."""

    workflow_id: str


class TaskForm(WorkflowForm):
    """What names a task of a workflow."""

    task_id: str


class EdgeForm(WorkflowForm):
    """What names an edge of a workflow."""

    source_task_id: str
    target_task_id: str


class FileMade(msgspec.Struct):
    """A file was taken."""

    server_path: str
    status: str = "success"


class AddTaskForm(WorkflowForm):
    """A new task; its definition comes with a save."""

    task_type: str
    task_name: str | None = None


class InputParam(msgspec.Struct):
    """One input: `from_user` with a value, or `from_task` with a reference as the value. `data_type` is not used."""

    key: str
    input_schema: str
    value: Any | UnsetType = UNSET
    data_type: str | None = None


class TaskInput(msgspec.Struct):
    """Inputs under numbers that nobody reads."""

    input_params: dict[str, InputParam] = {}


class OutputParam(msgspec.Struct):
    """One declared output. `data_type` is not used."""

    key: str
    data_type: str | None = None


class TaskOutput(msgspec.Struct):
    """Outputs under numbers that nobody reads."""

    output_params: dict[str, OutputParam] = {}


class SaveTaskForm(TaskForm):
    """The definition of a task; `code_ser` wins over `code_str`."""

    task_input: TaskInput | None = None
    task_output: TaskOutput | None = None
    resources: dict[str, float] | None = None
    code_str: str | None = None
    code_ser: bytes | None = None


class Done(msgspec.Struct):
    """It worked."""

    status: str = "success"


class WorkflowMade(msgspec.Struct):
    """A new workflow."""

    workflow_id: str
    status: str = "success"


class TaskMade(msgspec.Struct):
    """A new or a deleted task."""

    task_id: str
    status: str = "success"


class TaskRow(msgspec.Struct):
    """A task in a list."""

    id: str
    name: str


class TaskRows(msgspec.Struct):
    """The tasks of a workflow."""

    tasks: list[TaskRow]
    status: str = "success"


class RunMade(msgspec.Struct):
    """A new run."""

    run_id: str
    status: str = "success"


class Detail(msgspec.Struct):
    """Why it did not work."""

    detail: str
