"""Tasks that say only in what they differ from another one of their request (`add_alike`).

The tasks of a big workflow are of few functions. What those of one function have in common is checked once, with the
task that says it, and taken over as it is: nothing that a task declares depends on its name or its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from maze_head.core.errors import Invalid
from maze_head.core.graph import TaskSpec
from maze_head.core.names import named
from maze_head.core.specs import CodeOf, inputs_of, spec_of, task_id_of
from maze_protocol.alike import is_model
from maze_protocol.http import AddAlike, AddTask, Op

__all__ = ["Models"]

_NAME: Final = TaskSpec.__struct_fields__.index("name")
_INPUTS: Final = TaskSpec.__struct_fields__.index("inputs")
_Model = tuple[str, tuple[Any, ...], tuple[Any, ...]]
"""A task that others are like: its name, and the fields before and behind its inputs."""


class Models:
    """The tasks of one request that others of it are like.

    Args:
        ops: of the request.
        code_of: what is known of functions.
    """

    def __init__(self, ops: Sequence[Op], code_of: CodeOf) -> None:
        self._ops = ops
        self._code_of = code_of
        self._known: dict[int, _Model] = {}

    def spec(self, index: int, op: AddAlike) -> TaskSpec:
        """Return the task of operation number `index`.

        Raises:
            Invalid: it can be like none that it names; its name, id or inputs are not right.
        """
        model = self._known.get(op.like)
        if model is None:
            model = self._known[op.like] = self._find(index, op.like)
        name, before, behind = model
        if op.name:
            name = named(op.name, "the task's name", "name")
        fields: tuple[Any, ...] = (task_id_of(op.task_id), name, *before, inputs_of(op.inputs), *behind)
        return TaskSpec(*fields)

    def _find(self, index: int, like: int) -> _Model:
        model = self._ops[like] if 0 <= like < index else None
        if not isinstance(model, AddTask):
            message = f"like is {like}: no add_task that comes before this operation has that number"
            raise Invalid("invalid_task", message, field="like")
        if not is_model(model.task):
            message = f"operation {like} says too much for others to be like it"
            raise Invalid("invalid_task", message, hint="send each of the tasks in full", field="like")
        told = msgspec.structs.astuple(spec_of(model.task, self._code_of))
        return told[_NAME], told[_NAME + 1 : _INPUTS], told[_INPUTS + 1 :]
