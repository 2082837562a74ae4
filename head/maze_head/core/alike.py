"""Tasks that say only in what they differ from another one of their request (`add_alike`).

The tasks of a big workflow are of few functions. What those of one function have in common is checked once, with the
task that says it, and taken over as it is: nothing that a task declares depends on its name or its inputs.

A task is plain if nothing but its id can be wrong with it: its inputs are small encoded literals, and it has its place
by itself. Plain tasks of one model that follow each other are a series, which is taken in at once. Nothing is refused
here with a series: whatever is odd about a task ends it, and is found again, and told, by who looks at that task alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from maze_head.core.errors import Invalid
from maze_head.core.mould import Mould
from maze_head.core.names import is_name, named
from maze_head.core.specs import CODECS, CodeOf, inputs_of, spec_of, task_id_of
from maze_head.core.tasks import ENCODED, InputSpec, TaskSpec
from maze_protocol.alike import is_model
from maze_protocol.http import AddAlike, AddTask, InputBody, Op
from maze_protocol.ids import TASK, parse_ids
from maze_protocol.limits import MAX_TASK_VALUES

__all__ = ["WORTH_A_SERIES", "Models", "Series"]

_NAME: Final = TaskSpec.__struct_fields__.index("name")
_INPUTS: Final = TaskSpec.__struct_fields__.index("inputs")
WORTH_A_SERIES: Final = 12
"""With fewer tasks it takes longer than one after the other."""
SKIPPED_AT_MOST: Final = 31
"""Tasks that are taken one by one after many that are not plain, whatever they are."""
_Inputs = tuple[InputSpec, ...]


class _Model:
    """A task that others are like."""

    def __init__(self, spec: TaskSpec) -> None:
        fields: tuple[Any, ...] = msgspec.structs.astuple(spec)
        self.spec = spec
        self.name, self.before, self.behind = fields[_NAME], fields[_NAME + 1 : _INPUTS], fields[_INPUTS + 1 :]

    @cached_property
    def bare(self) -> TaskSpec:
        """Return it without inputs."""
        return msgspec.structs.replace(self.spec, inputs=())

    @cached_property
    def mould(self) -> Mould:
        """Return what its packed form has in common with that of the others."""
        return Mould(self.bare)


class Series(NamedTuple):
    """Plain tasks of one model that follow each other in a request."""

    model: TaskSpec
    """What they are, without inputs."""
    task_ids: list[bytes]
    packed: list[bytes]


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
        self._names: dict[str, None] = {}
        """Of inputs of plain tasks: those that were looked at."""
        self._odd = 0
        """How many tasks are not looked at after one that is not plain."""

    def spec(self, index: int, op: AddAlike) -> TaskSpec:
        """Return the task of operation number `index`.

        Raises:
            Invalid: it can be like none that it names; its name, id or inputs are not right.
        """
        model = self._known.get(op.like)
        if model is None:
            model = self._known[op.like] = self._find(index, op.like)
        name = named(op.name, "the task's name", "name") if op.name else model.name
        fields: tuple[Any, ...] = (task_id_of(op.task_id), name, *model.before, inputs_of(op.inputs), *model.behind)
        return TaskSpec(*fields)

    def series(self, index: int, op: AddAlike) -> tuple[int, Series | None]:
        """Return up to where nothing more is to be looked at, and the plain tasks up to there if they are a series.

        The first task that is like another one is none of them: with it the other one is checked.
        """
        if len(self._ops) - index < WORTH_A_SERIES:
            return len(self._ops), None
        model = self._known.get(op.like)
        if model is None or model.spec.same_node_as:
            return index + 1, None
        if _has_others(op.inputs):
            # Those after it are mostly not plain either, and looking at each takes a twentieth of what it costs.
            self._odd = min(2 * self._odd + 1, SKIPPED_AT_MOST)
            return index + self._odd, None
        self._odd = 0
        ops, inputs = self._plain_from(index, op.like)
        stop = index + max(len(ops), 1)
        if len(ops) < WORTH_A_SERIES:
            return stop, None
        try:
            task_ids = parse_ids([each.task_id for each in ops], TASK)
        except ValueError:
            return stop, None
        packed = model.mould.pack(task_ids, [each.name for each in ops], inputs)
        return stop, Series(model.bare, task_ids, packed)

    def _plain_from(self, index: int, like: int) -> tuple[list[AddAlike], list[_Inputs]]:
        ops, found = list[AddAlike](), list[_Inputs]()
        for number in range(index, len(self._ops)):
            op = self._ops[number]
            if not isinstance(op, AddAlike) or op.like != like or (op.name and not is_name(op.name)):
                break
            inputs = self._literals(op.inputs)
            if inputs is None:
                break
            ops.append(op)
            found.append(inputs)
        return ops, found

    def _literals(self, bodies: Mapping[str, InputBody]) -> _Inputs | None:
        """Return inputs that are encoded literals and nothing else; None if any is another one, or not right."""
        inputs: _Inputs = ()
        size = 0
        for name, body in bodies.items():
            encoded = body.encoded
            if encoded is UNSET or body.refs or not (body.value is body.source is body.upload is UNSET):
                return None
            if encoded.codec not in CODECS or not (name in self._names or self._is_name(name)):
                return None
            data = encoded.data
            size += len(data)
            inputs += (InputSpec(name, ENCODED, encoded.codec, data),)
        return inputs if size <= MAX_TASK_VALUES else None

    def _is_name(self, name: str) -> bool:
        if not is_name(name):
            return False
        self._names[name] = None
        return True

    def _find(self, index: int, like: int) -> _Model:
        model = self._ops[like] if 0 <= like < index else None
        if not isinstance(model, AddTask):
            message = f"like is {like}: no add_task that comes before this operation has that number"
            raise Invalid("invalid_task", message, field="like")
        if not is_model(model.task):
            message = f"operation {like} says too much for others to be like it"
            raise Invalid("invalid_task", message, hint="send each of the tasks in full", field="like")
        return _Model(spec_of(model.task, self._code_of))


def _has_others(bodies: Mapping[str, InputBody]) -> bool:
    """Tell whether there are inputs that are not encoded literals, or have references in them."""
    for body in bodies.values():  # noqa: SIM110 -- `any` of a generator takes three times as long
        if body.encoded is UNSET or body.refs:
            return True
    return False
