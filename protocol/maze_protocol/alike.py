"""Which tasks others of a request can be like (`add_alike`): one rule for the SDK that writes and the head that reads.

A few bytes of such an operation stand for all that the task takes over, and the head keeps that with each task. So it
has to be little, as it is for nearly all functions; otherwise each task is sent in full.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_protocol.http import TaskBody
from maze_protocol.limits import MAX_ALIKE

__all__ = ["ALIKE_SINCE", "is_model"]

ALIKE_SINCE: Final = 1
"""The second number of the API version from which on heads know the operation."""


def is_model(task: TaskBody) -> bool:
    """Tell whether other tasks of a request can be like this one."""
    return len(msgspec.msgpack.encode(msgspec.structs.replace(task, inputs={}))) <= MAX_ALIKE
