"""The agent's side of the spawner and of all workers: obeys Fork, Start, Signal, Dismiss; reports what happened.

A spawner that dies (killed, out of memory) is replaced at once. One that does not answer (stopped, stuck) is killed:
without it nothing starts, ends or is buried. Its workers die with it by PDEATHSIG and become our children (we are a
subreaper): each is buried here with all that it leaves before its exit is reported, so that no slot is taken early.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from maze_node.box import Box, outer_pid
from maze_node.channel import Channel
from maze_node.core.events import (
    TakenBack,
    WorkerExited,
    WorkerForked,
    WorkersDoomed,
)
from maze_node.frames import (
    Exited,
    Fork,
    Forked,
    Kill,
    LikeFrame,
    Ping,
    Preloaded,
    TaskFrame,
    decode_packet,
    encode_packet,
)
from maze_node.isolation import Isolation
from maze_node.limits import become_subreaper, children
from maze_node.logs import Logs
from maze_node.oom import OomWatch
from maze_node.spawning import Spawned, launch
from maze_node.store import ObjectStore
from maze_node.turns import Turns
from maze_node.workdirs import remove_all

__all__ = ["Pool"]

log = logging.getLogger(__name__)
BURY_INTERVAL: Final = 0.02
RESTART_DELAY: Final = 0.2
STOP_SECONDS: Final = 6.0
MAX_UNANSWERED: Final = 16
"""Ticks without an answer of the spawner: eight seconds, more than it needs to start on a busy machine."""
PRELOAD_TICKS: Final = 240
"""The same while it imports what workers shall start with."""


class Pool:
    """Spawner and workers of this node."""

    def __init__(
        self,
        turns: Turns,
        logs: Logs,
        objects: ObjectStore,
        preload: tuple[str, ...] = (),
        work_dir: Path | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self._work_dir = work_dir
        self._isolation = isolation
        self._lost: list[tuple[int, Box | None]] = []
        """Spawners that died, and may have left files of their workers."""
        self._box: Box | None = None
        self._preload = preload
        self._preloading = bool(preload)
        self._turns = turns
        self._loop = turns.loop
        self._post = turns.post
        self._logs = logs
        self._objects = objects
        self._channels: dict[int, Channel] = {}
        self._dying: dict[int, Channel] = {}
        self._buried: list[tuple[Channel, int]] = []
        self._to_push: dict[int, Channel] = {}
        self._queue: deque[tuple[bytes, int]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._oom = OomWatch()
        self._unanswered = 0
        self._stopping = False
        self._strangers = set(children())
        """Children that are not ours to kill: whoever hosts this pool had them before."""
        become_subreaper()

    @property
    def spawner_pid(self) -> int:
        """Return the spawner's pid, 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self, spawned: Spawned | None = None) -> None:
        """Take a spawner, or start one."""
        spawned = spawned or launch(self._preload, self._work_dir, self._isolation)
        self._process, control, self._box = spawned
        self._preloading = bool(self._preload)
        self._control = control
        self._unanswered = 0
        self._loop.add_reader(control.fileno(), self._turns.ending(self._on_control))
        self._send_queued()

    @property
    def attentive(self) -> bool:
        """Tell whether a report may be heard at any moment; else all workers that are at work rest for a while."""
        return any(channel.attentive for channel in self._channels.values())

    def fork(self, number: int) -> None:
        """Order a worker."""
        self._channels[number] = Channel(number, self._turns, self._logs, self._objects, self._post)
        self._send(encode_packet(Fork(number)), number)

    def give(self, number: int, frames: Iterable[TaskFrame | LikeFrame]) -> None:
        """Give a worker tasks; `push` sends them."""
        channel = self._channels.get(number)
        if channel is not None:
            channel.give(frames)
            self._to_push[number] = channel

    def push(self) -> None:
        """End a turn: send each worker what it was given, at once."""
        channels, self._to_push = self._to_push, {}
        for channel in channels.values():
            channel.push()

    def take_back(self, number: int, leases: tuple[int, ...]) -> None:
        """Take back what a worker has not begun."""
        # In its order: what was given earlier in the turn is permitted by then.
        self.push()
        channel = self._channels.get(number) or self._dying.get(number)
        self._post(TakenBack(number, channel.take_back(leases) if channel is not None else ()))

    def signal(self, number: int, name: str) -> None:
        """Signal a worker's process group."""
        self._send(encode_packet(Kill(number, signal.Signals[name])), 0)

    def dismiss(self, number: int) -> None:
        """Let an idle worker go."""
        channel = self._channels.get(number)
        if channel is not None:
            channel.dismiss()

    def rename(self, old: int, new: int) -> None:
        """An attempt goes on under another lease."""
        self._logs.rename(old, new)
        for channel in self._channels.values():
            channel.rename(old, new)

    def tick(self) -> None:
        """Look after the spawner; called about twice per second."""
        self._oom.tick()
        if self._process is None:
            return
        # Counted in ticks, so that a standstill of our own does not look like one of the spawner's.
        self._unanswered += 1
        if self._unanswered > (PRELOAD_TICKS if self._preloading else MAX_UNANSWERED):
            log.warning("the spawner does not answer; ending it")
            self._process.kill()
        elif self._unanswered == 1:
            self._send(encode_packet(Ping()), 0)

    async def stop(self) -> None:
        """End the spawner, and with it every worker and all that tasks have started."""
        self._stopping = True
        self._drop_control()
        process, self._process = self._process, None
        if process is not None:
            await self._end(process)
            _clear(process.pid, self._box)
        for channel in (*self._channels.values(), *self._dying.values(), *(channel for channel, _ in self._buried)):
            channel.close()
        self._channels.clear()
        self._dying.clear()
        for _ in range(int(STOP_SECONDS / BURY_INTERVAL)):
            if not self._kill_orphans():
                return
            await asyncio.sleep(BURY_INTERVAL)

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        deadline = self._loop.time() + STOP_SECONDS
        while process.poll() is None:
            if self._loop.time() > deadline:
                process.kill()
            await asyncio.sleep(BURY_INTERVAL)

    # -- spawner

    def _send(self, packet: bytes, fork: int) -> None:
        self._queue.append((packet, fork))
        self._send_queued()

    def _send_queued(self) -> None:
        control = self._control
        while control is not None and self._queue:
            packet, fork = self._queue[0]
            channel = self._channels.get(fork)
            try:
                if channel is not None:
                    socket.send_fds(control, [packet], channel.far_ends)
                else:
                    control.send(packet)
            except BlockingIOError:
                self._loop.add_writer(control.fileno(), self._send_queued)
                return
            except OSError:
                return  # the spawner is gone; _on_control finds out
            if channel is not None:
                channel.close_far_ends()
            self._queue.popleft()
        if control is not None:
            self._loop.remove_writer(control.fileno())

    def _on_control(self) -> None:
        assert self._control is not None, "a reader exists only with its socket"
        for _ in range(64):
            try:
                data = self._control.recv(65_536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._on_spawner_lost()
                return
            packet = decode_packet(data)
            if isinstance(packet, Forked):
                self._on_forked(packet)
            elif isinstance(packet, Exited):
                self._on_exited(packet)
            elif isinstance(packet, Ping):
                self._unanswered = 0
            elif isinstance(packet, Preloaded):
                self._on_preloaded(packet)

    def _on_preloaded(self, packet: Preloaded) -> None:
        self._preloading = False
        self._preload = packet.loaded
        if packet.loaded:
            log.info("workers start with %s", ", ".join(packet.loaded))
        for name, why in packet.trouble.items():
            log.warning("workers do not start with %s (--preload): %s", name, why)

    def _on_forked(self, packet: Forked) -> None:
        pid = packet.pid if self._box is None else outer_pid(self.spawner_pid, packet.pid)
        self._channels[packet.worker].pid = pid
        self._post(WorkerForked(packet.worker, pid))

    def _on_exited(self, packet: Exited) -> None:
        channel = self._channels.pop(packet.worker)
        self._report_exit(channel, packet.status, packet.peak_rss_kib, packet.cpu_ms)

    def _report_exit(self, channel: Channel, status: int, peak: int, cpu_ms: float, *, blameless: bool = False) -> None:
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self._post(
            WorkerExited(
                channel.number,
                _signal_name(killed),
                None if killed else os.WEXITSTATUS(status),
                peak,
                cpu_ms,
                channel.finish(),
                killed == signal.SIGKILL and self._oom.seen(),
                blameless,
            )
        )

    # -- a spawner's death

    def _on_spawner_lost(self) -> None:
        self._drop_control()
        if self._stopping or self._process is None:
            return
        log.warning("the spawner died; starting another one", extra={"status": self._process.wait()})
        if self._preloading:
            log.warning("workers start without %s (--preload): the spawner died of it", ", ".join(self._preload))
            self._preload = ()
        self._lost.append((self._process.pid, self._box))
        self._process = None
        self._queue = deque(item for item in self._queue if item[1])
        waiting = {fork for _, fork in self._queue}
        for number in [number for number in self._channels if number not in waiting]:
            self._dying[number] = self._channels.pop(number)
        self._post(WorkersDoomed(tuple(self._dying)))
        self._bury()
        self._loop.call_later(RESTART_DELAY, self._restart)

    def _restart(self) -> None:
        if not self._stopping and self._process is None:
            self.start()

    def _bury(self) -> None:
        """Reap the dead spawner's workers; report their exits when nothing of them is left."""
        if self._stopping:
            return
        for number, channel in list(self._dying.items()):
            status = _reaped(channel.pid)
            if status is not None:
                del self._dying[number]
                self._buried.append((channel, status))
        if self._kill_orphans() or self._dying:
            self._loop.call_later(BURY_INTERVAL, self._bury)
            return
        while self._lost:
            _clear(*self._lost.pop())
        buried, self._buried = self._buried, []
        for channel, status in buried:
            self._report_exit(channel, status, 0, 0.0, blameless=True)

    def _kill_orphans(self) -> bool:
        """Kill and reap what tasks of a dead spawner have left to us; tell whether something was there."""
        known = self._strangers | {self.spawner_pid} | {channel.pid for channel in self._dying.values()}
        orphans = [pid for pid in children() if pid not in known]
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        return bool(orphans)

    def _drop_control(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            self._loop.remove_reader(control.fileno())
            self._loop.remove_writer(control.fileno())
            control.close()


def _clear(spawner: int, box: Box | None) -> None:
    """Remove what the workers of a spawner that is gone have left on disk."""
    if box is None:
        remove_all(spawner)
    else:
        box.close()


def _reaped(pid: int) -> int | None:
    """Return the wait status of a dead process, or None while it lives. A process nobody knows died unseen."""
    if pid == 0:
        return signal.SIGKILL
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None if os.path.exists(f"/proc/{pid}") else signal.SIGKILL
    return status if found else None


def _signal_name(number: int) -> str:
    if not number:
        return ""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
