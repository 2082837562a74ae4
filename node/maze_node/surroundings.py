"""What an attempt may change in its process, put back afterwards, and what cannot be put back, told.

Restored: working directory, environment, umask, signal handlers, timers, standard streams, `sys.path`. Not restorable:
threads that still run and child processes; they make the worker unclean, and the agent ends it.

What costs no more than to look at is put back without a look: a descriptor, the directory, the umask, the timer.
Nothing is left out because it is rarely touched: C code that a task calls may touch any of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from os import dup2, fchdir, umask
from signal import setitimer
from typing import Any, Final

from maze_node.limits import flush_c_streams, high_descriptor, reap
from maze_node.variables import Variables, environ_data

__all__ = ["Surroundings"]

# Without the wrapper that makes enum members of its answers, which takes ten times as long.
_getsignal: Final[Callable[[int], Any]] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
_WATCHED: Final = tuple(map(int, (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM,
    signal.SIGTERM, signal.SIGCHLD,
)))  # fmt: skip
_ALWAYS: Final = (b"MAZE_RUN_ID", b"MAZE_TASK_ID", b"MAZE_ATTEMPT", b"MAZE_LEASE")
_NOTHING: Final[Mapping[str, str]] = {}
_REAL_TIME: Final = int(signal.ITIMER_REAL)


class Surroundings:
    """The state of the process before any attempt."""

    def __init__(self) -> None:
        self._directory = os.getcwd()
        self._home = high_descriptor(os.open(".", os.O_PATH | os.O_CLOEXEC))
        self._variables = Variables(_ALWAYS)
        self._environ = dict(environ_data())
        self._given: set[str] = set()
        """Names of the variables that the last attempt was given beside those."""
        self._umask = umask(0o022)
        umask(self._umask)
        self._handlers = list(map(_getsignal, _WATCHED))
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._spare_output, self._spare_error = high_descriptor(os.dup(1)), high_descriptor(os.dup(2))
        self._threads = threading.active_count()
        self._path = list(sys.path)
        self.reaped = False
        """Whether the last attempt left dead children behind."""

    def enter(self, identity: Mapping[bytes, bytes], more: Mapping[str, str] = _NOTHING) -> None:
        """Give the next attempt its variables; they replace those of the one before.

        Args:
            identity: what every attempt is given: its run, its task, which attempt of that it is, its lease.
            more: what else it is given.
        """
        if more or self._given:
            self._enter_special(more)
        self._environ.update(identity)
        self._variables.set(identity)

    def _enter_special(self, variables: Mapping[str, str]) -> None:
        for name in self._given - variables.keys():
            os.environ.pop(name, None)
            self._environ.pop(name.encode(), None)
        self._given = set(variables)
        for name, value in variables.items():
            os.environ[name] = value
            self._environ[name.encode()] = value.encode()

    def restore(self) -> str:
        """Put everything back; return what could not be, in words, or nothing."""
        self._restore_streams()
        self._restore_process()
        return self._leftovers()

    def _restore_process(self) -> None:
        try:
            fchdir(self._home)
        except OSError:
            # User code has closed the descriptor.
            with contextlib.suppress(OSError):
                os.chdir(self._directory)
        if environ_data() != self._environ:
            self._restore_environ()
        if sys.path != self._path:
            sys.path[:] = self._path
        umask(self._umask)
        if list(map(_getsignal, _WATCHED)) != self._handlers:
            for number, handler in zip(_WATCHED, self._handlers, strict=True):
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        setitimer(_REAL_TIME, 0)

    def _restore_environ(self) -> None:
        os.environ.clear()
        os.environ.update({os.fsdecode(key): os.fsdecode(value) for key, value in self._environ.items()})
        self._variables.install()

    def _restore_streams(self) -> None:
        if (sys.stdin, sys.stdout, sys.stderr) != self._streams:
            _flush(sys.stdout)
            _flush(sys.stderr)
            sys.stdin, sys.stdout, sys.stderr = self._streams
        _flush(self._streams[1])
        _flush(self._streams[2])
        flush_c_streams()
        try:
            dup2(self._spare_output, 1)
            dup2(self._spare_error, 2)
        except OSError:
            self._restore_what_is_left()

    def _restore_what_is_left(self) -> None:
        """Put the second stream back, too: user code has closed the spare of the first, or of both."""
        with contextlib.suppress(OSError):
            dup2(self._spare_error, 2)

    def _leftovers(self) -> str:
        if _threads() > self._threads:
            threads = threading.active_count() - self._threads
            if threads > 0:
                names = ", ".join(sorted(thread.name for thread in threading.enumerate())[:5])
                return f"{threads} threads still run ({names})"
        self.reaped = False
        while (pid := reap()) > 0:
            self.reaped = True
        return "" if pid < 0 else "child processes still run"


def _threads() -> int:
    """Return how many threads there are, or one more: as `threading.active_count`, without its lock.

    A thread is in the second of these before it leaves the first: in this order none is missed.
    """
    return len(threading._limbo) + len(threading._active)  # type: ignore[attr-defined]


def _flush(stream: Any) -> None:
    """Write out what Python has buffered; user code may have closed the stream, or put anything in its place."""
    try:
        stream.flush()
    except Exception:  # noqa: BLE001 -- as above
        return
