"""Clusters and work to schedule, drawn from a seed: pure functions, so that every policy meets the very same.

See each generator for what it follows.
"""

from __future__ import annotations

from random import Random
from typing import Final

from _core import capacity

from maze_protocol.resources import Capacity

__all__ = ["SHAPES", "mixed_nodes"]

SHAPES: Final[tuple[dict[str, float], ...]] = (
    {"cpu": 0.5, "cpu_mem": 256},
    {"cpu": 1},
    {"cpu": 1, "cpu_mem": 1024},
    {"cpu": 1, "cpu_mem": 4096},
    {"cpu": 2, "cpu_mem": 2048},
    {"cpu": 2, "cpu_mem": 8192},
    {"cpu": 4, "cpu_mem": 4096},
    {"cpu": 4, "cpu_mem": 16_384},
    {"cpu": 8, "cpu_mem": 16_384},
    {"cpu": 16, "cpu_mem": 32_768},
    {"cpu": 1, "cpu_mem": 2048, "gpu": 0.25},
    {"cpu": 1, "cpu_mem": 2048, "gpu": 0.5},
    {"cpu": 1, "cpu_mem": 2048, "gpu_mem": 6000},
    {"cpu": 2, "cpu_mem": 4096, "gpu_mem": 10_000},
    {"cpu": 2, "cpu_mem": 4096, "gpu_mem": 20_000},
    {"cpu": 4, "cpu_mem": 8192, "gpu_mem": 40_000},
    {"cpu": 4, "cpu_mem": 16_384, "gpu": 1},
    {"cpu": 4, "cpu_mem": 16_384, "gpu": 1, "gpu_mem": 40_000},
    {"cpu": 8, "cpu_mem": 32_768, "gpu": 2},
    {"cpu": 16, "cpu_mem": 65_536, "gpu": 4},
)
"""Twenty requests as people declare them: processors only, shares of a GPU by fraction and by memory, whole GPUs."""

_KINDS: Final = (
    (3, capacity(96, 1024, 8, 80)),
    (3, capacity(32, 128, 4, 24)),
    (6, capacity(16, 64)),
    (4, capacity(32, 128)),
    (4, capacity(64, 256)),
)
"""Of twenty nodes, how many are of which kind."""


def mixed_nodes(count: int, seed: int = 0) -> list[Capacity]:
    """Return nodes of five kinds in random order: 8 GPUs of 80 GiB, 4 of 24 GiB, and 16, 32 or 64 CPUs without."""
    weights, kinds = zip(*_KINDS, strict=True)
    share = sum(weights)
    nodes = [kind for weight, kind in _KINDS for _ in range(count * weight // share)]
    nodes += Random(seed).choices(kinds, weights, k=count - len(nodes))
    Random(seed).shuffle(nodes)
    return nodes
