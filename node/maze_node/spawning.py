"""Start a spawner process. Light on purpose: the command starts the first one before it loads anything heavy, so that
both get ready side by side.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["WORK_DIR", "Spawned", "launch"]

WORK_DIR: Final = "MAZE_WORK_DIR"
"""Variable of spawners and workers: the directory in which they make theirs (workspace.py)."""

Spawned = tuple[subprocess.Popen[bytes], socket.socket]


def launch(preload: Sequence[str] = (), work_dir: Path | None = None) -> Spawned:
    """Return a new spawner and our end of its control socket. Its end is inherited by nobody else.

    Args:
        preload: modules that its workers shall start with.
        work_dir: where they make directories for files of tasks; $TMPDIR or /var/tmp by default.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    # -P: what a task imports must not depend on the directory in which the node was started.
    command = [sys.executable, "-P", "-m", "maze_node.spawner", str(theirs.fileno()), str(os.getpid()), *preload]
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=os.environ if work_dir is None else {**os.environ, WORK_DIR: str(work_dir)},
        )
    return process, ours
