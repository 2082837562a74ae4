"""The child that runs user code: one attempt at a time, one report each, as it is permitted to (permits.py).

Forked by the spawner; `run` is its whole life. User code gets stdin from /dev/null and the pipes of the agent as
descriptors 1 and 2; the task socket sits far above, where no user code meets it by accident.

Rules
* This is the only process of a node that unpickles or calls anything of the user's.
* A sandboxed attempt is the only one of its worker, which shuts itself in before it loads anything (sandbox.py).
* The agent's view is the only state: the function cache forgets what the agent tells it to forget.
* A process that the user's code forks must never reach our loop again (see `_only_here`).
* The report of an attempt is written before the next one begins. After one that left something behind none does.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

from maze_node.attempt import Kind, run_attempt
from maze_node.beside import Beside
from maze_node.clock import monotonic
from maze_node.core.slots import THREAD_VARIABLES
from maze_node.frames import LENGTH, CodeBody, LikeFrame, ReportFrame, TaskFrame, decode_task, encode_frame
from maze_node.gauge import Gauge
from maze_node.isolation import BWRAP, NONE, PROCESS
from maze_node.limits import allowed_cpus, become_subreaper, harden_worker, high_descriptor, run_on
from maze_node.loading import load_code
from maze_node.meter import Meter
from maze_node.namespaces import drop_capabilities
from maze_node.permits import BEGIN
from maze_node.sandbox import enter
from maze_node.surroundings import Surroundings
from maze_node.thread_pools import resize
from maze_protocol.messages import CRASHED, OK, ErrorInfo

__all__ = ["preload", "run"]


def preload() -> None:
    """Import what every worker needs, in the spawner, so that workers start with it."""
    import cloudpickle  # noqa: F401 -- loaded for its children
    import msgpack  # type: ignore[import-untyped]  # noqa: F401 -- loaded for its children

    import maze._values  # noqa: F401 -- loaded for its children


def run(*descriptors: int, level: str = PROCESS, preloaded: bool = False) -> int:
    """Be a worker until the agent closes the pipe of permits; return the exit status.

    Args:
        descriptors: task socket, permits, stdout, stderr, page of the gauge, socket for descriptors.
        level: how far it is kept from the machine (isolation.py).
        preloaded: libraries may have been loaded before the number of threads was known.
    """
    task_socket, permits, stdout, stderr, page, beside = descriptors
    _settle(stdout, stderr, level)
    channel = socket.socket(fileno=high_descriptor(task_socket))
    objects = Beside(socket.socket(fileno=high_descriptor(beside)))
    worker = Worker(channel, high_descriptor(permits), Gauge(page), objects, level, preloaded=preloaded)
    os.close(page)
    try:
        worker.serve()
    finally:
        # The child leaves by os._exit: say goodbye to the user's libraries here.
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
    return 0


class Worker:
    """The loop of a worker process."""

    def __init__(
        self,
        channel: socket.socket,
        permits: int,
        gauge: Gauge,
        beside: Beside,
        level: str = PROCESS,
        *,
        preloaded: bool = False,
    ) -> None:
        self._level = level
        self._preloaded = preloaded
        self._open_air = ""
        """Why it could not be shut in, though it had to."""
        self._pid = os.getpid()
        self._channel = channel
        self._permits = permits
        self._beside = beside
        outputs = (high_descriptor(os.dup(1)), high_descriptor(os.dup(2)))
        self._written = partial(gauge.written, outputs)
        """Returns how much has been written to the pipes of standard output and of standard error."""
        self._stream = channel.makefile("rb", buffering=65_536)
        self._bodies: dict[bytes, CodeBody] = {}
        self._functions: dict[bytes, Callable[..., Any]] = {}
        self._bound = False
        # The first task, which is told whole, brings these.
        self._surroundings: Surroundings
        self._kind: Kind
        """That of the last task that was told whole."""
        self._meter = Meter()
        self._allowed = allowed_cpus()
        self._cpus = self._allowed

    def serve(self) -> None:
        """Run what may be run until nothing can follow."""
        while permit := os.read(self._permits, 1):
            own = self._next()
            if own is None:
                return
            if isinstance(own, TaskFrame):
                self._prepare(own)
                self._beside.arrive(own)
            if permit != BEGIN:
                self._beside.clear()
                continue
            report = self._attempt(own)
            self._only_here()
            if own.objects or report.objects:
                self._beside.send()
            self._channel.sendall(encode_frame(report))
            if report.unclean:
                self._wait_for_the_end()

    def _next(self) -> TaskFrame | LikeFrame | None:
        head = self._stream.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return None
        return decode_task(self._stream.read(LENGTH.unpack(head)[0]))

    def _prepare(self, frame: TaskFrame) -> None:
        """Take from a frame what also holds for later ones."""
        self._kind = Kind(frame)
        for code in frame.forget:
            self._bodies.pop(code, None)
            self._functions.pop(code, None)
        if frame.fresh is not None:
            self._bodies[frame.code] = frame.fresh
        if not self._bound:
            # The first task binds this process to its sandbox, devices and thread count for life.
            self._confine(frame)
            os.environ.update(frame.environ)
            threads = frame.environ.get(THREAD_VARIABLES[0])
            if self._preloaded and threads:
                resize(int(threads))
            self._surroundings = Surroundings()
            self._bound = True

    def _confine(self, frame: TaskFrame) -> None:
        if frame.sandbox is not None:
            try:
                enter(frame)
            except (OSError, ValueError) as error:
                self._open_air = str(error)
        elif self._level == BWRAP and os.geteuid() == 0:
            drop_capabilities()

    def _attempt(self, own: TaskFrame | LikeFrame) -> ReportFrame:
        if 0 < own.until < monotonic():
            stdout_end, stderr_end = self._written()
            return ReportFrame(own.lease, OK, 0.0, late=True, stdout_end=stdout_end, stderr_end=stderr_end)
        if self._open_air:
            return _refusal(own.lease, self._open_air)
        kind = self._kind
        cpus = kind.frame.cpus or self._allowed
        if cpus != self._cpus:
            self._move_to(cpus)
        return run_attempt(kind, own, self._function, self._surroundings, self._meter, self._written, self._beside)

    def _wait_for_the_end(self) -> None:
        """Do nothing more: what is left in this process could disturb the next attempt, and the agent ends it."""
        while self._channel.recv(65_536):
            pass

    def _move_to(self, cpus: tuple[int, ...]) -> None:
        self._cpus = cpus
        run_on(cpus)

    def _function(self, code: bytes) -> Callable[..., Any]:
        function = self._functions.get(code)
        if function is None:
            function = self._functions[code] = load_code(self._bodies[code], code)
        return function

    def _only_here(self) -> None:
        """End a process that user code has forked and that fell out of the user's function."""
        if os.getpid() != self._pid:
            os._exit(0)


def _refusal(lease: int, why: str) -> ReportFrame:
    """Return the report of an attempt that was not to run in the open: its node is at fault, not the task."""
    error = ErrorInfo(
        "node_lost", "NoSandbox", f"the node promised a sandbox, and its worker could not enter it: {why}"
    )
    return ReportFrame(lease, CRASHED, 0.0, error=error)


def _settle(stdout: int, stderr: int, level: str) -> None:
    """Give the fresh child a session, standard streams, default signals and an empty `__main__` of its own."""
    os.setsid()
    become_subreaper()
    if level != NONE:
        harden_worker()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        if source > 2:
            os.close(source)
    # A segmentation fault prints where it happened; the last of stderr travels with the outcome.
    faulthandler.enable(2, all_threads=False)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminated)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- lives as long as the process
    sys.stdout = open(1, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 -- as above
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 -- as above
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")


def _terminated(_number: int, _frame: types.FrameType | None) -> None:
    """Unwind the user's code, so that its `finally` blocks run before the grace period ends."""
    raise SystemExit(128 + signal.SIGTERM)
