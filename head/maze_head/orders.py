"""What `--order` names: one of the core's disciplines, or a class of the operator's own, `package.module:Class`.

The operator's class runs inside the head: it is trusted as the head itself is, and what its core must not do
(core/discipline.py), it must not do either. All that can be wrong with it before the first task is told at the start.
"""

from __future__ import annotations

import importlib
from typing import Final

from maze_head.core.critical import CriticalPath
from maze_head.core.discipline import Discipline, Fcfs, MakeDiscipline
from maze_head.core.hacs import Hacs
from maze_head.core.observed import Observed
from maze_head.errors import Misconfigured

__all__ = ["BUILT_IN", "find_order"]

BUILT_IN: Final[dict[str, MakeDiscipline]] = {Fcfs.name: Fcfs, Hacs.name: Hacs, CriticalPath.name: CriticalPath}
METHODS: Final = ("lane", "rank", "finished", "closed", "moved")


def find_order(name: str) -> MakeDiscipline:
    """Return what makes the discipline of that name.

    Raises:
        Misconfigured: no such discipline, or a class that is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise Misconfigured(
            f"--order {name} is none of {', '.join(BUILT_IN)}",
            remedy="or give a class of yours as package.module:Class",
        )
    make = _load(module, attribute)
    _check(make, name)
    return make


def _load(module: str, attribute: str) -> MakeDiscipline:
    try:
        made: MakeDiscipline = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the operator's module: it may raise anything while it is imported
        raise Misconfigured(
            f"--order {module}:{attribute} cannot be loaded: {type(error).__name__}: {error}",
            remedy="install the package where the head runs, or put it on PYTHONPATH",
        ) from error
    return made


def _check(make: MakeDiscipline, name: str) -> None:
    remedy = "maze_head.core.discipline.Discipline says what it must have"
    try:
        made: Discipline = make(Observed())
    except Exception as error:  # the operator's code: it may raise anything
        raise Misconfigured(f"--order {name} cannot be made: {type(error).__name__}: {error}", remedy=remedy) from error
    _check_members(made, name, remedy)


def _check_members(made: Discipline, name: str, remedy: str) -> None:
    missing = [method for method in METHODS if not callable(getattr(made, method, None))]
    missing += [
        field
        for field, kind in (("name", str), ("generation", int))
        if not isinstance(getattr(made, field, None), kind)
    ]
    if missing:
        raise Misconfigured(f"--order {name} is no discipline: it has no {', '.join(missing)}", remedy=remedy)
