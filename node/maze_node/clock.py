"""The clock of all decisions of a node: its agent and its workers must mean the same instant."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["monotonic"]

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """Return seconds of a clock that also runs while the machine is suspended."""
    return time.clock_gettime(_CLOCK)
