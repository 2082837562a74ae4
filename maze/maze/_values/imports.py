"""Imports inside functions: `def task(params): from helpers import f`. Such modules must travel too.

The byte code tells which modules a function imports when it runs; those that are the user's own are imported here
(they would be when the task runs) and sent as shells, together with their parent packages.
"""

from __future__ import annotations

import dis
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator

from maze._values.modules import is_user_module

__all__ = ["imported_modules"]


def imported_modules(function: types.FunctionType) -> dict[str, types.ModuleType]:
    """Return the user modules that a function imports when it runs, by name."""
    package = function.__globals__.get("__package__") or ""
    found: dict[str, types.ModuleType] = {}
    for name in _names(function.__code__, package):
        for each in _with_parents(name):
            module = _load(each)
            if module is None:
                break
            found[each] = module
    return found


def _names(code: types.CodeType, package: str) -> Iterator[str]:
    before: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and len(before) >= 2:
            yield from _targets(instruction.argval, before[-2].argval, before[-1].argval, package)
        before = [*before[-1:], instruction]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, package)


def _targets(name: str, level: object, members: object, package: str) -> Iterator[str]:
    if isinstance(level, int) and level > 0:
        if not package:
            return
        name = importlib.util.resolve_name("." * level + name, package)
    yield name
    if isinstance(members, tuple):
        yield from (f"{name}.{member}" for member in members if member != "*")


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _load(name: str) -> types.ModuleType | None:
    """Return a user module, imported if need be; None for libraries and for what is no module."""
    module = sys.modules.get(name)
    if module is not None:
        return module if is_user_module(name) else None
    try:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        if not _is_user_origin(spec.origin, name):
            return None
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 -- importing runs the user's code; if it fails here, it shall fail in the task
        return None


def _is_user_origin(origin: str, name: str) -> bool:
    from maze._values.modules import is_user_file

    return name.partition(".")[0] not in sys.stdlib_module_names and is_user_file(origin)
