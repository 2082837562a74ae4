"""Where the workers of one spawner make directories for their attempts (workspace.py), and who removes what they left.

    <--spool-dir, else $TMPDIR or /var/tmp>/maze-work-<pid of the spawner>/<pid of the worker>-<lease>/

What a worker did not remove because it died, its spawner removes when it buries it; what a spawner did not remove
because it was killed, the agent does.
"""

from __future__ import annotations

import os
from pathlib import Path

from maze_node.errors import NotOurs
from maze_node.spawning import WORK_DIR

__all__ = ["make", "remove_all", "remove_of"]


def make(spawner: int, worker: int, lease: int, suffix: str = "") -> Path:
    """Make a directory of an attempt and return it.

    Args:
        spawner, worker: process ids, as they see each other.
        lease: of the attempt.
        suffix: of its name; an attempt that is shut in has one more.

    Raises:
        NotOurs: somebody else was there before.
        OSError: it cannot be made.
    """
    home = _home(spawner)
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.geteuid() or not home.is_dir() or home.is_symlink():
        raise NotOurs(f"{home} belongs to another user")
    made = home / f"{worker}-{lease}{suffix}"
    made.mkdir(mode=0o700)
    return made


def remove_of(spawner: int, worker: int) -> None:
    """Remove what a dead worker has left."""
    import shutil

    home = _home(spawner)
    if home.exists():
        for left in home.glob(f"{worker}-*"):
            shutil.rmtree(left, ignore_errors=True)


def remove_all(spawner: int) -> None:
    """Remove all that the workers of a spawner have left."""
    import shutil

    shutil.rmtree(_home(spawner), ignore_errors=True)


def _home(spawner: int) -> Path:
    where = os.environ.get(WORK_DIR) or os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 -- `make` checks its owner
    return Path(where) / f"maze-work-{spawner}"
