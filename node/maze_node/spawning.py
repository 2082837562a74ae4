"""Start a spawner process. Light on purpose: the command starts the first one before it loads anything heavy, so that
both get ready side by side.

Its environment is what tasks find in theirs: that of the node without what is the node's own. All of Maze's variables
go but for those of TASKS_MAY_KNOW, so that a flag or a secret that is added later is not told by mistake.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from maze_node import hugepages
from maze_node.box import FIRST_PROCESS, Box
from maze_node.isolation import Isolation

__all__ = ["TASKS_MAY_KNOW", "WORK_DIR", "Spawned", "launch", "task_environment"]

WORK_DIR: Final = "MAZE_WORK_DIR"
"""Variable of spawners and workers: the directory in which they make theirs (workspace.py)."""

TASKS_MAY_KNOW: Final = frozenset(("MAZE_CA", "MAZE_NO_PICKLE", "MAZE_URL"))
"""Of Maze's variables: what a client within a task needs to find the head, and what says how it reads values."""


class Spawned(NamedTuple):
    """A spawner that was started."""

    process: subprocess.Popen[bytes]
    """Its own, or that which keeps its box."""
    control: socket.socket
    """Our end."""
    box: Box | None = None


def task_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a node without what is no business of its tasks."""
    return {name: value for name, value in environ.items() if not name.startswith("MAZE_") or name in TASKS_MAY_KNOW}


def launch(preload: Sequence[str] = (), work_dir: Path | None = None, isolation: Isolation | None = None) -> Spawned:
    """Start a spawner. Its end of the control socket is inherited by nobody else.

    Args:
        preload: modules that its workers shall start with.
        work_dir: where they make directories for files of tasks; $TMPDIR or /var/tmp by default.
        isolation: how far it and its workers are kept from the rest of the machine.

    Raises:
        OSError: there is no place for its box.
    """
    isolation = isolation or Isolation()
    box = isolation.plan.make() if isolation.plan is not None else None
    environ = hugepages.asked_for(task_environment(os.environ))
    if isolation.plan is not None:
        environ[WORK_DIR] = str(isolation.plan.base)
    elif work_dir is not None:
        environ[WORK_DIR] = str(work_dir)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    # -P: what a task imports must not depend on the directory in which the node was started.
    parent = os.getpid() if box is None else FIRST_PROCESS
    words = (str(theirs.fileno()), str(parent), isolation.level)
    command = [sys.executable, "-P", "-m", "maze_node.spawner", *words, *preload]
    with theirs:
        process = subprocess.Popen(
            command if box is None else box.command(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=environ,
        )
    return Spawned(process, ours, box)
