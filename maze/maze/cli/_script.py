"""A user's script as a child process: started as `python SCRIPT` would be, and never outliving us.

Rules. The script keeps our terminal, our stdin and our process group, so that it behaves as if it were run directly and
Ctrl-C reaches it. On Linux the kernel kills it when we die, kill -9 included. It is started before any thread of ours:
what runs between fork and exec may meet no lock that another thread holds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from maze._address import STARTING
from maze._daemon.access import TOKEN, TOKEN_FILE

__all__ = ["forward", "start_script"]

_PR_SET_PDEATHSIG: Final = 1


def start_script(script: str, arguments: Sequence[str], url: str, *, starting: Path | None) -> subprocess.Popen[bytes]:
    """Start a script with this interpreter and `MAZE_URL` set; and, if that head is only starting, its token file."""
    environment = {**os.environ, "MAZE_URL": url}
    if starting is not None:
        environment.pop(TOKEN, None)
        environment |= {STARTING: url, TOKEN_FILE: str(starting)}
    command = [sys.executable, script, *arguments]
    return subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent())  # noqa: PLW1509 -- no thread yet


def forward(number: int, process: subprocess.Popen[bytes]) -> None:
    """Hand a signal on to the script, unless the terminal has sent it to both of us."""
    if number == signal.SIGINT and _in_foreground():
        return
    process.send_signal(number)


def _in_foreground() -> bool:
    """Say whether Ctrl-C in our terminal reaches our process group, and so the script."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    # Loaded before the fork: the child may only call it.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # we died between the fork and the line above

    return ask_kernel
