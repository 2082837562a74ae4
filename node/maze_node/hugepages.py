"""Huge pages for what tasks allocate: asked of glibc by a variable that it reads when the spawner's program starts.

A page fault per 2 MiB instead of one per 4 KiB makes and copies large `bytes` in a third to a half of the time; numpy
asks the same for its arrays by itself. Where the C library is another one, or the kernel gives none, nothing changes.
No imports beyond os: the spawner starts with this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

__all__ = ["asked_for", "forget"]

TUNABLES: Final = "GLIBC_TUNABLES"
_KEPT: Final = 8 << 20
"""Bytes that a worker keeps at the end of its heap for what comes next. By glibc's own 128 KiB each attempt might give
a huge page back and take it anew, and zeroing one takes longer than a tiny task."""
_MAPPED: Final = 4 << 20
"""Allocations from there on are mapped by themselves; glibc moves that limit by itself only where nothing is said."""
_WORDS: Final = f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={_MAPPED}:glibc.malloc.trim_threshold={_KEPT}"


def asked_for(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program whose large allocations shall be of huge pages, unless it says otherwise."""
    return {TUNABLES: _WORDS, **environ}


def forget() -> None:
    """Keep from the programs that tasks start what was for workers; what the user said stays."""
    if os.environ.get(TUNABLES) == _WORDS:
        del os.environ[TUNABLES]
