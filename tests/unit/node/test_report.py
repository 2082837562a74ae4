"""A capacity, for people and for programs."""

from __future__ import annotations

from maze_node.report import describe, lines
from maze_protocol.resources import Capacity, Device

CAPACITY = Capacity(
    2500,
    4000,
    (Device(0, 80_000, "GPU-a", "A"), Device(3, 60_000)),
    16,
    (
        ("cpu", "CPU quota of control group /x"), ("memory", "SLURM_MEM_PER_NODE"), ("gpu", "NVML"),
        ("workers", "4 per CPU, at least 16"), ("gpu 3", "80,000 MiB by NVML, 20,000 MiB of them in use by others"),
    ),
)  # fmt: skip


def test_every_number_stands_with_its_origin() -> None:
    assert list(lines(CAPACITY)) == [
        "CPUs:    2.5             (CPU quota of control group /x)",
        "Memory:  4,000 MiB       (SLURM_MEM_PER_NODE)",
        "GPUs:    2               (NVML)",
        "  GPU 0: A, 80,000 MiB GPU-a (NVML)",
        "  GPU 3: unnamed, 60,000 MiB (80,000 MiB by NVML, 20,000 MiB of them in use by others)",
        "Workers: at most 16      (4 per CPU, at least 16)",
    ]


def test_programs_get_the_same() -> None:
    found = describe(CAPACITY)
    assert found["cpu"] == 2.5
    assert found["origins"]["memory"] == "SLURM_MEM_PER_NODE"
    assert found["gpus"][1] == {
        "index": 3, "mem": 60_000, "uuid": "", "name": "",
        "origin": "80,000 MiB by NVML, 20,000 MiB of them in use by others",
    }  # fmt: skip
