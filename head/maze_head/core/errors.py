"""What the core refuses, and why. Mapped to HTTP once, in api/errors.py; a node never sees these.

Rejected                     code, message, hint, field, op
+-- NotFound                 unknown workflow, task, run, node
+-- Conflict                 revision, duplicate id, cycle, referenced task
+-- Invalid                  a definition that can never be right
+-- Gone                     the run was removed by retention
`-- Unavailable              read-only, draining, too much pending work (retry_after)

IllegalMove (AssertionError)  a bug of the core, not a refusal: the driver must stop
"""

from __future__ import annotations

from maze_protocol.shown import shown

__all__ = ["Conflict", "Gone", "IllegalMove", "Invalid", "NotFound", "Rejected", "Unavailable"]


class Rejected(Exception):
    """A command was refused; nothing changed. What it quotes of the command cannot hurt whoever reads it."""

    def __init__(self, code: str, message: str, *, hint: str = "", field: str = "", op: int | None = None) -> None:
        self.code = code
        self.message = shown(message)
        self.hint = shown(hint)
        self.field = shown(field)
        self.op = op
        super().__init__(self.message)


class NotFound(Rejected):
    """No such thing."""


class Conflict(Rejected):
    """The state of things forbids it."""


class Invalid(Rejected):
    """The request can never be right."""


class Gone(Rejected):
    """It was here and has been removed."""


class Unavailable(Rejected):
    """Not now."""


class IllegalMove(AssertionError):
    """A task was moved where the table of transitions forbids it: a bug of the core, told with the task's story."""
