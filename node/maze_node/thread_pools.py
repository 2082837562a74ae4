"""How many threads numeric libraries use that were loaded before their process knew its number.

They read OMP_NUM_THREADS and its like when they are loaded, and never again. Preloaded ones were loaded in the spawner,
with one thread (preload.py); a worker that gets to know its number must tell them. What none of the functions here
knows keeps one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import Final

__all__ = ["resize"]

_MAPS: Final = "/proc/self/maps"
_LIBRARIES: Final = ("openblas", "mkl_rt", "libgomp", "libiomp5", "libomp")
_SETTERS: Final = (
    "openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "scipy_openblas_set_num_threads64_",
    "MKL_Set_Num_Threads",
    "omp_set_num_threads",
)


def resize(threads: int) -> None:
    """Let the libraries that are loaded in this process use so many threads from now on."""
    for path in _loaded_libraries():
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(path)
            for name in _SETTERS:
                with contextlib.suppress(AttributeError):
                    getattr(library, name)(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def _loaded_libraries() -> Iterator[str]:
    with contextlib.suppress(OSError), open(_MAPS, encoding="utf-8", errors="surrogateescape") as maps:
        # A library has a line for each of its parts; the path is the last of six fields.
        paths = {line.rstrip("\n").split(maxsplit=5)[5] for line in maps if "/" in line}
        yield from sorted(path for path in paths if any(name in path.rpartition("/")[2] for name in _LIBRARIES))
