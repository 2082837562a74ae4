"""The examples run as a newcomer would run them, against the cluster that is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.daemons import Finished

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


def test_the_named_examples_are_there() -> None:
    named = {"quickstart", "stdlib_survey", "chain", "fan_out", "diamond", "multi_stage"}
    assert named <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, python: Callable[..., Finished]) -> None:
    done = python("-W", "error", str(path), timeout=100)
    assert done.code == 0, done.err
    assert done.out.strip()
    assert "Traceback" not in done.out + done.err
