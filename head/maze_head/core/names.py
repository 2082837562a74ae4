"""Names that people give to workflows, tasks, functions, inputs, outputs, limits and projects: one rule, one refusal.

They are shown as they are in terminals, logs, pictures and pages, so no control character ever gets in.
"""

from __future__ import annotations

from maze_head.core.errors import Invalid
from maze_protocol.declare import BadName, check_name
from maze_protocol.limits import NAME_LENGTH

__all__ = ["BAD_NAME", "is_name", "named"]

BAD_NAME = "bad_name"


def is_name(name: str) -> bool:
    """Tell whether a name is neither empty nor too long nor has control characters."""
    return 0 < len(name) <= NAME_LENGTH and name.isprintable()


def named(name: str, what: str, field: str) -> str:
    """Return a name.

    Raises:
        Invalid: empty, too long, or with control characters; `field` says where it stands.
    """
    if 0 < len(name) <= NAME_LENGTH and name.isprintable():
        return name
    try:
        return check_name(name, what, NAME_LENGTH)
    except BadName as error:
        raise Invalid(BAD_NAME, str(error), field=field) from error
