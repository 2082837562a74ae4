"""The agent's end of one worker: its task socket and its two output pipes, on the event loop.

Attribution of output is exact: when a report arrives, everything that the attempt wrote is already in the pipes,
so they are drained (one pipe's capacity is enough) before the report is passed on and the next task is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable
from typing import Final

from maze_node.core.events import LogTails
from maze_node.frames import FrameBuffer, ReportFrame, TaskFrame, decode_report, encode_frame
from maze_node.logs import STDERR, STDOUT, Logs

__all__ = ["Channel"]

READ_BYTES: Final = 256 * 1024
PIPE_BYTES: Final = 64 * 1024


class Channel:
    """One worker as the agent's shell sees it."""

    def __init__(
        self,
        number: int,
        loop: asyncio.AbstractEventLoop,
        logs: Logs,
        on_report: Callable[[int, ReportFrame, LogTails], None],
    ) -> None:
        self.number = number
        self.pid = 0
        self._loop = loop
        self._logs = logs
        self._on_report = on_report
        self._lease = 0
        self._socket, self._far = socket.socketpair()
        self._socket.setblocking(False)
        self._buffer = FrameBuffer()
        self._outgoing = bytearray()
        self._writing = False
        self._pipes: dict[int, int] = {}
        self._far_pipes: list[int] = []
        self._poller = select.poll()
        for stream in (STDOUT, STDERR):
            self._pipes[stream], far = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._pipes[stream], False)
            self._far_pipes.append(far)
            self._poller.register(self._pipes[stream], select.POLLIN)
        loop.add_reader(self._socket.fileno(), self._on_socket)
        for stream, descriptor in self._pipes.items():
            loop.add_reader(descriptor, self._on_pipe, stream)

    @property
    def far_ends(self) -> tuple[int, int, int]:
        """Return the descriptors that the worker gets."""
        return self._far.fileno(), self._far_pipes[0], self._far_pipes[1]

    def close_far_ends(self) -> None:
        """Close our copies of the worker's descriptors, once it has them."""
        self._far.close()
        for descriptor in self._far_pipes:
            os.close(descriptor)
        self._far_pipes = []

    def start(self, frame: TaskFrame) -> None:
        """Send a task and capture what is written from now on under its lease."""
        self._lease = frame.lease
        self._outgoing += encode_frame(frame)
        self._write()

    def dismiss(self) -> None:
        """Let the worker find the end of its task socket."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def rename(self, old: int, new: int) -> None:
        """The attempt goes on under another lease."""
        if self._lease == old:
            self._lease = new

    def finish(self) -> LogTails:
        """The worker is dead: take what is left in its pipes, close everything, return the attempt's tails."""
        for stream in list(self._pipes):
            self._read_pipe(stream)
        tails = self._logs.end(self._lease) if self._lease else LogTails()
        self.close()
        return tails

    def close(self) -> None:
        """Close our ends."""
        if self._far_pipes:
            self.close_far_ends()
        if self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket.fileno())
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        for stream in list(self._pipes):
            self._close_pipe(stream)

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

    def _on_socket(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # The exit is the spawner's to report: forked children may hold the socket longer than the worker lives.
            self._loop.remove_reader(self._socket.fileno())
            return
        for body in self._buffer.feed(data):
            self._take_report(decode_report(body))

    def _take_report(self, report: ReportFrame) -> None:
        # One poll for both: usually neither has anything.
        if self._poller.poll(0):
            for stream in list(self._pipes):
                self._read_pipe(stream)
        tails = self._logs.end(self._lease)
        self._lease = 0
        self._on_report(self.number, report, tails)

    def _on_pipe(self, stream: int) -> None:
        if self._read_pipe(stream) is False:
            self._close_pipe(stream)

    def _read_pipe(self, stream: int) -> bool | None:
        """Read up to a pipe's capacity; False at its end, None if it was empty."""
        try:
            data = os.read(self._pipes[stream], PIPE_BYTES)
        except BlockingIOError:
            return None
        if data and self._lease:
            self._logs.append(self._lease, stream, data)
        return bool(data)

    def _close_pipe(self, stream: int) -> None:
        descriptor = self._pipes.pop(stream)
        self._poller.unregister(descriptor)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
