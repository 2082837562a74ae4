"""`python -m maze_node.spawner FD PARENT ISOLATION [MODULE…]`: forks warm workers on request and reaps them.

A process of its own because forking is only safe from a single thread, and fast only from a small process: the agent
has ZeroMQ's threads. It is exec'd, never forked from the agent, so it inherits nothing but the control socket.

Rules
* One thread, one loop: packets of the agent, and signals through a wakeup descriptor. No handler raises: SIGTERM (the
  kernel sends it when the agent dies) and the end of the socket come together, and one must not cut the other's sweep.
* Only this process signals workers: it is their reaper, so a pid that it knows cannot have been reused.
* A child that is not a known worker is the orphan of a dead one (workers are subreapers): killed at once.
* A worker's exit is told when nothing of it is left: its process group is empty, and no orphan that appeared with its
  death lives. The agent gives its slot away on that word.
* When the agent is gone (end of the control socket), everything below is killed before the spawner exits.
* What workers shall start with is imported here, before the first fork. If that makes a fork unsafe (preload.py), the
  process replaces itself, and goes on without the module that did.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from types import FrameType
from typing import Final, NamedTuple, NoReturn

from maze_node import hugepages, worker
from maze_node.frames import Exited, Fork, Forked, Kill, Ping, Preloaded, decode_packet, encode_packet
from maze_node.isolation import PROCESS
from maze_node.limits import become_subreaper, children, die_with
from maze_node.preload import import_all
from maze_node.workdirs import remove_all, remove_of

__all__ = ["Spawner", "main"]

SWEEP_SECONDS: Final = 5
_DESCRIPTORS: Final = 6
_TROUBLE: Final = "MAZE_PRELOAD_TROUBLE"
"""What earlier lives of this process found out about modules, as JSON."""
_LOOK_AGAIN_MS: Final = 10
"""While a dead worker's family is still dying: not all of it are our children, so no signal tells the end of it."""


class Dead(NamedTuple):
    """A worker that is reaped, and whose family may still be dying."""

    pid: int
    exited: Exited
    older: frozenset[int]
    """Orphans that were there before: they are not of this family."""


