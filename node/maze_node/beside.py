"""What an attempt gets and gives beside its frames, in the worker: descriptors of objects.

Rules
* Inputs are mapped when they are decoded, each once, however often it is named; what is mapped then belongs to the
  values that were decoded, and lives as long as they do.
* Outputs that are too large for a report are written here, straight from the buffers of the value; until they are
  sent, they vanish with the worker.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

from maze_node.bodies import read_body, write_body
from maze_node.core.inputs import refs_of
from maze_node.descriptors import give, take
from maze_node.errors import TaskFault
from maze_node.frames import TaskFrame
from maze_node.limits import allow_descriptors
from maze_protocol.values import ObjectKey, Value, key_of

__all__ = ["Beside"]

FILE_ON_DISK: Final = 64 << 20
MANY: Final = 128
"""Inputs for which the usual limit of descriptors may be too low."""


class Beside:
    """The worker's end; without a socket there are no objects."""

    def __init__(self, channel: socket.socket | None = None) -> None:
        self._channel = channel
        self._arrived: dict[ObjectKey, tuple[int, int]] = {}
        self._mapped: dict[ObjectKey, memoryview] = {}
        self._made: list[int] = []

    def arrive(self, frame: TaskFrame) -> None:
        """Take what came beside a frame."""
        if not frame.objects or self._channel is None:
            return
        if frame.objects > MANY:
            allow_descriptors(frame.objects)
        keys = map(key_of, refs_of(frame.inputs))
        self._arrived = dict(zip(keys, take(self._channel, frame.objects), strict=True))

    def body(self, value: Value) -> bytes | memoryview:
        """Return the bytes of a value, wherever they are.

        Raises:
            TaskFault: an object cannot be read here.
        """
        if value.ref is None:
            return value.body
        key = key_of(value.ref)
        if key not in self._mapped:
            self._mapped[key] = self._read(key, value.size)
        return self._mapped[key]

    def _read(self, key: ObjectKey, size: int) -> memoryview:
        descriptor, offset = self._arrived.pop(key)
        if descriptor < 0:
            limit = allow_descriptors(0)
            message = f"an input of {size:,} bytes cannot be mapped: only {limit:,} descriptors may be open (ulimit -n)"
            raise TaskFault("no_room", "NoRoom", message)
        try:
            return read_body(descriptor, offset, size)
        except OSError as error:
            message = f"an input of {size:,} bytes cannot be mapped: {error.strerror} ({len(self._arrived)} are left)"
            raise TaskFault("no_room", "NoRoom", message) from error

    def write(
        self, key: str, pieces: Sequence[bytes | memoryview], size: int, frame: TaskFrame, *, file: bool = False
    ) -> bool:
        """Write an output; return whether it is on disk, where a large one that came from a file stays.

        Raises:
            TaskFault: the node has no room for it.
        """
        try:
            descriptor, on_disk = write_body(
                pieces, size, frame.spool, on_disk=frame.on_disk or (file and size >= FILE_ON_DISK)
            )
        except OSError as error:
            message = f"the node has no room for output {key!r} ({size:,} bytes): {frame.spool}: {error.strerror}"
            raise TaskFault("no_room", "NoRoom", message) from error
        self._made.append(descriptor)
        return on_disk

    def send(self) -> None:
        """Give the agent what was written, before the report that tells of it."""
        if self._made and self._channel is not None:
            give(self._channel, self._made)
        self.clear()

    def undo(self) -> None:
        """Throw away what was written: the attempt has failed."""
        while self._made:
            os.close(self._made.pop())

    def clear(self) -> None:
        """Forget everything; what values still use stays mapped."""
        self.undo()
        self._mapped.clear()
        while self._arrived:
            descriptor, _ = self._arrived.popitem()[1]
            if descriptor >= 0:
                os.close(descriptor)
