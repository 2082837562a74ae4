"""Figures of scheduler tests, written where `SCHED_FIGURES` says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.scale import FULL
from support.figures import measuring, show


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A dictionary for what a test measures."""
    with measuring("sched", request.node.name, "full" if FULL else "short") as found:
        yield found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures."""
    show("sched", terminalreporter, os.environ.get("SCHED_FIGURES"))
