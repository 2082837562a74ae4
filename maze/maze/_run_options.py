"""What `run()` takes, checked where it is written, and what it warns of. Standard library only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final, NamedTuple

from maze.errors import InfeasibleWarning, InputError, InputTypeError
from maze_protocol.declare import check_priority, check_project
from maze_protocol.ids import short_id

if TYPE_CHECKING:
    from maze_protocol.http import RunBody

__all__ = ["RunOptions", "run_options", "warn_infeasible"]

NAMED_AT_MOST: Final = 5


class RunOptions(NamedTuple):
    """How a run is to be treated; the fields are those of the request."""

    fail_fast: bool = False
    priority: int = 0
    project: str = ""
    wait_for_capacity: bool = True


def run_options(*, fail_fast: bool, priority: int, project: str, wait_for_capacity: bool) -> RunOptions:
    """Return what a user asked for.

    Raises:
        InputTypeError: an argument has the wrong type.
        InputError: an argument is out of range.
    """
    for name, flag in (("fail_fast", fail_fast), ("wait_for_capacity", wait_for_capacity)):
        if not isinstance(flag, bool):
            raise InputTypeError(f"{name} must be True or False, not {type(flag).__name__}")
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InputTypeError(f"priority must be a whole number, not {type(priority).__name__}")
    if not isinstance(project, str):
        raise InputTypeError(f"project must be the name of a project, not {type(project).__name__}")
    try:
        return RunOptions(fail_fast, check_priority(priority), check_project(project), wait_for_capacity)
    except ValueError as error:
        raise InputError(str(error), code="invalid_run") from None


def warn_infeasible(run: RunBody, wanted: RunOptions) -> None:
    """Warn, at the line that called `run()`, of tasks for which the run waits and which no node can take."""
    if run.infeasible and wanted.wait_for_capacity:
        tasks = [task.task_id for task in run.infeasible]
        # One level each for this function and for the `run()` that called it.
        warnings.warn(InfeasibleWarning(_text(run), run_id=run.run_id, tasks=tasks), stacklevel=3)


def _text(run: RunBody) -> str:
    named = [f"  '{task.name}' ({short_id(task.task_id)}): {task.reason}" for task in run.infeasible[:NAMED_AT_MOST]]
    if len(run.infeasible) > NAMED_AT_MOST:
        named.append(f"  … and others; `maze explain {short_id(run.run_id)}` names them")
    return "\n".join((
        f"run {run.run_id} has tasks that no node can ever take, as the cluster is now (one of each kind):",
        *named,
        "  The run waits until a node joins that can; run(wait_for_capacity=False) makes such tasks fail at once.",
    ))  # fmt: skip
