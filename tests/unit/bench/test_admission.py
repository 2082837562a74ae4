"""The bench of admission takes in every task, and what it prints can be true."""

from __future__ import annotations

from admission import measured, profile


def test_every_part_is_taken_in_and_counted() -> None:
    found = measured(tasks=50, part=20, sources=2, rounds=2)
    assert found["us_per_task"].keys() == {"parse", "edit", "submit", "all"}
    assert found["us_per_task"]["all"] >= max(found["us_per_task"][step] for step in ("parse", "edit", "submit"))
    assert found["longest_ms"]["edit"] > 0


def test_it_can_be_profiled(capsys) -> None:
    profile(tasks=30, part=20, sources=0)
    assert "edits.py" in capsys.readouterr().out
