"""The agent's end of one worker: its task socket, its permits and its two output pipes, on the event loop.

Attribution of output is exact, though the next attempt may begin before anything of the last one has been read: each
report tells at which byte of either stream its attempt ended (gauge.py). What was read beyond the last known end is the
current attempt's as soon as the socket, looked at afterwards, holds no further report.

A worker that has much in hand is not listened to for a while: several of its reports are fetched at once (`rest_of`).
Waking up for each costs more, on both sides, than a tiny attempt that it tells of.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from maze_node.core import outcomes
from maze_node.core.events import LogTails, WorkerReported
from maze_node.core.inputs import refs_of
from maze_node.descriptors import Givings
from maze_node.frames import FrameBuffer, LikeFrame, ReportFrame, TaskFrame, decode_report, encode_frame
from maze_node.gauge import Gauge
from maze_node.logs import STDERR, STDOUT, Logs
from maze_node.permits import Permits
from maze_node.store import ObjectStore
from maze_node.turns import Turns
from maze_protocol.values import key_of

__all__ = ["Channel", "rest_of"]

READ_BYTES: Final = 256 * 1024
_RECEIVED: Final = memoryview(bytearray(READ_BYTES))
# One for all, used within a call: one made for each call would be mapped and unmapped by the kernel each time.
PIPE_BYTES: Final = 64 * 1024
SHORTEST_REST: Final = 0.001
LONGEST_REST: Final = 0.005
SEVERAL: Final = 2
RISE: Final = 8
"""One part of so many of a longer call counts at once, a shorter one all."""
BESIDE: Final = 30e-6
"""Seconds that a worker needs for an attempt besides the call."""


def rest_of(in_hand: int, wall_ms: float) -> float:
    """Return for how many seconds a worker need not be listened to; 0: do.

    It works for half of that on what it has in hand, and several reports come meanwhile: one that ends later than
    expected, or a last one, is never kept waiting for more than LONGEST_REST.

    Args:
        in_hand: how many tasks it has that it has not reported.
        wall_ms: how long a call takes.
    """
    each = wall_ms / 1000 + BESIDE
    rest = min(LONGEST_REST, in_hand * each / 2)
    return rest if rest >= max(SHORTEST_REST, SEVERAL * each) else 0.0


class Stream:
    """One output pipe of a worker."""

    def __init__(self, number: int, gauge: Gauge) -> None:
        self.number = number
        self._place = number - STDOUT
        self._gauge = gauge
        self.descriptor, self.far = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.descriptor, False)
        self.pending = b""
        """Read, and not known whose."""
        self.passed = 0
        """How much was read and is somebody's."""

    def read(self) -> bool | None:
        """Read up to a pipe's capacity; False at its end, None if it was empty."""
        try:
            data = self._gauge.read(self._place, self.descriptor, PIPE_BYTES)
        except BlockingIOError:
            return None
        self.pending += data
        return bool(data)

    def up_to(self, end: int) -> bytes:
        """Return what was written up to that byte; all of it is in the pipe by now."""
        while self.passed + len(self.pending) < end and self.read():
            pass
        return self.take(max(0, end - self.passed))

    def take(self, size: int) -> bytes:
        """Return that much of what was read, as somebody's."""
        data, self.pending = self.pending[:size], self.pending[size:]
        self.passed += len(data)
        return data


