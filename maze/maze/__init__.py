"""Maze: workflows of Python functions on a cluster of machines.

    from maze import MaClient, task

Names are loaded on first use (PEP 562): importing this package, a client class or the decorator loads no HTTP
library, no serialiser and no graph library. No submodule bears a public name, so importing `maze.anything` can
never replace `maze.task`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maze._version import __version__

if TYPE_CHECKING:
    from maze._async import AsyncMaClient, AsyncMaTask, AsyncMaWorkflow
    from maze._decorator import TaskMetadata, get_task_metadata, task
    from maze._handles import MaTask, TaskOutput, TaskOutputs
    from maze._remote_value import RemoteValue
    from maze._results import OpaqueValue
    from maze._subscription import AsyncSubscription, Subscription
    from maze._sync import MaClient
    from maze._values.file import File
    from maze._workflow import MaWorkflow
    from maze.errors import (
        AccessError,
        AddressError,
        ClosedError,
        ConflictError,
        CycleError,
        DeclarationError,
        DeclarationTypeError,
        EmptyWorkflowError,
        EventsLostError,
        ForeignTaskError,
        GraphError,
        HeadUnavailableError,
        InfeasibleWarning,
        InputError,
        InputTypeError,
        InvalidTaskError,
        LocalClusterError,
        MazeError,
        MissingDependencyError,
        NotAMazeHeadError,
        ProtocolMismatchError,
        RequestError,
        UnknownOutputError,
        UnknownRunError,
        UnknownTaskError,
        UnknownWorkflowError,
        UnreadableValueError,
        ValueExpiredError,
    )

__all__ = [
    "MaClient", "MaWorkflow", "MaTask", "TaskOutput", "TaskOutputs", "task", "get_task_metadata", "TaskMetadata",
    "AsyncMaClient", "AsyncMaWorkflow", "AsyncMaTask", "File", "OpaqueValue", "RemoteValue", "Subscription",
    "AsyncSubscription", "__version__",
    "AccessError", "AddressError", "ClosedError", "ConflictError", "CycleError", "DeclarationError",
    "DeclarationTypeError",
    "EmptyWorkflowError", "EventsLostError", "ForeignTaskError", "GraphError", "HeadUnavailableError",
    "InfeasibleWarning", "InputError", "InputTypeError", "InvalidTaskError", "LocalClusterError", "MazeError",
    "MissingDependencyError", "NotAMazeHeadError", "ProtocolMismatchError", "RequestError",
    "UnknownOutputError", "UnknownRunError", "UnknownTaskError", "UnknownWorkflowError", "UnreadableValueError",
    "ValueExpiredError",
]  # fmt: skip

_HOMES = {
    "MaClient": "maze._sync",
    "MaWorkflow": "maze._workflow",
    "MaTask": "maze._handles",
    "TaskOutput": "maze._handles",
    "TaskOutputs": "maze._handles",
    "task": "maze._decorator",
    "get_task_metadata": "maze._decorator",
    "TaskMetadata": "maze._decorator",
    "AsyncMaClient": "maze._async",
    "AsyncMaWorkflow": "maze._async",
    "AsyncMaTask": "maze._async",
    "File": "maze._values.file",
    "OpaqueValue": "maze._results",
    "RemoteValue": "maze._remote_value",
    "Subscription": "maze._subscription",
    "AsyncSubscription": "maze._subscription",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'maze' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "maze.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
