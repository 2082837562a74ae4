"""What a task says about its place, and which refusals name which field."""

from __future__ import annotations

from typing import Any

import pytest

from maze_protocol.http import TaskBody
from maze_protocol.terms import MAX_GANG, MAX_LABELS, NO_TERMS, Terms, TermsError, check_same_node, make_terms

PLAIN: dict[str, Any] = {"require": {}, "prefer": {}, "limits": {}, "apart": "", "nodes": 1}


def test_no_wishes_are_no_terms() -> None:
    assert make_terms(**PLAIN) == NO_TERMS


def test_equal_wishes_are_equal_in_whatever_order_they_are_written() -> None:
    one = make_terms(**{**PLAIN, "require": {"zone": "a", "disk": ""}, "limits": {"b": 2, "a": 1}})
    other = make_terms(**{**PLAIN, "require": {"disk": "", "zone": "a"}, "limits": {"a": 1, "b": 2}})
    assert one == other == Terms((("disk", ""), ("zone", "a")), (), (("a", 1), ("b", 2)))
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("require", {"": "a"}, "require"),
        ("require", {"zone": "a\n"}, "require"),
        ("prefer", {f"k{number}": "" for number in range(MAX_LABELS + 1)}, "at most 32"),
        ("prefer", {"k" * 300: ""}, "256 characters, got 300"),
        ("limits", {"openai": 0}, "1 to"),
        ("limits", {"": 1}, "limits"),
        ("apart", "a\tb", "apart"),
        ("nodes", 0, "nodes = 0"),
        ("nodes", MAX_GANG + 1, "allowed are 1 to 1024"),
    ],
)
def test_a_refusal_names_the_field(field: str, value: object, said: str) -> None:
    with pytest.raises(TermsError, match=said) as caught:
        make_terms(**{**PLAIN, field: value})
    assert caught.value.field == field


def test_the_fields_of_a_task_body_have_the_defaults_of_no_wishes() -> None:
    body = TaskBody("t", "t")
    assert make_terms(body.require, body.prefer, body.limits, body.apart, body.nodes) == NO_TERMS


def test_a_task_of_several_nodes_is_apart_from_nobody() -> None:
    with pytest.raises(TermsError, match="exclude each other") as caught:
        make_terms(**{**PLAIN, "apart": "replica", "nodes": 2})
    assert caught.value.field == "apart"


@pytest.mark.parametrize("terms", [Terms(nodes=2), Terms(apart="replica")])
def test_a_task_on_the_node_of_another_has_one_node_and_no_choice(terms: Terms) -> None:
    with pytest.raises(TermsError, match="exclude each other") as caught:
        check_same_node(terms)
    assert caught.value.field == "same_node_as"
    check_same_node(Terms((("zone", "a"),), (("ssd", ""),), (("openai", 1),)))
