"""Which modules are the user's own, and how their content travels.

A node has the standard library and what is installed in site-packages; it does not have `helpers.py` beside the
user's script. Classes and functions of such modules travel by value (cloudpickle), and so do module objects.

Rules
* A module is the user's if its file lies outside the standard library, site-packages and our own packages. What pip
  was told to install into another folder (`--target`) is installed, too: its record lies beside it.
* cloudpickle's registry of by-value modules is process-wide: it is changed under a lock, and put back.
* A module object arrives as a *shell*: an empty module that is memoised before it is filled, since modules refer
  to each other in cycles.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final

__all__ = ["by_value", "fill_module", "install_shells", "is_user_module", "make_shell", "module_state"]

_OURS: Final = frozenset({"maze", "maze_head", "maze_node", "maze_protocol"})
_MAIN: Final = frozenset({"__main__", "__mp_main__"})
_LEFT_OUT: Final = frozenset({"__builtins__", "__cached__", "__loader__", "__spec__"})
_SHELL_MARK: Final = "__maze_shell__"
_registry_lock: Final = threading.RLock()


def is_user_module(name: str) -> bool:
    """Tell whether what this module defines must travel by value."""
    if name in _MAIN:
        return True
    top = name.partition(".")[0]
    if top in _OURS or top in sys.stdlib_module_names:
        return False
    module = sys.modules.get(name)
    if module is None:
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return getattr(module, "__spec__", None) is None
    return is_user_file(file)


@cache
def is_user_file(file: str) -> bool:
    if not file.endswith((".py", ".pyc")):
        return False
    parts = file.replace("\\", "/").split("/")
    if "site-packages" in parts or "dist-packages" in parts or _is_recorded(file):
        return False
    paths = sysconfig.get_paths()
    return not file.startswith((paths["stdlib"] + "/", paths["platstdlib"] + "/"))


def _is_recorded(file: str) -> bool:
    """Tell whether a file belongs to a distribution whose record lies in the same folder of the import path."""
    for folder in sys.path:
        root = folder.rstrip("/") + "/"
        if folder and file.startswith(root):
            top = file[len(root) :].partition("/")[0]
            return top in _recorded(folder)
    return False


@cache
def _recorded(folder: str) -> frozenset[str]:
    """Return what stands at the top of a folder by the records of the distributions in it."""
    with suppress(OSError):
        records = [f"{folder}/{name}/RECORD" for name in os.listdir(folder) if name.endswith(".dist-info")]
        return frozenset(line.partition("/")[0].partition(",")[0] for record in records for line in _lines(record))
    return frozenset()


def _lines(file: str) -> list[str]:
    with suppress(OSError), open(file, encoding="utf-8", errors="replace") as record:
        return record.readlines()
    return []


@contextmanager
def by_value() -> Iterator[None]:
    """Make cloudpickle treat all loaded user modules by value, for this block."""
    import cloudpickle

    with _registry_lock:
        already = cloudpickle.list_registry_pickle_by_value()
        added = [module for name, module in _user_modules() if name not in already]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


def _user_modules() -> list[tuple[str, types.ModuleType]]:
    return [
        (name, module)
        for name, module in sys.modules.copy().items()
        if name not in _MAIN and getattr(module, "__name__", None) == name and is_user_module(name)
    ]


def module_state(module: types.ModuleType) -> dict[str, Any]:
    """Return what a module's shell is filled with elsewhere."""
    return {name: value for name, value in vars(module).items() if name not in _LEFT_OUT}


def make_shell(name: str) -> types.ModuleType:
    """Return an empty module that stands for one of the sender's (called by the unpickler)."""
    return types.ModuleType(name)


def fill_module(module: types.ModuleType, state: Mapping[str, Any]) -> None:
    """Fill a shell (called by the unpickler once the shell is memoised)."""

    def missing(name: str) -> Any:
        raise AttributeError(
            f"module {module.__name__!r} came here without {name!r}: it has none, or it cannot be pickled"
        )

    vars(module).update({"__getattr__": missing, **state})
    vars(module)[_SHELL_MARK] = True


def install_shells(shells: Mapping[str, types.ModuleType]) -> None:
    """Let `import` inside functions find these shells; a module that is really here is never replaced."""
    for name, shell in shells.items():
        present = sys.modules.get(name)
        if present is None or hasattr(present, _SHELL_MARK):
            sys.modules[name] = shell
