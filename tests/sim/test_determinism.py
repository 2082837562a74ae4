"""A seed is a world: the same steps in every process, under every hash seed, before and after other worlds."""

from __future__ import annotations

import os
import subprocess
import sys

from sim.world import run

SEEDS = range(12)
PROGRAM = "from sim.world import run\nfor seed in range(12): print(run(seed).trace)"


def test_the_same_seed_gives_the_same_trace_under_any_hash_seed() -> None:
    mine = [run(seed).trace for seed in SEEDS]
    for hash_seed in ("0", "4711"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        other = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environ, check=True)
        assert other.stdout.split() == mine


def test_worlds_differ() -> None:
    assert len({run(seed).trace for seed in SEEDS}) == len(SEEDS)
