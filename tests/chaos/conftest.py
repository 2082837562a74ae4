"""Figures of chaos tests: collected while they run, printed as JSON lines at the end."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.scale import FULL

_FIGURES: list[dict[str, Any]] = []


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A dictionary for what a test measures; kept even if the test fails."""
    found: dict[str, Any] = {}
    started = time.monotonic()
    yield found
    head = {"test": request.node.name, "form": "full" if FULL else "short"}
    _FIGURES.append(head | found | {"wall_s": round(time.monotonic() - started, 1)})


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures, and write them where `CHAOS_FIGURES` says."""
    if not _FIGURES:
        return
    machine = {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version(), "load": os.getloadavg()[0]}
    lines = [json.dumps(each | machine) for each in _FIGURES]
    terminalreporter.section("figures")
    for line in lines:
        terminalreporter.write_line(line)
    if path := os.environ.get("CHAOS_FIGURES"):
        with Path(path).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
