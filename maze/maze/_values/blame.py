"""Find the part of a value that cannot be pickled, to name it in the error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["blame"]

MAX_STEPS: Final = 50
MAX_CHILDREN: Final = 1_000


def blame(value: object, fails: Callable[[object], bool]) -> tuple[str, object]:
    """Return (path, object) of the innermost part for which `fails`; the value itself has an empty path."""
    path = ""
    for _ in range(MAX_STEPS):
        step = next((step for step in _children(value) if fails(step[1])), None)
        if step is None:
            break
        path += step[0]
        value = step[1]
    return path, value


def _children(value: Any) -> Iterator[tuple[str, object]]:
    for count, child in enumerate(_all_children(value)):
        if count == MAX_CHILDREN:
            return
        yield child


def _all_children(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", child) for key, child in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", child) for index, child in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (("{…}", child) for child in value)
    elif not isinstance(value, type):
        state = getattr(value, "__dict__", None)
        if isinstance(state, dict):
            yield from ((f".{name}", child) for name, child in state.items())
