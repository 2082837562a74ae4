"""What Slurm says about the job that this node runs in: its part of the machine, and when it ends.

Everything comes from the environment that `srun` and `sbatch` make; only where that says nothing about the end of the
job is `scontrol` asked, once. What cannot be read is as if it were not there.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from maze._daemon.durations import BadDuration, parse_duration

__all__ = ["cpu_bounds", "memory_bounds", "seconds_left"]

SCONTROL_SECONDS: Final = 10.0


def cpu_bounds(environ: Mapping[str, str] = os.environ) -> list[tuple[float, str]]:
    """Return bounds on CPUs with their origin."""
    names = ("SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK")
    return [(float(count), name) for name in names if (count := _count(environ, name))]


def memory_bounds(cpus: float, environ: Mapping[str, str] = os.environ) -> list[tuple[int, str]]:
    """Return bounds on memory in MiB with their origin; `cpus` counts where the job's own number is not told."""
    found = []
    if per_node := _count(environ, "SLURM_MEM_PER_NODE"):
        found.append((per_node, "SLURM_MEM_PER_NODE"))
    if per_cpu := _count(environ, "SLURM_MEM_PER_CPU"):
        count = _count(environ, "SLURM_CPUS_ON_NODE") or max(1, int(cpus))
        found.append((per_cpu * count, f"SLURM_MEM_PER_CPU times {count} CPUs"))
    return found


def seconds_left(wall: float, environ: Mapping[str, str] = os.environ) -> tuple[float, str] | None:
    """Return how long the job still has, with the origin; None outside Slurm, or without a limit.

    Args:
        wall: now, in Unix time.
        environ: the environment.
    """
    if end := _count(environ, "SLURM_JOB_END_TIME"):
        return max(0.0, end - wall), "SLURM_JOB_END_TIME"
    job = environ.get("SLURM_JOB_ID", "")
    return _read_job(_ask(job), wall) if job.isdigit() else None


def _ask(job: str) -> str:
    command = ["scontrol", "show", "job", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SCONTROL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _read_job(text: str, wall: float) -> tuple[float, str] | None:
    """Prefer the difference of durations: the end is told as local time of wherever `scontrol` thinks it is."""
    fields = dict(re.findall(r"(\w+)=(\S+)", text))
    try:
        left = parse_duration(fields.get("TimeLimit", "")) - parse_duration(fields.get("RunTime", ""))
        return max(0.0, left), "scontrol: TimeLimit - RunTime"
    except BadDuration:
        pass  # UNLIMITED, Partition_Limit, or no such job
    try:
        end = datetime.fromisoformat(fields.get("EndTime", "")).astimezone()
    except ValueError:
        return None  # Unknown
    return max(0.0, end.timestamp() - wall), "scontrol: EndTime"


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else 0
