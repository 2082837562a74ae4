"""Modules that workers start with: imported once, in the spawner, whose forks share them.

Rules
* Only a process of one thread is safe to fork, and CUDA does not survive a fork. A module that starts either when it is
  imported is refused by name; a worker imports it as ever, when its code does.
* What was imported stays: after a refusal the spawner must begin anew without that module (spawner.py).
* Numeric libraries start threads for all CPUs when they are loaded. Here they are told to make do with one;
  thread_pools.py gives a worker the number that its tasks may have.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from maze_node.core.slots import THREAD_VARIABLES

__all__ = ["Imported", "import_all", "trouble"]

_TASKS: Final = "/proc/self/task"
_OPEN_FILES: Final = "/proc/self/fd"
_DEVICES: Final = "/dev/nvidia"


class Imported(NamedTuple):
    """How far it came. With `refused` this process may not fork any more."""

    loaded: tuple[str, ...]
    absent: dict[str, str]
    """Modules that cannot be imported, and why."""
    refused: tuple[str, str] | None = None
    """The module that may not be loaded here, and why."""


def import_all(names: Sequence[str]) -> Imported:
    """Import modules in order, up to the first one that makes this process unfit for forks."""
    loaded: list[str] = []
    absent: dict[str, str] = {}
    with _one_thread():
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001 -- whatever a module does, the node must still work
                absent[name] = f"{type(error).__name__}: {error}"
            else:
                loaded.append(name)
            wrong = trouble()
            if wrong:
                return Imported(tuple(loaded), absent, (name, wrong))
    return Imported(tuple(loaded), absent)


def trouble() -> str:
    """Say what makes this process unfit to be forked; empty if nothing does."""
    with contextlib.suppress(OSError):
        threads = len(os.listdir(_TASKS))
        if threads > 1:
            return f"it started {threads - 1} thread{'s' * (threads > 2)}"
        if any(_target(name).startswith(_DEVICES) for name in os.listdir(_OPEN_FILES)):
            return "it initialised CUDA"
    return ""


def _target(descriptor: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"{_OPEN_FILES}/{descriptor}")
    return ""


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
