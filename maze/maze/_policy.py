"""What a declaration says about the attempts of a task: checked where it is written, in the words of `@task`.

Standard library only. `@task` and `add_task` take the same options; what is given to `add_task` replaces what the
decorator said, one by one. The rules themselves are the protocol's, shared with the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from maze.errors import DeclarationError, DeclarationTypeError
from maze_protocol.policy import NO_POLICY, Policy, PolicyError, check_policy

__all__ = ["OPTIONS", "declare_policy"]

OPTIONS: Final = Policy._fields
"""Names of the options."""


def declare_policy(given: Mapping[str, Any], declared: Policy = NO_POLICY) -> Policy:
    """Return a policy in the form that travels.

    Args:
        given: any of OPTIONS, as a user writes them; other keys are ignored.
        declared: what holds for the options that are not given.

    Raises:
        DeclarationTypeError: an option has the wrong type.
        DeclarationError: an option is out of range, or two exclude each other.
    """
    found = {name: _READ[name](name, given[name]) for name in OPTIONS if name in given}
    try:
        return check_policy(declared._replace(**found))
    except PolicyError as error:
        raise DeclarationError(str(error)) from None


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeclarationTypeError(f"{name} must be a whole number, not {type(value).__name__}")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DeclarationTypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise DeclarationError(f"{name} is out of range") from None


def _limit(name: str, value: object) -> float:
    """Read a limit of time: None is none, and 0 would be a task that never runs."""
    seconds = 0.0 if value is None else _seconds(name, value)
    if value is not None and seconds <= 0:
        raise DeclarationError(f"{name} = {value} must be more than 0 seconds; leave it out, or write None, for none")
    return seconds


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise DeclarationTypeError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def _exceptions(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    entries = value if isinstance(value, (list, tuple)) else (value,)
    if not entries:
        raise DeclarationError(f"{name} is empty; leave it out to retry after any error, or write retries=0 for none")
    return tuple(dict.fromkeys(_exception(name, entry) for entry in entries))


def _exception(name: str, entry: object) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, type) and issubclass(entry, BaseException):
        return f"{entry.__module__}.{entry.__qualname__}"
    shown = entry.__name__ if isinstance(entry, type) else type(entry).__name__
    raise DeclarationTypeError(f"{name} must hold exception classes or their names, not {shown}")


_READ: Final[dict[str, Callable[[str, object], Any]]] = {
    "retries": _count,
    "retry_backoff": _seconds,
    "retry_on": _exceptions,
    "timeout": _limit,
    "idle_timeout": _limit,
    "at_most_once": _flag,
}
