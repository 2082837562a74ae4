"""Figures of chaos tests: collected while they run, printed as JSON lines at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from chaos.scale import FULL
from support.figures import hand_over, measuring, show, take_over


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A dictionary for what a test measures; kept even if the test fails."""
    with measuring("chaos", request.node.name, "full" if FULL else "short") as found:
        yield found


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures over, where several processes run the tests."""
    hand_over(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take them."""
    take_over(getattr(node, "workeroutput", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures, and write them where `CHAOS_FIGURES` says."""
    show("chaos", terminalreporter, os.environ.get("CHAOS_FIGURES"))
