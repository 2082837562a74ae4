"""What tasks wrote about themselves, and what it says of a worker that was killed. Standard library only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Stamp", "after_kill", "read_stamps", "running_one"]


class Stamp(NamedTuple):
    """A task begins (`b`) or ends (`e`) in a process."""

    task: int
    pid: int
    what: str
    at: float


def read_stamps(path: Path) -> list[Stamp]:
    """Return what is written down so far, in order of time."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found = [line.split() for line in lines]
    return sorted((Stamp(int(task), int(pid), what, float(at)) for task, pid, what, at in found), key=lambda s: s.at)


def running_one(path: Path, ended: int, limit_s: float = 120.0) -> int:
    """Wait until so many tasks have ended, and return the process of one that runs.

    Raises:
        TimeoutError: not so many have ended within the limit.
    """
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        stamps = read_stamps(path)
        if sum(stamp.what == "e" for stamp in stamps) >= ended and stamps[-1].what == "b":
            return stamps[-1].pid
        time.sleep(0.001)
    raise TimeoutError(f"fewer than {ended} tasks have ended")


def after_kill(stamps: Sequence[Stamp], pid: int, at: float) -> dict[str, Any]:
    """Return how many tasks were lost, when and where in the queue they came again, and how many ended twice.

    Args:
        stamps: all of them, in order of time.
        pid: the killed process.
        at: when it was killed, Unix seconds.
    """
    ends = Counter(stamp.task for stamp in stamps if stamp.what == "e")
    begun = {stamp.task for stamp in stamps if stamp.pid == pid and stamp.what == "b"}
    ended = {stamp.task for stamp in stamps if stamp.pid == pid and stamp.what == "e"}
    lost = begun - ended
    again = [stamp.at for stamp in stamps if stamp.task in lost and stamp.what == "b" and stamp.pid != pid]
    restart = max(again) if again else None
    before = sum(stamp.what == "b" and at < stamp.at < restart for stamp in stamps) if restart is not None else None
    return {
        "lost": len(lost), "restart_s": None if restart is None else restart - at, "started_before_it": before,
        "ended_twice": sum(1 for times in ends.values() if times > 1),
    }  # fmt: skip
