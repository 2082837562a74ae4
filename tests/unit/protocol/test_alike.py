"""Which tasks others can be like."""

from __future__ import annotations

import msgspec

from maze_protocol.alike import is_model
from maze_protocol.http import InputBody, TaskBody
from maze_protocol.limits import MAX_ALIKE


def test_what_a_task_says_counts_and_what_it_gets_does_not() -> None:
    task = TaskBody("task_1", "name", "f", "hash", {"x": InputBody(value="x" * 10 * MAX_ALIKE)}, ["y"])
    assert is_model(task)
    size = len(msgspec.msgpack.encode(msgspec.structs.replace(task, inputs={})))
    longest = msgspec.structs.replace(task, func_name="f" * (MAX_ALIKE - size - 1))  # and a byte for its length
    assert is_model(longest)
    assert not is_model(msgspec.structs.replace(longest, func_name=longest.func_name + "f"))
