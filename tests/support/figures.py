"""Figures that tests measure: collected while they run, printed as JSON lines at the end of the session.

Where several processes run the tests, each hands its figures to the one that prints.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FIGURES: dict[str, list[dict[str, Any]]] = {}


@contextmanager
def measuring(suite: str, test: str, form: str) -> Iterator[dict[str, Any]]:
    """Give a dictionary for what a test of a suite measures; it is kept even if the test fails."""
    found: dict[str, Any] = {}
    started = time.monotonic()
    try:
        yield found
    finally:
        facts = {"test": test, "form": form} | found | {"wall_s": round(time.monotonic() - started, 1)}
        _FIGURES.setdefault(suite, []).append(facts)


def hand_over(config: Any) -> None:
    """Leave the figures of this process to the one that prints, if that is another one."""
    if hasattr(config, "workeroutput"):
        config.workeroutput["figures"] = json.dumps(_FIGURES)


def take_over(output: Mapping[str, Any]) -> None:
    """Take the figures that a process has handed over; one that crashed has none."""
    for suite, found in json.loads(output.get("figures", "{}")).items():
        _FIGURES.setdefault(suite, []).extend(found)


def show(suite: str, terminalreporter: Any, file: str | None) -> None:
    """Print the figures of a suite, and append them to a file if one is named."""
    if suite not in _FIGURES:
        return
    machine = {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version(), "load": os.getloadavg()[0]}
    lines = [json.dumps(each | machine) for each in _FIGURES[suite]]
    terminalreporter.section(f"figures: {suite}")
    for line in lines:
        terminalreporter.write_line(line)
    if file:
        with Path(file).open("a") as stream:
            stream.writelines(f"{line}\n" for line in lines)
