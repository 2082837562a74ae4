"""Pickling with the user's modules by value, holes as persistent ids, and classes that keep their identity.

Three layers: plain C pickle first (fast), stopped by the first class or function of a user module; then cloudpickle
with those modules by value. Unpickling uses the C unpickler, with one correction of cloudpickle: a class that this
process defined itself stays untouched when instances of it come back. (cloudpickle would find it by its tracker
id and then overwrite its methods with copies whose globals are detached from the module.)
"""

from __future__ import annotations

import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from maze._values.container import Body, Piece, pieces, split
from maze._values.errors import ValueDecodeError
from maze._values.modules import by_value, fill_module, is_user_module, make_shell, module_state
from maze._values.plain import HoleTest

__all__ = ["dump_by_value", "pickle_value", "unpickle_value"]

_received: Final[weakref.WeakSet[type]] = weakref.WeakSet()
"""Classes that came by value: these follow their newest definition, others are this process's own."""


class _ByValueNeeded(Exception):
    """The fast pickler met something that must travel by value."""


def pickle_value(value: object, is_hole: HoleTest | None = None) -> tuple[list[Piece], list[object]]:
    """Return the pieces of the container body, buffers of the value among them, and the holes in order.

    Raises:
        Exception: whatever pickling raised; user classes take part in it.
    """
    try:
        return _dump(_fast_pickler(), value, is_hole)
    except Exception:  # noqa: BLE001 -- any failure of plain pickle is cloudpickle's turn, which reports it
        with by_value():
            return _dump(_full_pickler(), value, is_hole)


def dump_by_value(value: object, imports: dict[str, types.ModuleType]) -> bytes:
    """Return the container body of functions by value; `imports` collects modules that they import when called."""
    with by_value():
        try:
            return b"".join(_dump(_full_pickler(), value, None, imports=imports)[0])
        except Exception:  # noqa: BLE001 -- perhaps only a module's global is at fault: try without those
            return b"".join(_dump(_full_pickler(), value, None, imports=imports, frugal=True)[0])


def unpickle_value(body: Body, parts: Sequence[object] = (), *, copy: bool = True) -> Any:
    """Return the value of a container body; without `copy` its buffers are views of the body.

    Raises:
        ValueDecodeError: with the reason, whatever the pickle or the classes in it raised.
    """
    pickled, buffers = split(body, copy=copy)
    try:
        return _Unpickler(io.BytesIO(pickled), buffers, parts).load()
    except ModuleNotFoundError as error:
        raise ValueDecodeError(f"{error}; it must be installed here too") from error
    except Exception as error:  # unpickling runs foreign code on foreign bytes
        raise ValueDecodeError(f"{type(error).__name__}: {error}") from error


def _dump(pickler: Any, value: object, is_hole: HoleTest | None, **options: Any) -> tuple[list[Piece], list[object]]:
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    one = pickler(file, buffers, is_hole, **options)
    one.dump(value)
    return pieces(file.getvalue(), [buffer.raw() for buffer in buffers]), one.holes


def _collect(buffers: list[pickle.PickleBuffer]) -> Callable[[pickle.PickleBuffer], bool]:
    """Take contiguous buffers out of band, leave the others in it."""

    def take(buffer: pickle.PickleBuffer) -> bool:
        try:
            buffer.raw()
        except BufferError:
            return True
        buffers.append(buffer)
        return False

    return take


@cache
def _fast_pickler() -> Any:
    class FastPickler(pickle.Pickler):
        def __init__(self, file: io.BytesIO, buffers: list[pickle.PickleBuffer], is_hole: HoleTest | None) -> None:
            super().__init__(file, 5, buffer_callback=_collect(buffers))
            self.holes: list[object] = []
            if is_hole is not None:
                self.persistent_id = _hole_numbers(is_hole, self.holes)  # type: ignore[method-assign]  # the C class allows it

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, (type, types.FunctionType)) and is_user_module(obj.__module__ or "__main__"):
                raise _ByValueNeeded
            if isinstance(obj, types.ModuleType):
                raise _ByValueNeeded
            return NotImplemented

    return FastPickler


