"""Exceptions of user code as text: the user's frames, none of ours, bounded, whatever the exception does."""

from __future__ import annotations

import os
import traceback
from itertools import islice
from types import TracebackType
from typing import Any, Final

__all__ = ["HEADER", "describe"]

HEADER: Final = "Traceback (most recent call last):\n"
MAX_TEXT: Final = 64 * 1024
MAX_MESSAGE: Final = 8 * 1024
MAX_BASES: Final = 16
MAX_NAME: Final = 256
_NODE: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_VALUES: Final = os.path.join("maze", "_values") + os.sep
_ASYNCIO: Final = os.sep + "asyncio" + os.sep


def describe(error: BaseException) -> tuple[str, str, str, tuple[str, ...]]:
    """Return (type name, message, traceback text, qualified names of its class and what that inherits)."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        error.msg = f"{error.msg} (it must be installed on the node that runs the task)"
    return type(error).__name__, _shorten(_message(error), MAX_MESSAGE), _text(error), _bases(type(error))


def _bases(kind: type) -> tuple[str, ...]:
    # Past the metaclass: one of the user's may answer anything, or raise.
    line = _get("__mro__", kind)
    names = (f"{_word('__module__', each)}.{_word('__qualname__', each)}" for each in line if each is not object)
    return tuple(name[:MAX_NAME] for name in islice(names, MAX_BASES))


def _word(attribute: str, kind: type) -> str:
    found = _get(attribute, kind)
    return found if isinstance(found, str) else "?"


def _get(attribute: str, kind: type) -> Any:
    return type.__dict__[attribute].__get__(kind)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 -- the user's __str__
        return f"<str() of the exception failed: {type(broken).__name__}>"


def _text(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, _users_part(error.__traceback__))
        text = "".join(lines).rstrip("\n")
    except Exception:  # noqa: BLE001 -- the user's __str__, __cause__ or source lines
        text = f"{type(error).__name__}: {_message(error)}"
    return _shorten(text if text.startswith(HEADER) else HEADER + text, MAX_TEXT)


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Skip our own frames, and those of asyncio.run, down to the first of the user's."""
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_ours(filename: str) -> bool:
    return filename.startswith(_NODE) or _VALUES in filename or _ASYNCIO in filename


def _shorten(text: str, limit: int) -> str:
    """Keep the beginning and, as the last line matters most, the end."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[len(text) - (limit - head) :]}"
