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

__all__ = ["Conflict", "Gone", "IllegalMove", "Invalid", "NotFound", "Rejected", "Unavailable"]


class Rejected(Exception):
    """A command was refused; nothing changed."""

    def __init__(self, code: str, message: str, *, hint: str = "", field: str = "", op: int | None = None) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field
        self.op = op
        super().__init__(message)


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
