"""What a task declares of its outputs, and whether it returned that.

Rules
* What was returned is looked at once and without a loop, if it has the declared names and no type is declared.
* Of a key only its type and its text are looked at: a class of the user's may call itself equal to anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from maze_node.errors import TaskFault
from maze_protocol.limits import NAME_LENGTH
from maze_protocol.messages import OutputDecl

__all__ = ["Declared", "bad_return"]

FILE_TYPES: Final = frozenset(("file", "file:image"))
_TEXTS: Final = frozenset((str,))
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "list": (list,), "dict": (dict,),
}  # fmt: skip


class Declared:
    """The outputs that the attempts of a task are to return.

    Args:
        outputs: as they are declared.
        strict: False for the original's wire, which takes whatever comes.
    """

    __slots__ = ("_names", "_outputs", "_strict", "_typed", "files")

    def __init__(self, outputs: Sequence[OutputDecl], *, strict: bool = True) -> None:
        self._strict = strict
        self._outputs = outputs
        self._names = {each.key for each in outputs}
        self._typed = [each for each in outputs if each.data_type in _TYPES]
        self.files = tuple(each.key for each in outputs if each.data_type in FILE_TYPES)
        """Those that are to be files."""

    def checked(self, returned: Any, warnings: list[str]) -> dict[str, Any]:
        """Return the outputs by key, and warn of those that were not declared.

        Raises:
            TaskFault: what is wrong with them.
        """
        if not self._strict:
            # What is no dictionary of names travels under the empty key.
            named = isinstance(returned, dict) and all(isinstance(key, str) for key in returned)
            return {key: _listed(value) for key, value in (returned if named else {"": returned}).items()}
        if type(returned) is not dict or returned.keys() != self._names or not _TEXTS.issuperset(map(type, returned)):
            self._check_names(returned, warnings)
        for declared in self._typed:
            _check_type(returned[declared.key], declared)
        return returned  # type: ignore[no-any-return]  # it is a dict by now

    def _check_names(self, returned: Any, warnings: list[str]) -> None:
        if not isinstance(returned, dict):
            keys = ", ".join(repr(declared.key) for declared in self._outputs) or "no keys"
            raise bad_return(f"the task must return a dict with {keys:.400}, not {type(returned).__name__}")
        for key in returned:
            if not isinstance(key, str) or not 0 < len(key) <= NAME_LENGTH or not key.isprintable():
                what = f"strings of 1 to {NAME_LENGTH} printable characters"
                raise bad_return(f"output names must be {what}, not {_short(key)}")
        for declared in self._outputs:
            if declared.key not in returned:
                keys = ", ".join(map(repr, returned)) or "none"
                raise bad_return(f"missing output {declared.key!r} (returned keys: {keys:.400})")
        if len(returned) > len(self._outputs):
            extra = returned.keys() - self._names
            warnings.extend(f"undeclared output {key!r} was kept" for key in sorted(extra)[:20])


def bad_return(message: str) -> TaskFault:
    """Return the fault of an attempt that returned what it should not."""
    return TaskFault("bad_return", "BadReturn", message)


def _short(key: object) -> str:
    """Return a key as text of a bounded length, without running the user's `__repr__`."""
    return repr(key[:80]) if type(key) is str else f"a key of type {type(key).__name__}"


def _listed(value: Any) -> Any:
    """Replace tuples by lists, as the original's JSON did."""
    if type(value) in (list, tuple):
        return [_listed(item) for item in value]
    if type(value) is dict:
        return {key: _listed(item) for key, item in value.items()}
    return value


def _check_type(value: Any, declared: OutputDecl) -> None:
    allowed = _TYPES[declared.data_type]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        kind = type(value).__name__
        raise bad_return(f"output {declared.key!r} is declared as {declared.data_type}, the task returned {kind}")
