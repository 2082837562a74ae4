"""Environment variables that change with every attempt, in memory of our own.

`setenv` keeps every string that a variable ever was (glibc, for those who may still point at it): two new ones per
attempt would make a worker grow for ever. `putenv` takes our memory instead, in which a value is changed in place;
`getenv` of C code and children that are started find it as any other.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any, Final

__all__ = ["Variables"]

CAPACITY: Final = 64
"""Bytes of a value: ids and numbers."""
_libc: Final = ctypes.CDLL(None)
_kept: Final[list[Any]] = []
"""The environment of a process points into this for as long as it lives."""


class Variables:
    """Some variables, by name, which have no values until they are set."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._heads = [name + b"=" for name in names]
        sizes = [len(head) + CAPACITY + 1 for head in self._heads]
        # What is packed is shorter than its place by a byte at least: zeros end it.
        self._layout = struct.Struct("".join(f"{size}s" for size in sizes))
        self._memory = ctypes.create_string_buffer(self._layout.size)
        self._places = [ctypes.addressof(self._memory) + sum(sizes[:number]) for number in range(len(sizes))]
        self._values: Mapping[bytes, bytes] = {}
        _kept.append(self._memory)

    def install(self) -> None:
        """Put them into the environment (once more), if they have values."""
        if self._values:
            environ_data().update(self._values)
            for place in self._places:
                _libc.putenv(ctypes.c_void_p(place))

    def set(self, values: Mapping[bytes, bytes]) -> None:
        """Give all of them values of at most CAPACITY bytes, in the order in which they were named."""
        self._layout.pack_into(self._memory, 0, *map(add, self._heads, values.values()))
        before, self._values = self._values, values
        if before:
            environ_data().update(values)
        else:
            self.install()


def environ_data() -> Any:
    """Return what is behind `os.environ`: bytes by bytes. It is compared in 0.7 µs, os.environ itself in 40."""
    return getattr(os.environ, "_data", None) or dict(os.environb)
