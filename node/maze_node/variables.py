"""Environment variables that change with every attempt, in memory of our own.

`setenv` keeps every string that a variable ever was (glibc, for those who may still point at it): two new ones per
attempt would make a worker grow for ever. `putenv` takes our memory instead, in which a value is changed in place;
`getenv` of C code and children that are started find it as any other.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["Variables"]

CAPACITY: Final = 64
"""Bytes of a value: ids and numbers."""
_libc: Final = ctypes.CDLL(None)
_kept: Final[list[Any]] = []
"""The environment of a process points into this for as long as it lives."""


class Variables:
    """Some variables, by name."""

    def __init__(self, names: Iterable[str]) -> None:
        keys = [name.encode() for name in names]
        self._used: dict[bytes, None] = {}
        self._memory = {key: ctypes.create_string_buffer(key + b"=", len(key) + CAPACITY + 2) for key in keys}
        self._views = {key: memoryview(self._memory[key]).cast("B") for key in keys}
        _kept.extend(self._memory.values())

    def __contains__(self, key: bytes) -> bool:
        return key in self._views

    def install(self) -> None:
        """Put those that have a value into the environment once more."""
        for key in self._used:
            memory = self._memory[key]
            _libc.putenv(memory)
            environ_data()[key] = memory.value[len(key) + 1 :]

    def set(self, key: bytes, value: bytes) -> None:
        """Give a variable a value of at most CAPACITY bytes."""
        start = len(key) + 1
        self._views[key][start : start + len(value) + 1] = value + b"\0"
        environ_data()[key] = value
        if key not in self._used:
            self._used[key] = None
            _libc.putenv(self._memory[key])


def environ_data() -> Any:
    """Return what is behind `os.environ`: bytes by bytes. It is compared in 0.7 µs, os.environ itself in 40."""
    return getattr(os.environ, "_data", None) or dict(os.environb)
