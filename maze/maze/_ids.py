"""Ids that this process makes: random, drawn from the system many at a time. Standard library only.

One draw costs as much as the rest of an id, ten times over. A forked child forgets what its parent drew.
"""

from __future__ import annotations

import os
from typing import Final

from maze_protocol.ids import TASK

__all__ = ["new_id", "new_task_id"]

SIZE: Final = 16
AT_ONCE: Final = 256

_drawn: list[str] = []


def new_id(kind: str) -> str:
    """Make an id."""
    return f"{kind}_{_draw()}"


def new_task_id() -> str:
    """Make the id of a task."""
    return f"{TASK}_{_draw()}"


def _draw() -> str:
    while True:
        # One step of the interpreter, so threads need no lock; another one may take the last of what was drawn.
        try:
            return _drawn.pop()
        except IndexError:
            digits = os.urandom(SIZE * AT_ONCE).hex()
            _drawn.extend(digits[start : start + 2 * SIZE] for start in range(0, len(digits), 2 * SIZE))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)
