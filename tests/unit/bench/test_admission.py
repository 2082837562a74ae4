"""The bench of admission takes in every task, and what it prints can be true."""

from __future__ import annotations

from admission import measured, profile, requests


def test_every_part_is_taken_in_and_counted() -> None:
    found = measured(50, requests(tasks=50, part=20, sources=2), rounds=2)
    assert found["us_per_task"].keys() == {"parse", "edit", "submit", "all"}
    assert found["us_per_task"]["all"] >= max(found["us_per_task"][step] for step in ("parse", "edit", "submit"))
    assert found["longest_ms"]["edit"] > 0
    full = measured(50, requests(tasks=50, part=20, sources=2, full=True), rounds=1)
    assert found["bytes_per_task"] < full["bytes_per_task"]


def test_it_can_be_profiled(capsys) -> None:
    profile(30, requests(tasks=30, part=20, sources=0))
    assert "edits.py" in capsys.readouterr().out
