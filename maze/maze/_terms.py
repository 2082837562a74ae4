"""What a declaration says about where a task runs and what it shares: checked where it is written.

Standard library only. `@task` and `add_task` take the same options, `same_node_as` excepted; what is given to
`add_task` replaces what the decorator said, one by one. The rules themselves are the protocol's, shared with the head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from maze.errors import DeclarationError, DeclarationTypeError
from maze_protocol.terms import NO_TERMS, Terms, TermsError, check_same_node, make_terms

__all__ = ["TERM_OPTIONS", "declare_same_node", "declare_terms"]

TERM_OPTIONS: Final = ("require", "prefer", "limits", "apart", "nodes")
"""Names of the options."""


def declare_terms(given: Mapping[str, Any], declared: Terms = NO_TERMS) -> Terms:
    """Return terms in the form that travels.

    Args:
        given: any of TERM_OPTIONS, as a user writes them; other keys are ignored.
        declared: what holds for the options that are not given.

    Raises:
        DeclarationTypeError: an option has the wrong type.
        DeclarationError: a name is no name, an amount is out of range, or two options exclude each other.
    """
    found = {name: _READ[name](name, given[name]) for name in TERM_OPTIONS if name in given}
    if not found:
        return declared
    before = {"require": dict(declared.require), "prefer": dict(declared.prefer), "limits": dict(declared.limits)}
    try:
        return make_terms(**{**before, "apart": declared.apart, "nodes": declared.nodes, **found})
    except TermsError as error:
        raise DeclarationError(str(error)) from None


def declare_same_node(terms: Terms) -> None:
    """Refuse terms that cannot hold for a task with `same_node_as`.

    Raises:
        DeclarationError: it wants several nodes, or to be apart from others.
    """
    try:
        check_same_node(terms)
    except TermsError as error:
        raise DeclarationError(str(error)) from None


def _labels(name: str, value: object) -> dict[str, str]:
    """Read labels: a dictionary, or names (any value will do) and `key=value` as `maze-node --label` takes them."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {_text(name, key): "" if text is None else _text(name, text) for key, text in value.items()}
    found: dict[str, str] = {}
    for text in _names(name, value):
        key, _, wanted = text.partition("=")
        if found.get(key, "") not in ("", wanted) and wanted:
            raise DeclarationError(f"{name} asks for {key}={found[key]} and for {key}={wanted}; a label has one value")
        found[key] = wanted or found.get(key, "")
    return found


def _units(name: str, value: object) -> dict[str, int]:
    """Read limits: a dictionary of units, or names, which stand for one unit of each."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {_text(name, key): _count(f"{name}[{key!r}]", units) for key, units in value.items()}
    return dict.fromkeys(_names(name, value), 1)


def _names(name: str, value: object) -> list[str]:
    entries = value if isinstance(value, (list, tuple)) else (value,)
    return [_text(name, entry) for entry in entries]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise DeclarationTypeError(f"{name} must hold texts, not {value!r:.80} ({type(value).__name__})")
    return value


def _word(name: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise DeclarationTypeError(f"{name} must be a word that tasks kept apart have in common, not {value!r:.80}")
    return value or ""


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeclarationTypeError(f"{name} must be a whole number, not {type(value).__name__}")
    return value


_READ: Final[dict[str, Callable[[str, object], Any]]] = {
    "require": _labels,
    "prefer": _labels,
    "limits": _units,
    "apart": _word,
    "nodes": _count,
}
