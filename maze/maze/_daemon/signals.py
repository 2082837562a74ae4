"""How a daemon is told to stop: SIGTERM or SIGINT once drains, twice stops now.

Rules. Handlers are installed by the command's entry point, never at import. What draining means is the daemon's own
affair; this module only says when. Imports asyncio, so commands without a loop do not import it.

`--exit-with-stdin`: a daemon that was started by a client or by `maze run` reads its stdin, a pipe whose other end only
that parent holds. The pipe ends when the parent does, kill -9 included, so no such daemon outlives its parent. Nor does
the temporary directory that `EMBEDDED_HOME` names: the daemon removes it as the last thing it does.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import os
import shutil
import signal
import threading
from collections.abc import Callable
from typing import Final

from maze._daemon.processes import EMBEDDED_HOME

__all__ = ["ORPHAN_GRACE", "Stop", "exit_with_stdin", "install_stop_signals"]

ORPHAN_GRACE: Final = 2.0
"""Seconds that a daemon may drain once its parent is gone; nobody is left to want its results."""


class Stop:
    """A wish to stop, in two steps: `drain` (also `is_set`, `wait`), then `now`."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self.reason = ""

    def request(self, reason: str) -> None:
        """Ask for the next step: the first call drains, any later one stops now."""
        if self.drain.is_set():
            self.now.set()
            return
        self.reason = reason
        self.drain.set()

    def is_set(self) -> bool:
        """Say whether a stop was asked for."""
        return self.drain.is_set()

    async def wait(self) -> None:
        """Wait until a stop is asked for."""
        await self.drain.wait()


def install_stop_signals(loop: asyncio.AbstractEventLoop) -> Stop:
    """Turn SIGTERM and SIGINT into a Stop; let SIGUSR1 print all stacks on stderr.

    Returns:
        The Stop that the daemon waits for; call it from within the running loop.
    """
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request, signal.Signals(number).name)
    faulthandler.register(signal.SIGUSR1)
    return stop


def exit_with_stdin(loop: asyncio.AbstractEventLoop, stop: Stop, descriptor: int = 0) -> None:
    """Ask `stop` to drain when `descriptor` reaches its end, and to stop now ORPHAN_GRACE seconds later."""

    def orphaned() -> None:
        stop.request("the parent process is gone")
        loop.call_later(ORPHAN_GRACE, stop.request, "the parent process is gone")

    home = os.environ.pop(EMBEDDED_HOME, "")
    if home:
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    # A thread, because epoll refuses /dev/null and plain files, which are legal stdins.
    watcher = threading.Thread(target=_watch, args=(loop, descriptor, orphaned), name="stdin", daemon=True)
    watcher.start()


def _watch(loop: asyncio.AbstractEventLoop, descriptor: int, orphaned: Callable[[], None]) -> None:
    # A closed descriptor has ended as well.
    with contextlib.suppress(OSError):
        while os.read(descriptor, 4096):
            pass
    # The loop may be closed by now: the daemon has stopped for another reason.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(orphaned)
