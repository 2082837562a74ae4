"""Short spells without Python's cycle collector, around batches that make many objects of which nothing is garbage.

Ten thousand results are a hundred thousand small dictionaries. Making them sets the collector off again and again, and
each time it walks over what was made before: a third of what reading them cost. Standard library only.
"""

from __future__ import annotations

import gc
from types import TracebackType

__all__ = ["Burst"]


class Burst:
    """Collect no cycles within a `with` block that does not wait for anything.

    Where the collector is off, it stays off. Several threads may be in such a block at once: the first that leaves
    turns the collector on again, which the others survive.
    """

    __slots__ = ("_was_on",)

    def __init__(self) -> None:
        self._was_on = False

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._was_on:
            gc.enable()
