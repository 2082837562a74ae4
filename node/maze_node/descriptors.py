"""Descriptors of objects that go beside frames, between the agent and one worker: over a socket of their own.

Rules
* They are sent before the frame that tells how many there are, in its order; whoever reads the frame takes them then.
  So frames without objects cost nothing, and their stream needs no ancillary data.
* Some at a time: the kernel takes at most 253 in one packet, and a worker that has the usual 1,024 descriptors must be
  able to take them.
* Beside each goes where the object begins in it.
* What nobody has taken when the socket closes is closed by the kernel.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

__all__ = ["Givings", "give", "take"]

AT_ONCE: Final = 64
_PLACE: Final = struct.Struct("=Q")
_CMSG_CLOEXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def give(channel: socket.socket, descriptors: Sequence[int], offsets: Sequence[int] = ()) -> None:
    """Send descriptors over a socket that waits; they stay open here."""
    for start in range(0, len(descriptors), AT_ONCE):
        part = descriptors[start : start + AT_ONCE]
        socket.send_fds(channel, [_places(offsets[start : start + AT_ONCE] or [0] * len(part))], part)


def take(channel: socket.socket, count: int) -> Iterator[tuple[int, int]]:
    """Yield (descriptor, offset) of that many that were sent; -1 for those that this process may not have open, too."""
    while count > 0:
        data, ancillary, _, _ = channel.recvmsg(
            AT_ONCE * _PLACE.size, socket.CMSG_LEN(AT_ONCE * array.array("i").itemsize), _CMSG_CLOEXEC
        )
        if not data:
            return
        offsets = [offset for (offset,) in _PLACE.iter_unpack(data)]
        count -= len(offsets)
        found = _received(ancillary)
        yield from zip(found + [-1] * (len(offsets) - len(found)), offsets, strict=True)


def _places(offsets: Iterable[int]) -> bytes:
    return b"".join(map(_PLACE.pack, offsets))


def _received(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


class Givings:
    """The agent's end: sends without waiting, and keeps copies of what could not be sent yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.socket, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self._queue: deque[tuple[int, int]] = deque()
        self._waiting = False

    def give(self, places: Iterable[tuple[int, int]]) -> None:
        """Send (descriptor, offset) of objects, in order."""
        self._queue.extend((os.dup(descriptor), offset) for descriptor, offset in places)
        if not self._waiting:
            self._push()

    def take(self, count: int) -> list[int]:
        """Return the descriptors that a worker has sent; none if there is no room for all of them here."""
        found = [descriptor for descriptor, _ in take(self.socket, count)]
        if -1 not in found:
            return found
        for descriptor in found:
            if descriptor >= 0:
                os.close(descriptor)
        return []

    def close(self) -> None:
        """Close our ends and what was not sent."""
        if self.socket.fileno() >= 0:
            self._loop.remove_writer(self.socket.fileno())
        self.socket.close()
        self.far.close()
        while self._queue:
            os.close(self._queue.popleft()[0])

    def _push(self) -> None:
        while self._queue:
            part = [self._queue[place] for place in range(min(AT_ONCE, len(self._queue)))]
            try:
                socket.send_fds(self.socket, [_places(offset for _, offset in part)], [fd for fd, _ in part])
            except BlockingIOError:
                break
            except OSError:
                pass  # the worker is dying; its exit is told by the spawner
            for descriptor, _ in part:
                os.close(descriptor)
                self._queue.popleft()
        if bool(self._queue) is not self._waiting:
            self._waiting = not self._waiting
            if self._waiting:
                self._loop.add_writer(self.socket.fileno(), self._push)
            else:
                self._loop.remove_writer(self.socket.fileno())
