"""The objects of this node: their descriptors, by name. The bytes are the kernel's; this process never has them.

Rules
* What is in memory are sealed memfds, what is on disk are files without a name (bodies.py): whatever happens to the
  node, nothing is left behind.
* What is new goes to disk if it does not fit into the budget; what else goes there, the core says (core/objects.py).
  The copying is done by a thread, one object at a time. Small ones share files, so that descriptors do not run out;
  such a file goes with the last of them.
* Used on the loop only; the thread works with copies of descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from maze_node.bodies import MAPPED, is_in_memory, new_file, new_memory, seal
from maze_node.core.events import Event, ObjectSpilled
from maze_protocol.values import ObjectKey

__all__ = ["ObjectStore", "Room"]

log = logging.getLogger(__name__)
SEGMENT: Final = 64 << 20
"""Bytes of small objects in one file."""
AT_ONCE: Final = 16 << 20
"""Bytes that are copied before the thread looks whether it shall end."""


@dataclass(eq=False)
class Segment:
    """A file of one large object, or of several small ones; closed when nothing of it is wanted."""

    fd: int
    end: int = 0
    wanted: int = 0


@dataclass(eq=False)
class Room:
    """Where an object is, or is being written: `fd` from `offset` on."""

    size: int
    segment: Segment
    on_disk: bool
    offset: int = 0
    kept: bool = False
    """It is an object; before that it is being written, after that it is nothing."""

    @property
    def fd(self) -> int:
        """Return the descriptor."""
        return self.segment.fd


class ObjectStore:
    """Descriptors of objects.

    Args:
        budget: bytes of memory that new objects may take.
        directory: where files go.
        post: takes events.
    """

    def __init__(self, budget: int, directory: str, post: Callable[[Event], None]) -> None:
        self._budget = budget
        self._directory = directory
        self._post = post
        self._rooms: dict[ObjectKey, Room] = {}
        self._in_memory = 0
        self._current: Segment | None = None
        self._thread = ThreadPoolExecutor(1, "maze-spill")
        self._closed = False

    def __len__(self) -> int:
        return len(self._rooms)

    def open(self, key: ObjectKey) -> tuple[int, int, int] | None:
        """Return (descriptor, offset, size) of an object, None if it is not here. The descriptor stays the store's."""
        room = self._rooms.get(key)
        return (room.fd, room.offset, room.size) if room is not None else None

    def places(self, keys: Iterable[ObjectKey]) -> list[tuple[int, int]]:
        """Return (descriptor, offset) of objects that are here."""
        rooms = [self._rooms[key] for key in keys]
        return [(room.fd, room.offset) for room in rooms]

    # -- what comes

    def create(self, size: int) -> Room:
        """Make room for an object that is to be written: in memory, or on disk if the budget is used up.

        Raises:
            OSError: there is none.
        """
        room = None
        if self._in_memory + size <= self._budget:
            with contextlib.suppress(OSError):  # no memory: the disk may have room
                room = Room(size, Segment(new_memory(size), wanted=1), on_disk=False)
        if room is None:
            room = Room(size, Segment(new_file(self._directory), wanted=1), on_disk=True)
        self._count(room, 1)
        return room

    def commit(self, room: Room, key: ObjectKey) -> bool:
        """All bytes are there: it is an object from now on; return whether it is on disk."""
        if not room.on_disk:
            seal(room.fd)
        self._keep(room, key)
        return room.on_disk

    def abort(self, room: Room) -> None:
        """Give room back."""
        self._drop(room)

    def adopt(self, lease: int, numbers: Sequence[int], sizes: Sequence[int], descriptors: Sequence[int]) -> None:
        """Take objects that an attempt has made and written; the descriptors are the store's from now on."""
        for number, size, descriptor in zip(numbers, sizes, descriptors, strict=True):
            room = Room(size, Segment(descriptor, wanted=1), on_disk=not is_in_memory(descriptor))
            self._count(room, 1)
            self._keep(room, ObjectKey(lease, number))

    def _keep(self, room: Room, key: ObjectKey) -> None:
        old = self._rooms.pop(key, None)
        if old is not None:
            self._drop(old)
        room.kept = True
        self._rooms[key] = room

    # -- what goes

    def forget(self, keys: Iterable[ObjectKey]) -> None:
        """Let objects go."""
        for key in keys:
            room = self._rooms.pop(key, None)
            if room is not None:
                self._drop(room)

    def rename(self, old: int, new: int) -> None:
        """What a lease made is called by another one."""
        for key in [key for key in self._rooms if key.lease == old and not key.hash]:
            self._keep(self._rooms.pop(key), ObjectKey(new, key.output))

    def close(self) -> None:
        """Let everything go."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self.forget(list(self._rooms))

    def _drop(self, room: Room) -> None:
        room.kept = False
        self._count(room, -1)
        self._want_less(room.segment)

    def _want_less(self, segment: Segment) -> None:
        segment.wanted -= 1
        if not segment.wanted:
            os.close(segment.fd)
            if segment is self._current:
                self._current = None

    def _count(self, room: Room, sign: int) -> None:
        if not room.on_disk:
            self._in_memory += sign * room.size

    # -- memory to disk

    def spill(self, key: ObjectKey) -> None:
        """Move an object to disk; answered by ObjectSpilled."""
        room = self._rooms.get(key)
        if room is None or room.on_disk:
            self._post(ObjectSpilled(key, done=room is not None))
            return
        try:
            segment, offset = self._place(room.size)
        except OSError as error:
            self._stay(key, error)
            return
        segment.wanted += 1
        source = os.dup(room.fd)
        moving = asyncio.get_running_loop().run_in_executor(
            self._thread, self._copy, source, segment.fd, offset, room.size
        )
        moving.add_done_callback(lambda done: self._moved(key, room, segment, offset, done))

    def _place(self, size: int) -> tuple[Segment, int]:
        if size >= MAPPED:
            return Segment(new_file(self._directory)), 0
        if self._current is None or self._current.end >= SEGMENT:
            self._current = Segment(new_file(self._directory))
        offset = self._current.end
        self._current.end += size
        return self._current, offset

    def _copy(self, source: int, target: int, offset: int, size: int) -> bool:
        """Copy a whole object; in the thread."""
        try:
            os.lseek(target, offset, os.SEEK_SET)
            done = 0
            while done < size and not self._closed:
                sent = os.sendfile(target, source, done, min(AT_ONCE, size - done))
                if not sent:
                    raise OSError(errno.EIO, "an object ends early")
                done += sent
            return done == size
        finally:
            os.close(source)

    def _moved(self, key: ObjectKey, room: Room, segment: Segment, offset: int, done: asyncio.Future[bool]) -> None:
        if done.cancelled() or self._closed:
            self._want_less(segment)
            return
        error = done.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        if error is not None or not room.kept:
            self._want_less(segment)
        if error is not None:
            self._stay(key, error)
            return
        if room.kept:
            self._count(room, -1)
            self._want_less(room.segment)
            room.segment, room.offset, room.on_disk = segment, offset, True
        self._post(ObjectSpilled(key, done=True))

    def _stay(self, key: ObjectKey, error: BaseException) -> None:
        log.warning("an object stays in memory: the disk (%s) does not take it: %s", self._directory, error)
        self._post(ObjectSpilled(key, done=False))
