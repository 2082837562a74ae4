"""Starting heads and nodes as child processes, and ending them.

Rules. A child gets a process group of its own, so that Ctrl-C in a terminal reaches its parent only, which then drains
it in the right order. Its stdin is a pipe held by the parent alone: with `--exit-with-stdin` it ends when the parent
does, however the parent ends. Its stdout carries the READY line. Whoever starts a child ends it with `stop`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Final

__all__ = [
    "DEFAULT_PORTS",
    "EMBEDDED_HOME",
    "default_ports_free",
    "head_command",
    "listen",
    "listen_on_default_port",
    "node_command",
    "release",
    "start",
    "stop",
]

DEFAULT_PORTS: Final = (8000, 8001, 8002, 8003)
EMBEDDED_HOME: Final = "MAZE_EMBEDDED_HOME"
"""Variable that names a temporary directory which the daemon removes when it exits (signals.py)."""
DRAIN_SECONDS: Final = 2.0
NOW_SECONDS: Final = 3.0
_BACKLOG: Final = 1024


def head_command(*flags: str) -> list[str]:
    """Return the command line of a head that ends with this process."""
    return _command("maze_head", flags)


def node_command(*flags: str) -> list[str]:
    """Return the command line of a node that ends with this process."""
    return _command("maze_node", flags)


def start(
    command: Sequence[str],
    stderr: IO[bytes] | int | None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a daemon; its stdin and stdout are pipes to us, its log goes to `stderr`, and it inherits `pass_fds`."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env, bufsize=0, process_group=0,
        pass_fds=pass_fds,
    )  # fmt: skip


def stop(processes: Iterable[subprocess.Popen[bytes]], drain: float = DRAIN_SECONDS, now: float = NOW_SECONDS) -> None:
    """Drain the processes, all at once; tell those that linger to stop now, and kill those that do not obey."""
    waiting = list(processes)
    for number, patience in ((signal.SIGTERM, drain), (signal.SIGTERM, now), (signal.SIGKILL, None)):
        waiting = _signal_and_wait(waiting, number, patience)


def release(process: subprocess.Popen[bytes]) -> None:
    """Close our ends of the pipes of a process that has ended."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def default_ports_free() -> bool:
    """Say whether a head with default ports could start on the loopback address right now."""
    opened = listen_on_default_port()
    if opened is None:
        return False
    opened.close()
    return True


def listen_on_default_port() -> socket.socket | None:
    """Return a socket that listens on the first default port for a head to come, if all of them are free.

    Whoever asks while it is held finds the ports taken.
    """
    with ExitStack() as undo:
        try:
            listener = undo.enter_context(listen(DEFAULT_PORTS[0]))
            for port in DEFAULT_PORTS[1:]:
                with _bound(port):
                    pass
        except OSError:
            return None
        undo.pop_all()
    return listener


def listen(port: int = 0) -> socket.socket:
    """Return a socket that listens on the loopback address; who connects waits until a head that inherits it serves.

    Raises:
        OSError: the port is taken.
    """
    opened = _bound(port)
    try:
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _bound(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # As the head's own sockets: a port in TIME_WAIT is free, one that is listened on is not.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("127.0.0.1", port))
    except OSError:
        opened.close()
        raise
    return opened


def _command(module: str, flags: Sequence[str]) -> list[str]:
    # -P: a user's `logging.py` in the working directory must not replace the library's.
    return [sys.executable, "-P", "-m", module, "--exit-with-stdin", *flags]


def _signal_and_wait(
    processes: list[subprocess.Popen[bytes]], number: signal.Signals, patience: float | None
) -> list[subprocess.Popen[bytes]]:
    """Return those that are still there afterwards."""
    for process in processes:
        process.send_signal(number)
    deadline = None if patience is None else time.monotonic() + patience
    return [process for process in processes if not _ended(process, deadline)]


def _ended(process: subprocess.Popen[bytes], deadline: float | None) -> bool:
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    release(process)
    return True
