"""Watching child processes and signals in one queue, so that a command is one loop over what happened.

Rules. Threads only wait and copy; every decision is made by the command's own loop. Signal handlers do nothing but put
into the queue (a SimpleQueue, which may be used from a handler), and are taken back when the supervisor closes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import IO, Any, Final, Self

from maze._daemon.errors import NotReady
from maze._daemon.ready import wait_ready

__all__ = ["Ended", "Happening", "Ready", "Signalled", "Supervisor", "describe_exit", "shell_status"]

START_SECONDS: Final = 60.0
COPY_SECONDS: Final = 1.0
"""How long the last lines of ended children may take to be copied."""
_WATCHED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Ready:
    """A child has announced itself."""

    name: str
    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A child has ended; a negative status is the signal that killed it, as in subprocess."""

    name: str
    status: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """This process was told to stop."""

    number: int


Happening = Ready | Ended | Signalled


class Supervisor:
    """Collects what happens to children and to this process, while it is entered."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._events: SimpleQueue[Happening] = SimpleQueue()
        self._width = max(map(len, names), default=0)
        self._copiers: list[threading.Thread] = []
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _WATCHED:
            self._previous[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        for copier in self._copiers:
            copier.join(timeout=COPY_SECONDS)

    def watch(self, name: str, process: subprocess.Popen[bytes], ready: bool = False) -> None:
        """Report the end of a child, and before that its READY line if one is expected.

        A child that does not get ready within START_SECONDS is ended.
        """
        self._start(self._watch, name, process, ready)

    def copy_log(self, name: str, log: IO[bytes]) -> None:
        """Copy the lines of a child's stderr to ours, each with the child's name before it, and close it."""
        self._copiers.append(self._start(self._copy, name, log))

    def next(self) -> Happening:
        """Return the next thing that happens."""
        return self._events.get()

    def _start(self, target: Callable[..., None], *args: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._events.put(Signalled(number))

    def _watch(self, name: str, process: subprocess.Popen[bytes], ready: bool) -> None:
        # One thread for both, so that nobody closes the pipe of an ended child while it is being read.
        if ready:
            try:
                self._events.put(Ready(name, wait_ready(process, START_SECONDS)))
            except NotReady:
                process.terminate()
        self._events.put(Ended(name, process.wait()))

    def _copy(self, name: str, log: IO[bytes]) -> None:
        prefix = f"{name:<{self._width}} | ".encode()
        with open(log.fileno(), "rb", closefd=False) as lines, log:
            for line in lines:
                sys.stderr.buffer.write(prefix + line)
                sys.stderr.buffer.flush()


def describe_exit(status: int) -> str:
    """Return an exit status in words: `exit code 3`, `SIGKILL`."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def shell_status(status: int) -> int:
    """Return the exit code that a shell would give for a child's status: 130 for SIGINT."""
    return status if status >= 0 else 128 - status