class Channel:
    """One worker as the agent's shell sees it."""

    def __init__(
        self,
        number: int,
        turns: Turns,
        logs: Logs,
        objects: ObjectStore,
        on_report: Callable[[WorkerReported], None],
    ) -> None:
        self.number = number
        self.pid = 0
        self._turns = turns
        self._loop = loop = turns.loop
        self._on_socket = turns.ending(self._take_socket)
        self._logs = logs
        self._objects = objects
        self._on_report = on_report
        self._leases: deque[int] = deque()
        """What the worker was permitted to begin and has not reported."""
        self._socket, self._far = socket.socketpair()
        self._socket.setblocking(False)
        self._permits = Permits()
        self._beside = Givings(loop)
        self._gauge = Gauge()
        self._buffer = FrameBuffer()
        self._outgoing = bytearray()
        self._given = 0
        self._writing = False
        self._stdout, self._stderr = Stream(STDOUT, self._gauge), Stream(STDERR, self._gauge)
        self._streams = (self._stdout, self._stderr)
        loop.add_reader(self._socket.fileno(), self._on_socket)
        for stream in self._streams:
            loop.add_reader(stream.descriptor, turns.ending(self._on_pipe), stream)
        self.listens = True
        """Whether each report wakes us up."""
        self._usual_ms = 0.0
        """How long a call takes here that has a CPU: one that had to wait for it tells little of the next."""
        self._open = True

    @property
    def attentive(self) -> bool:
        """Tell whether a report may come at any moment, and would be heard."""
        return self.listens and bool(self._leases)

    @property
    def far_ends(self) -> tuple[int, ...]:
        """Return the descriptors that the worker gets."""
        outputs = (stream.far for stream in self._streams)
        return (
            self._far.fileno(), self._permits.far_end, *outputs, self._gauge.descriptor, self._beside.far.fileno()
        )  # fmt: skip

    def close_far_ends(self) -> None:
        """Close our copies of the worker's descriptors, once it has them."""
        if self._far.fileno() < 0:
            return
        self._far.close()
        self._permits.close_far_end()
        self._beside.far.close()
        os.close(self._gauge.descriptor)
        for stream in self._streams:
            os.close(stream.far)

    def give(self, frames: Iterable[TaskFrame | LikeFrame]) -> None:
        """Put tasks behind those that the worker has; `push` sends them."""
        for frame in frames:
            self._leases.append(frame.lease)
            if frame.objects:
                self._beside.give(self._objects.places(map(key_of, refs_of(frame.inputs))))
            self._outgoing += encode_frame(frame)
            self._given += 1

    def push(self) -> None:
        """Send what was given, and permit it."""
        if self._outgoing and not self._writing:
            self._write()
        if self._given:
            self._permits.give(self._given)
            self._given = 0

    def take_back(self, leases: tuple[int, ...]) -> tuple[int, ...]:
        """Forbid the last tasks, as far as they have not begun; return those that have not, and never will."""
        count = self._permits.take_back(len(leases))
        for _ in range(count):
            self._leases.pop()
        return leases[len(leases) - count :]

    def dismiss(self) -> None:
        """Let the worker find the end of its permits."""
        self._permits.end()

    def rename(self, old: int, new: int) -> None:
        """The attempt goes on under another lease."""
        if old in self._leases:
            self._leases[self._leases.index(old)] = new

    def finish(self) -> LogTails:
        """The worker is dead: take what is left of it, close everything, return the tails of the attempt it died in."""
        for stream in self._streams:
            stream.read()
        self._settle()
        tails = self._logs.end(self._leases[0]) if self._leases else LogTails()
        self.close()
        return tails

    def close(self) -> None:
        """Close our ends."""
        if not self._open:
            return
        self._open = False
        self.close_far_ends()
        self._loop.remove_writer(self._socket.fileno())
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._permits.close()
        self._beside.close()
        for stream in self._streams:
            self._loop.remove_reader(stream.descriptor)
            os.close(stream.descriptor)
        self._gauge.close()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:  # the worker is dying; its exit is reported by the spawner
            self._outgoing.clear()
            sent = 0
        del self._outgoing[:sent]
        if bool(self._outgoing) is not self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._socket.fileno(), self._write)
            else:
                self._loop.remove_writer(self._socket.fileno())

    def _take_socket(self) -> None:
        received = self._receive()
        if received is False:
            # The exit is the spawner's to report: forked children may hold the socket longer than the worker lives.
            self._loop.remove_reader(self._socket.fileno())
            return
        if self._stdout.pending or self._stderr.pending:
            self._settle()
        self._rest(rest_of(len(self._leases), self._usual_ms) if received else 0.0)

    def _rest(self, seconds: float) -> None:
        """Look at the socket again after so many seconds; 0: as soon as something comes."""
        listening = not seconds
        if listening is not self.listens:
            self.listens = listening
            if listening:
                self._loop.add_reader(self._socket.fileno(), self._on_socket)
            else:
                self._loop.remove_reader(self._socket.fileno())
        if not listening:
            # Those that rest wake up together, and are one turn.
            step = LONGEST_REST if seconds >= LONGEST_REST else SHORTEST_REST
            self._turns.at((self._loop.time() + seconds) // step * step, self._fetch)

    def _fetch(self) -> None:
        if self._open:
            self._take_socket()

    def _receive(self) -> bool | None:
        """Take reports that have come; False if there will be no more, None if there are none now."""
        try:
            size = self._socket.recv_into(_RECEIVED)
        except BlockingIOError:
            return None
        except OSError:
            return False
        for body in self._buffer.feed(bytes(_RECEIVED[:size])):
            self._take_report(decode_report(body))
        return size > 0

    def _take_report(self, report: ReportFrame) -> None:
        lease = self._leases.popleft()
        usual, wall = self._usual_ms, report.wall_ms
        self._usual_ms = wall if wall <= usual else usual + (wall - usual) / RISE
        if report.objects:
            report = self._with_objects(report)
        if report.stdout_end > self._stdout.passed:
            self._note(lease, self._stdout, self._stdout.up_to(report.stdout_end))
        if report.stderr_end > self._stderr.passed:
            self._note(lease, self._stderr, self._stderr.up_to(report.stderr_end))
        self._on_report(WorkerReported(self.number, report, self._logs.end(lease)))

    def _with_objects(self, report: ReportFrame) -> ReportFrame:
        """Put into the store what came beside a report."""
        descriptors = self._beside.take(report.objects)
        if not descriptors:
            return outcomes.without_objects(report)
        numbers = [number for number, output in enumerate(report.outputs) if output.value.ref is not None]
        sizes = [report.outputs[number].value.size for number in numbers]
        self._objects.adopt(report.lease, numbers, sizes, descriptors)
        return report

    def _on_pipe(self, stream: Stream) -> None:
        if stream.read() is False:
            self._loop.remove_reader(stream.descriptor)
        self._settle()

    def _settle(self) -> None:
        """Find out whose it is what was read."""
        while self._receive():
            pass
        for stream in self._streams:
            data = stream.take(len(stream.pending))
            if self._leases:
                self._note(self._leases[0], stream, data)

    def _note(self, lease: int, stream: Stream, data: bytes) -> None:
        if data:
            self._logs.append(lease, stream.number, data)
