"""Task functions as bytes: the function, the user modules it needs, and nothing of the machine it came from.

The body is a pickled value (container.py) of the pair (function, {module name: module imported when it runs}).
Read, but never written, is the form of the original's client: a bare cloudpickle of the function.
"""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable, Mapping
from typing import Any, cast

from maze._values.blame import blame
from maze._values.codec import _reason, _type_name
from maze._values.container import join
from maze._values.errors import ValueDecodeError, ValueEncodeError
from maze._values.modules import install_shells
from maze._values.pickled import dump_by_value, unpickle_value

__all__ = ["dump_function", "load_function"]

TaskFunction = Callable[..., Any]


class WithModules:
    """A function whose own imports find the modules that came with it."""

    def __init__(self, function: TaskFunction, modules: Mapping[str, types.ModuleType]) -> None:
        self.__wrapped__ = function
        self._modules = modules

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; a coroutine function returns its coroutine."""
        install_shells(self._modules)
        return self.__wrapped__(*args, **kwargs)


def dump_function(func: TaskFunction) -> bytes:
    """Return a task function as bytes that run on a machine without the user's files.

    A function decorated with `maze.task` travels as the plain function.

    Raises:
        ValueEncodeError: something that the function refers to cannot be pickled; the error names it.
    """
    function = _undecorated(func)
    modules: dict[str, types.ModuleType] = {}
    try:
        while True:
            imports: dict[str, types.ModuleType] = {}
            body = dump_by_value((function, modules), imports)
            if imports.keys() <= modules.keys():
                return body
            modules |= imports  # modules import modules: another round, until nothing new turns up
    except Exception as error:
        path, culprit = blame(_referred(function), lambda part: not _can_dump(part))
        raise ValueEncodeError(_type_name(culprit), path, _reason(error)) from error


def load_function(body: bytes) -> TaskFunction:
    """Return the function of `dump_function`'s bytes.

    Raises:
        ValueDecodeError: with a reason for people.
    """
    if body[:1] == pickle.PROTO:
        return _load_bare(body)
    loaded = unpickle_value(body)
    if not (isinstance(loaded, tuple) and len(loaded) == 2 and isinstance(loaded[1], dict)):
        raise _no_function(loaded)
    function, modules = loaded
    if not callable(function):
        raise _no_function(function)
    return WithModules(function, modules) if modules else cast(TaskFunction, function)


def _load_bare(body: bytes) -> TaskFunction:
    function = unpickle_value(join(body, ()))
    if not callable(function):
        raise _no_function(function)
    return cast(TaskFunction, function)


def _no_function(found: object) -> ValueDecodeError:
    return ValueDecodeError(f"expected a function, got {type(found).__name__}")


def _undecorated(func: TaskFunction) -> TaskFunction:
    """Strip maze's own wrappers and attributes; they mean nothing on a node."""
    while type(func).__module__.partition(".")[0] == "maze" and hasattr(func, "__wrapped__"):
        func = func.__wrapped__
    if isinstance(func, types.FunctionType) and any(name.startswith(("_maze", "__maze")) for name in vars(func)):
        return _plain_copy(func)
    return func


def _plain_copy(func: types.FunctionType) -> types.FunctionType:
    copy = types.FunctionType(func.__code__, func.__globals__, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    copy.__qualname__, copy.__module__, copy.__doc__ = func.__qualname__, func.__module__, func.__doc__
    copy.__annotations__ = func.__annotations__
    vars(copy).update(item for item in vars(func).items() if not item[0].startswith(("_maze", "__maze")))
    return copy


def _referred(function: TaskFunction) -> object:
    """Return what a function refers to by name, for the error message."""
    if not isinstance(function, types.FunctionType):
        return function
    names = function.__code__.co_names
    seen: dict[str, object] = {name: function.__globals__[name] for name in names if name in function.__globals__}
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=False):
        try:
            seen[name] = cell.cell_contents
        except ValueError:  # an empty cell: assigned later, or never
            continue
    return seen


def _can_dump(value: object) -> bool:
    try:
        dump_by_value(value, {})
    except Exception:  # noqa: BLE001 -- pickling runs the user's __reduce__ and __getstate__
        return False
    return True
