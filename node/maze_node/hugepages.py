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
_WORDS: Final = "glibc.malloc.hugetlb=1"


def asked_for(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program whose large allocations shall be of huge pages, unless it says otherwise."""
    return {TUNABLES: _WORDS, **environ}


def forget() -> None:
    """Keep from the programs that tasks start what was for workers; what the user said stays."""
    if os.environ.get(TUNABLES) == _WORDS:
        del os.environ[TUNABLES]
