"""How large and how strict: the short forms of the default suite, or the promises, with `SCHED=full` (`tox -e sched`).

The short forms run beside other tests on a loaded machine: they check who gets what and in which order, and no times.
"""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

Size = TypeVar("Size")

FULL: Final = os.environ.get("SCHED") == "full"


def sized(short: Size, full: Size) -> Size:
    """Return the size for this run."""
    return full if FULL else short


def promised(name: str, measured: float, limit: float, figures: dict[str, Any]) -> None:
    """Record a figure; in the full form, hold it to its limit."""
    figures[name], figures[f"{name}_limit"] = round(measured, 3), limit
    assert not FULL or measured <= limit, f"{name}: {measured:.3f}, promised {limit}; {figures}"
