"""Samples by stage."""

from __future__ import annotations

from _stages import REST, by_stage, stage_of


def test_the_innermost_frame_that_a_stage_names_decides() -> None:
    stages = {"a": ["core/a.py"], "b": ["core/b.py B.run"]}
    assert stage_of(["x/other.py f", "maze_head/core/a.py g", "maze_head/core/b.py B.run"], stages) == "a"
    assert stage_of(["maze_head/core/b.py B.run", "maze_head/core/a.py g"], stages) == "b"
    assert stage_of(["maze_head/core/b.py B.stop"], stages) == REST


def test_stages_share_what_the_kernel_counted_as_the_samples_do() -> None:
    stacks = [
        {"ms": 3.0, "frames": ["maze_node/worker.py Worker._next"]},
        {"ms": 1.0, "frames": ["somewhere.py f"]},
    ]
    shares = by_stage(stacks, "worker", 40.0)
    assert (shares["take"], shares[REST], sum(shares.values())) == (30.0, 10.0, 40.0)
    assert next(iter(shares)) == "take"


def test_no_samples_explain_nothing() -> None:
    shares = by_stage([], "head", 40.0)
    assert (shares[REST], sum(shares.values())) == (40.0, 40.0)
