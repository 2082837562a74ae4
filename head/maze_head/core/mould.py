"""What packed tasks that differ in their ids, names and inputs have in common: in all else their bytes are the same.

By it many tasks of one function are packed, or unpacked, without what they have in common being made for each. This
knows of MessagePack only that the fields of an array stand one after the other, and that a value says where it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import astuple, replace

from maze_head.core.tasks import InputSpec, TaskSpec, pack

__all__ = ["Mould"]

_NAME: Final = TaskSpec.__struct_fields__.index("name")
_INPUTS: Final = TaskSpec.__struct_fields__.index("inputs")
_Inputs = tuple[InputSpec, ...]
_encode: Final = msgspec.msgpack.Encoder().encode
_inputs_in: Final = msgspec.msgpack.Decoder(_Inputs).decode


class Mould:
    """The packed form of tasks like one of them.

    Args:
        model: that one; its inputs make no difference.
    """

    __slots__ = (
        "_before", "_behind", "_model", "_name", "_of_behind", "_of_inputs", "_of_name", "_of_same", "_same", "_start",
        "name",
    )  # fmt: skip

    def __init__(self, model: TaskSpec) -> None:
        fields = [_encode(value) for value in astuple(model)]
        # The fields stand one after the other, behind what says how many there are.
        whole = pack(model)
        self.name = model.name
        self._start = whole[: len(whole) - sum(map(len, fields))] + fields[0].removesuffix(model.task_id)
        self._name = fields[_NAME]
        self._before = b"".join(fields[_NAME + 1 : _INPUTS])
        self._behind = b"".join(fields[_INPUTS + 1 :])
        self._same = self._name + self._before
        # Without its inputs, which may be large, and are those of one task.
        self._model = replace(model, inputs=())
        # Slices, since to make one takes as long as to cut with it.
        named_at = len(self._start) + len(model.task_id)
        self._of_name = slice(named_at, named_at + len(self._name))
        self._of_same = slice(named_at, named_at + len(self._same))
        self._of_inputs = slice(self._of_same.stop, -len(self._behind))
        self._of_behind = slice(-len(self._behind), None)

    def pack(self, task_ids: Iterable[bytes], names: Iterable[str], inputs: Iterable[_Inputs]) -> list[bytes]:
        """Return what `pack` makes of such tasks; one without a name has that of the model."""
        start, same, before, behind = self._start, self._same, self._before, self._behind
        return [
            b"".join((start, task_id, _encode(name) + before if name else same, _encode(given), behind))
            for task_id, name, given in zip(task_ids, names, inputs, strict=True)
        ]

    def unpack(self, task_id: bytes, packed: bytes) -> TaskSpec | None:
        """Return what `unpack` makes of a task that has the name of the model, too; None if it is another one.

        Args:
            task_id: that of the task.
            packed: the task.
        """
        if packed[self._of_same] != self._same or packed[self._of_behind] != self._behind:
            return None
        try:
            inputs = _inputs_in(packed[self._of_inputs])
        except msgspec.DecodeError:
            return None  # the inputs end elsewhere: what stands behind them is more or less, and only ends alike
        return replace(self._model, task_id=task_id, inputs=inputs)

    def gave_name(self, packed: bytes) -> bool:
        """Tell whether a task has the name of the model."""
        return packed[self._of_name] == self._name