class Spawner:
    """The parent of all workers."""

    def __init__(self, control: socket.socket, level: str = PROCESS, *, preloaded: bool = False) -> None:
        self._control = control
        self._level = level
        self._preloaded = preloaded
        self._pids: dict[int, int] = {}
        self._workers: dict[int, int] = {}
        self._dead: list[Dead] = []
        self._orphans: frozenset[int] = frozenset()
        self._leaving = False
        self._wakeup_read, self._wakeup_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> None:
        """Work until the agent goes away."""
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_term)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(self._wakeup_read, select.POLLIN)
        try:
            while not self._leaving:
                ready = {descriptor for descriptor, _ in poller.poll(_LOOK_AGAIN_MS if self._dead else None)}
                if self._wakeup_read in ready:
                    self._drain_wakeup()
                if self._wakeup_read in ready or self._dead:
                    self._reap()
                if self._control.fileno() in ready and not self._take_packet():
                    return
        finally:
            self._sweep()

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._leaving = True

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wakeup_read, 4096):
                pass

    def _take_packet(self) -> bool:
        data, ancillary, _, _ = self._control.recvmsg(65_536, socket.CMSG_SPACE(_DESCRIPTORS * 4))
        if not data:
            return False
        packet = decode_packet(data)
        if isinstance(packet, Fork):
            self._fork(packet.worker, _descriptors(ancillary))
        elif isinstance(packet, Kill):
            self._kill(packet.worker, packet.signal)
        elif isinstance(packet, Ping):
            self._say(packet)
        return True

    def _fork(self, number: int, descriptors: list[int]) -> None:
        me = os.getpid()
        # A child that is told to end before it has its own handler must not take ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            self._become_worker(me, descriptors)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for descriptor in descriptors:
            os.close(descriptor)
        self._pids[number] = pid
        self._workers[pid] = number
        self._say(Forked(number, pid))

    def _become_worker(self, parent: int, descriptors: list[int]) -> NoReturn:
        status = 1
        try:
            if not die_with(parent, signal.SIGKILL):
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            self._control.close()
            os.close(self._wakeup_read)
            os.close(self._wakeup_write)
            status = worker.run(*descriptors, level=self._level, preloaded=self._preloaded)
        finally:
            # Never unwind into the spawner's own loop.
            os._exit(status)

    def _kill(self, number: int, number_of_signal: int) -> None:
        pid = self._pids.get(number)
        if pid is None:
            return
        _signal_group(pid, number_of_signal)

    def _reap(self) -> None:
        for pid, status, usage in _dead_children():
            number = self._workers.pop(pid, None)
            if number is None:
                continue
            del self._pids[number]
            exited = Exited(number, status, usage.ru_maxrss, (usage.ru_utime + usage.ru_stime) * 1000)
            self._dead.append(Dead(pid, exited, self._orphans))
        self._kill_orphans()
        self._dead = [dead for dead in self._dead if not self._is_gone(dead)]

    def _is_gone(self, dead: Dead) -> bool:
        """Tell whether nothing is left of a dead worker, and if so say it; else kill what is left once more."""
        # As long as its group has members, the kernel does not reuse its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(dead.pid, signal.SIGKILL)
            return False
        if self._orphans - dead.older:
            return False
        remove_of(os.getpid(), dead.pid)
        self._say(dead.exited)
        return True

    def _kill_orphans(self) -> None:
        self._orphans = frozenset(pid for pid in children() if pid not in self._workers)
        for pid in self._orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _say(self, packet: Forked | Exited | Ping) -> None:
        # If the agent is gone, the loop learns it from the socket's end.
        with contextlib.suppress(OSError):
            self._control.send(encode_packet(packet))

    def _sweep(self) -> None:
        """Kill all that is left below, and wait until it is gone."""
        # What cannot die now (it hangs in the kernel) must not keep us: the alarm ends us, and that ends the workers.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SWEEP_SECONDS)
        for pid in self._workers:
            _signal_group(pid, signal.SIGKILL)
        self._workers.clear()
        while True:
            self._kill_orphans()
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        remove_all(os.getpid())


def _signal_group(pid: int, number: int) -> None:
    """Signal a worker's process group, or the worker alone if it has not made its group yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _dead_children() -> list[tuple[int, int, resource.struct_rusage]]:
    dead = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                break
            dead.append((pid, status, usage))
    return dead


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def _preload(control: socket.socket, names: list[str]) -> tuple[str, ...]:
    """Import modules for all workers and tell the agent; start this process anew if one makes it unfit to fork."""
    trouble: dict[str, str] = json.loads(os.environ.pop(_TROUBLE, "{}"))
    if not names and not trouble:
        return ()
    imported = import_all(names)
    trouble |= imported.absent
    if imported.refused is not None:
        name, why = imported.refused
        trouble[name] = why
        left = [each for each in names if each not in trouble]
        control.set_inheritable(True)
        command = [sys.executable, "-P", "-m", "maze_node.spawner", *sys.argv[1:4], *left]
        os.execve(sys.executable, command, {**os.environ, _TROUBLE: json.dumps(trouble)})  # noqa: S606 -- our own interpreter
    control.send(encode_packet(Preloaded(imported.loaded, trouble)))
    return imported.loaded


def main() -> None:
    """Run the spawner on the descriptor named on the command line, with the modules named at its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    become_subreaper()
    if not die_with(int(sys.argv[2]), signal.SIGTERM):
        return
    worker.preload()
    loaded = _preload(control, sys.argv[4:])
    hugepages.forget()
    # Collections would touch, and so copy, pages that all workers share.
    gc.collect()
    gc.freeze()
    Spawner(control, sys.argv[3], preloaded=bool(loaded)).serve()


if __name__ == "__main__":
    main()