def _hole_numbers(is_hole: HoleTest, holes: list[object]) -> Callable[[object], int | None]:
    def number(obj: object) -> int | None:
        found = is_hole(obj)
        if found is None:
            return None
        holes.append(found)
        return len(holes) - 1

    return number


@cache
def _full_pickler() -> Any:
    import cloudpickle

    class FullPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle ships no types
        def __init__(
            self,
            file: io.BytesIO,
            buffers: list[pickle.PickleBuffer],
            is_hole: HoleTest | None,
            *,
            imports: dict[str, types.ModuleType] | None = None,
            frugal: bool = False,
            bare: bool = False,
        ) -> None:
            super().__init__(file, 5, _collect(buffers))
            self.holes: list[object] = []
            self.imports = imports
            self.frugal = frugal
            self.bare = bare
            if is_hole is not None:
                self.persistent_id = _hole_numbers(is_hole, self.holes)

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, types.ModuleType) and is_user_module(obj.__name__):
                return make_shell, (obj.__name__,), self._state_of(obj), None, None, fill_module
            if self.imports is not None and isinstance(obj, types.FunctionType):
                _note_imports(obj, self.imports)
            return super().reducer_override(obj)

        def _state_of(self, module: types.ModuleType) -> dict[str, Any]:
            if self.bare:
                return {}
            state = module_state(module)
            return {name: each for name, each in state.items() if _portable(each)} if self.frugal else state

    return FullPickler


def _note_imports(function: types.FunctionType, imports: dict[str, types.ModuleType]) -> None:
    if is_user_module(function.__module__ or "__main__"):
        from maze._values.imports import imported_modules

        imports.update(imported_modules(function))


def _portable(value: object) -> bool:
    """Tell whether a module's attribute can travel; other modules in it count as able to."""
    try:
        _dump(_full_pickler(), value, None, bare=True)
    except Exception:  # noqa: BLE001 -- a lock, a socket, anything of the user's: it stays behind
        return False
    return True


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, buffers: Sequence[bytearray | memoryview], parts: Sequence[object]) -> None:
        super().__init__(file, buffers=buffers)
        self._parts = parts
        self._own: set[type] = set()

    def persistent_load(self, pid: Any) -> object:
        if type(pid) is not int or not 0 <= pid < len(self._parts):
            raise pickle.UnpicklingError(f"hole {pid!r} of {len(self._parts)}")
        return self._parts[pid]

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if module != "cloudpickle.cloudpickle":
            return found
        if name == "_make_skeleton_class":
            return lambda *args: self._class(found, args, args[3].get("__module__"), args[1])
        if name == "_make_skeleton_enum":
            return lambda *args: self._class(found, args, args[4], args[2])
        if name == "_class_setstate":
            return lambda cls, state: cls if cls in self._own else found(cls, state)
        return found

    def _class(self, make: Callable[..., type], args: tuple[Any, ...], module: str | None, name: str) -> type:
        own = _tracked(args[-2]) or _defined_here(module, name)
        if own is not None and own not in _received:
            self._own.add(own)
            return own
        made = make(*args)
        _received.add(made)
        return made


def _tracked(tracker_id: str | None) -> type | None:
    """Return the class that cloudpickle sent from here under that id. Without the private table, none."""
    from cloudpickle import cloudpickle as private

    known: type | None = getattr(private, "_DYNAMIC_CLASS_TRACKER_BY_ID", {}).get(tracker_id)
    return known


def _defined_here(module: str | None, name: str) -> type | None:
    """Return the class of that name in a module which this process has loaded itself."""
    found = getattr(sys.modules.get(module or ""), name, None)
    return found if isinstance(found, type) and found.__module__ == module else None
