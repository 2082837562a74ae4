"""Where a task runs and what it shares, as users write it; refused with the rule it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from maze._terms import declare_same_node, declare_terms
from maze.errors import DeclarationError, DeclarationTypeError
from maze_protocol.terms import NO_TERMS, Terms

NOTHING = {"require": None, "prefer": {}, "limits": [], "apart": None, "nodes": 1, "retries": 3}


def test_nothing_given_is_no_wish() -> None:
    assert declare_terms({}) is NO_TERMS
    assert declare_terms(NOTHING) == NO_TERMS


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ({"zone": "a", "disk": ""}, (("disk", ""), ("zone", "a"))),
        ({"zone": None}, (("zone", ""),)),
        ("ssd", (("ssd", ""),)),
        ("zone=a", (("zone", "a"),)),
        (["ssd", "zone=a"], (("ssd", ""), ("zone", "a"))),
        (("ssd", "ssd"), (("ssd", ""),)),
        (["zone", "zone=a", "zone", "zone=a"], (("zone", "a"),)),
    ],
)
def test_labels_are_a_dictionary_or_names(given: Any, labels: tuple[tuple[str, str], ...]) -> None:
    assert declare_terms({"require": given}) == Terms(require=labels)
    assert declare_terms({"prefer": given}) == Terms(prefer=labels)


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({"openai": 3}, (("openai", 3),)),
        ("openai", (("openai", 1),)),
        (["openai", "disk"], (("disk", 1), ("openai", 1))),
    ],
)
def test_limits_are_units_by_name_or_names_for_one_each(given: Any, limits: tuple[tuple[str, int], ...]) -> None:
    assert declare_terms({"limits": given}) == Terms(limits=limits)


def test_what_is_given_replaces_what_was_declared_one_by_one() -> None:
    declared = declare_terms({"require": "ssd", "prefer": "big", "limits": "openai", "apart": "replica"})
    assert declare_terms({"require": {"zone": "a"}, "apart": None, "nodes": 2}, declared) == Terms(
        (("zone", "a"),), (("big", ""),), (("openai", 1),), "", 2
    )
    assert declare_terms({"limits": {}}, declared).limits == ()


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({"require": 3}, DeclarationTypeError, r"require must hold texts, not 3 \(int\)"),
        ({"require": {"zone": 3}}, DeclarationTypeError, "require must hold texts, not 3"),
        ({"prefer": ["ssd", None]}, DeclarationTypeError, "prefer must hold texts, not None"),
        ({"require": ""}, DeclarationError, "a name in require"),
        ({"require": ["zone=a", "zone=b"]}, DeclarationError, "require asks for zone=a and for zone=b"),
        ({"require": "=a"}, DeclarationError, "a name in require"),
        ({"prefer": {"zone": "a\n"}}, DeclarationError, "a name in prefer"),
        ({"limits": {"openai": 0}}, DeclarationError, r"limits\['openai'\] = 0: allowed are 1 to"),
        ({"limits": {"openai": 1.0}}, DeclarationTypeError, r"limits\['openai'\] must be a whole number, not float"),
        ({"limits": {"openai": True}}, DeclarationTypeError, "must be a whole number, not bool"),
        ({"limits": 3}, DeclarationTypeError, "limits must hold texts, not 3"),
        ({"apart": ["a"]}, DeclarationTypeError, "apart must be a word"),
        ({"apart": "a\tb"}, DeclarationError, "a name in apart"),
        ({"nodes": 0}, DeclarationError, "nodes = 0: allowed are 1 to 1024"),
        ({"nodes": "2"}, DeclarationTypeError, "nodes must be a whole number, not str"),
        ({"nodes": 2, "apart": "replica"}, DeclarationError, "apart and nodes > 1 exclude each other"),
    ],
)
def test_what_breaks_a_rule_is_told(given: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        declare_terms(given)


def test_rules_hold_for_what_the_decorator_said_too() -> None:
    with pytest.raises(DeclarationError, match="exclude each other"):
        declare_terms({"nodes": 2}, Terms(apart="replica"))
    assert declare_terms({"nodes": 2, "apart": None}, Terms(apart="replica")) == Terms(nodes=2)


@pytest.mark.parametrize(("terms", "told"), [(Terms(nodes=2), "nodes > 1"), (Terms(apart="replica"), "and apart")])
def test_the_node_of_another_task_is_one_node_and_not_to_choose(terms: Terms, told: str) -> None:
    with pytest.raises(DeclarationError, match=f"same_node_as.* {told}"):
        declare_same_node(terms)
    declare_same_node(Terms(require=(("zone", "a"),), limits=(("openai", 1),)))
