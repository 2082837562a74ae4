"""What an attempt may change in its process, put back afterwards, and what cannot be put back, told.

Restored: working directory, environment, umask, signal handlers, timers, standard streams, `sys.path`. Not restorable:
threads that still run and child processes; they make the worker unclean, and the agent ends it.

What costs no more than to look at is put back without a look: a descriptor, the directory, the umask, the timer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
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
_ALWAYS: Final = {name: name.encode() for name in ("MAZE_RUN_ID", "MAZE_TASK_ID", "MAZE_ATTEMPT", "MAZE_LEASE")}
"""What every attempt is given."""
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
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._handlers = list(map(_getsignal, _WATCHED))
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._spares = [(high_descriptor(os.dup(target)), target) for target in (1, 2)]
        self._threads = threading.active_count()
        self._path = list(sys.path)
        self.reaped = False
        """Whether the last attempt left dead children behind."""

    def enter(self, variables: Mapping[str, str]) -> None:
        """Give the next attempt its variables; they replace those of the one before."""
        known = self._environ
        if self._given or not variables.keys() <= _ALWAYS.keys():
            self._enter_special({name: variables[name] for name in variables if name not in _ALWAYS})
        for name, key in _ALWAYS.items():
            data = variables.get(name, "").encode()
            if data and known.get(key) != data:
                known[key] = data
                self._variables.set(key, data)

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
            os.fchdir(self._home)
        except OSError:
            # User code has closed the descriptor.
            with contextlib.suppress(OSError):
                os.chdir(self._directory)
        if environ_data() != self._environ:
            self._restore_environ()
        if sys.path != self._path:
            sys.path[:] = self._path
        os.umask(self._umask)
        if list(map(_getsignal, _WATCHED)) != self._handlers:
            for number, handler in zip(_WATCHED, self._handlers, strict=True):
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.setitimer(_REAL_TIME, 0)

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
        for spare, target in self._spares:
            # User code may have closed the spare.
            with contextlib.suppress(OSError):
                os.dup2(spare, target)

    def _leftovers(self) -> str:
        threads = threading.active_count() - self._threads
        if threads > 0:
            names = ", ".join(sorted(thread.name for thread in threading.enumerate())[:5])
            return f"{threads} threads still run ({names})"
        self.reaped = False
        while (pid := reap()) > 0:
            self.reaped = True
        return "" if pid < 0 else "child processes still run"


def _flush(stream: Any) -> None:
    """Write out what Python has buffered; user code may have closed the stream, or put anything in its place."""
    try:
        stream.flush()
    except Exception:  # noqa: BLE001 -- as above
        return
