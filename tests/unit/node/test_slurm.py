"""Slurm's part of the machine, and the end of its job; a fake `scontrol` in PATH."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from maze_node.slurm import cpu_bounds, memory_bounds, seconds_left

NOW = 1_700_000_000.0
JOB = {"SLURM_JOB_ID": "42"}


def test_cpus() -> None:
    assert cpu_bounds({}) == []
    told = {"SLURM_CPUS_ON_NODE": "16", "SLURM_CPUS_PER_TASK": "4"}
    assert cpu_bounds(told) == [(16.0, "SLURM_CPUS_ON_NODE"), (4.0, "SLURM_CPUS_PER_TASK")]
    assert cpu_bounds({"SLURM_CPUS_ON_NODE": "16(x2)", "SLURM_CPUS_PER_TASK": ""}) == []


def test_memory() -> None:
    assert memory_bounds(3, {}) == []
    assert memory_bounds(3, {"SLURM_MEM_PER_NODE": "8000"}) == [(8000, "SLURM_MEM_PER_NODE")]
    assert memory_bounds(3, {"SLURM_MEM_PER_NODE": "0"}) == [], "0 means all of it"
    assert memory_bounds(3.9, {"SLURM_MEM_PER_CPU": "500"}) == [(1500, "SLURM_MEM_PER_CPU times 3 CPUs")]
    both = {"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "16"}
    assert memory_bounds(3, both) == [(8000, "SLURM_MEM_PER_CPU times 16 CPUs")]


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a `scontrol` into PATH that prints what it is told, for job 42."""

    def make(text: str, status: int = 0) -> None:
        script = tmp_path / "scontrol"
        (tmp_path / "answer").write_text(text)
        script.write_text(f'#!/bin/sh\n[ "$*" = "show job 42" ] && cat {tmp_path}/answer\nexit {status}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


def test_outside_slurm_nothing_ends_and_nobody_is_asked(scontrol) -> None:
    scontrol("TimeLimit=01:00:00 RunTime=00:00:00")
    assert seconds_left(NOW, {}) is None
    assert seconds_left(NOW, {"SLURM_JOB_ID": "4; rm -rf /"}) is None


def test_the_environment_is_enough(scontrol) -> None:
    scontrol("TimeLimit=01:00:00 RunTime=00:00:00")
    assert seconds_left(NOW, JOB | {"SLURM_JOB_END_TIME": "1700000060"}) == (60.0, "SLURM_JOB_END_TIME")
    assert seconds_left(NOW, JOB | {"SLURM_JOB_END_TIME": "1600000000"}) == (0.0, "SLURM_JOB_END_TIME")


def test_else_scontrol_is_asked(scontrol) -> None:
    scontrol("JobId=42 JobName=maze\n   RunTime=00:10:00 TimeLimit=1-00:00:00 TimeMin=N/A\n   EndTime=Unknown\n")
    assert seconds_left(NOW, JOB) == (86_400.0 - 600, "scontrol: TimeLimit - RunTime")


def test_a_partition_limit_is_told_by_the_end(scontrol) -> None:
    end = datetime.fromtimestamp(NOW + 90).isoformat(timespec="seconds")
    scontrol(f"RunTime=00:10:00 TimeLimit=Partition_Limit\n EndTime={end} Deadline=N/A\n")
    assert seconds_left(NOW, JOB) == (90.0, "scontrol: EndTime")


@pytest.mark.parametrize(
    ("text", "status"),
    [("RunTime=00:10:00 TimeLimit=UNLIMITED EndTime=Unknown", 0), ("", 0), ("TimeLimit=01:00:00 RunTime=00:00:01", 1)],
)
def test_no_end(scontrol, text: str, status: int) -> None:
    scontrol(text, status)
    assert seconds_left(NOW, JOB) is None


def test_no_scontrol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert seconds_left(NOW, JOB) is None
