"""How large and how strict: the short forms of the default suite, or the figures of `tox -e chaos`.

The short forms run beside other tests on a loaded machine: they assert correctness, and times with much slack. With
`CHAOS=full` the sizes are those of the promises, and the promised limits are asserted. `CHAOS_FIGURES` names a file
that takes the figures as JSON lines.
"""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

import pytest

Size = TypeVar("Size")

FULL: Final = os.environ.get("CHAOS") == "full"
full_only: Final = pytest.mark.skipif(not FULL, reason="long form only: tox -e chaos")
"""For what takes long and whose short form is elsewhere."""
SLACK: Final = 1.0 if FULL else 5.0
SCALED: Final = ("--heartbeat=0.5", "--suspect-after=1.5", "--lost-after=3")
"""Flags of a head that gives nodes up sooner, so that a test need not wait for the real times."""
SUSPECT, LOST = (3.0, 10.0) if FULL else (1.5, 3.0)


def sized(short: Size, full: Size) -> Size:
    """Return the size for this run."""
    return full if FULL else short


def liveness_flags() -> tuple[str, ...]:
    """Return flags of a head for tests that wait for a node to be given up."""
    return () if FULL else SCALED


def within(name: str, measured: float, promised: float, figures: dict[str, Any]) -> None:
    """Record a figure and check its limit, with slack in the short form."""
    figures[name] = round(measured, 3)
    figures[f"{name}_limit"] = promised
    assert measured <= promised * SLACK, f"{name}: {measured:.3f} s, promised {promised} s; {figures}"
