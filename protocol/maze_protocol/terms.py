"""What a task says about its place and its company: labels, limits, other nodes. Standard library only.

Shared by the decorator (which must not load msgspec) and by the head's validation. This is the form that travels and
that makes a ready queue: sorted tuples, so that equal wishes are equal and hashable. Where the amounts stand (CPUs,
memory, devices) is resources.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from maze_protocol.declare import BadName, check_name

__all__ = ["MAX_GANG", "MAX_LABELS", "NO_TERMS", "Terms", "TermsError", "check_same_node", "make_terms"]

MAX_LABELS: Final = 32
"""How many labels or limits one task may name."""
MAX_GANG: Final = 1024
MAX_UNITS: Final = 1_000_000


class Terms(NamedTuple):
    """Where a task may run, and what it shares with others."""

    require: tuple[tuple[str, str], ...] = ()
    """Labels that its node must have; an empty value means any."""
    prefer: tuple[tuple[str, str], ...] = ()
    """Labels that its node should have, if that costs no waiting."""
    limits: tuple[tuple[str, int], ...] = ()
    """Named limits of the cluster, and how many units it takes of each while it runs."""
    apart: str = ""
    """Tasks of one run with the same word here never share a node."""
    nodes: int = 1
    """How many nodes it takes, each with all it asks for; its code runs on the first."""
    alone: bool = False
    """No other attempt runs on its node meanwhile."""


NO_TERMS: Final = Terms()


class TermsError(ValueError):
    """A wish breaks a rule; `field` says where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def make_terms(
    require: Mapping[str, str], prefer: Mapping[str, str], limits: Mapping[str, int], apart: str, nodes: int
) -> Terms:
    """Return checked terms in the form that travels.

    Raises:
        TermsError: a name is no name, there are too many of them, an amount is out of range, or two wishes exclude
            each other.
    """
    if not 1 <= nodes <= MAX_GANG:
        raise TermsError("nodes", f"nodes = {nodes}: allowed are 1 to {MAX_GANG}")
    if apart:
        _name("apart", apart)
    if apart and nodes > 1:
        raise TermsError("apart", "apart and nodes > 1 exclude each other: the nodes of one task are different anyway")
    _check_limits(limits)
    return Terms(_labels("require", require), _labels("prefer", prefer), tuple(sorted(limits.items())), apart, nodes)


def check_same_node(terms: Terms) -> None:
    """Refuse what a task with `same_node_as` cannot wish for besides: it has one node, and that is chosen already.

    Raises:
        TermsError: it wants several nodes, or to be apart from others.
    """
    if terms.nodes > 1:
        raise TermsError("same_node_as", "same_node_as and nodes > 1 exclude each other: the task gets one node")
    if terms.apart:
        raise TermsError("same_node_as", "same_node_as and apart exclude each other: the other task chooses the node")


def _check_limits(limits: Mapping[str, int]) -> None:
    _few("limits", limits)
    for name, units in limits.items():
        _name("limits", name)
        if not 1 <= units <= MAX_UNITS:
            raise TermsError("limits", f"limits[{name!r}] = {units}: allowed are 1 to {MAX_UNITS} units")


def _labels(field: str, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    _few(field, labels)
    for key, value in labels.items():
        _name(field, key)
        if value:
            _name(field, value)
    return tuple(sorted(labels.items()))


def _few(field: str, names: Mapping[str, object]) -> None:
    if len(names) > MAX_LABELS:
        raise TermsError(field, f"{field} has {len(names)} entries, at most {MAX_LABELS}")


def _name(field: str, name: str) -> None:
    try:
        check_name(name, f"a name in {field}")
    except BadName as error:
        raise TermsError(field, str(error)) from error
