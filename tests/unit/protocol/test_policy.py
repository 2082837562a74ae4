"""maze_protocol.policy: the rules of attempts, and which field breaks them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from maze_protocol.http import TaskBody
from maze_protocol.policy import MAX_RETRIES, MAX_RETRY_ON, NO_POLICY, Policy, PolicyError, check_policy


def test_the_fields_and_their_defaults_are_those_of_a_task_body() -> None:
    body = TaskBody("task_1", "name")
    given = {field: getattr(body, field) for field in Policy._fields}
    assert Policy(**{**given, "retry_on": tuple(given["retry_on"])}) == NO_POLICY
    first = TaskBody.__struct_fields__.index("retries")
    assert TaskBody.__struct_fields__[first : first + len(Policy._fields)] == Policy._fields


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"retries": MAX_RETRIES, "retry_backoff": 0.0},
        {"retry_on": ("ValueError", "requests.exceptions.ConnectionError", "app.make.<locals>.Größe")},
        {"timeout": 1e-9, "idle_timeout": 1e9},
        {"at_most_once": True, "timeout": 5.0},
    ],
)
def test_what_obeys_the_rules_passes(given: dict[str, Any]) -> None:
    policy = Policy(**given)
    assert check_policy(policy) is policy


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"retries": -1}, "retries", "0 to 1000"),
        ({"retries": MAX_RETRIES + 1}, "retries", "1001"),
        ({"retry_backoff": -0.1}, "retry_backoff", "not below 0"),
        ({"retry_backoff": math.inf}, "retry_backoff", "finite"),
        ({"timeout": math.nan}, "timeout", "finite"),
        ({"timeout": -1.0}, "timeout", "not below 0"),
        ({"idle_timeout": -1.0}, "idle_timeout", "not below 0"),
        ({"retry_on": ("",)}, "retry_on", "ValueError"),
        ({"retry_on": ("Value Error",)}, "retry_on", "'Value Error'"),
        ({"retry_on": ("a..b",)}, "retry_on", "'a..b'"),
        ({"retry_on": ("x" * 257,)}, "retry_on", "no name of an exc"),
        ({"retry_on": ("E",) * (MAX_RETRY_ON + 1)}, "retry_on", "65"),
        ({"at_most_once": True, "retries": 2}, "at_most_once", "2 are asked for"),
    ],
)
def test_what_breaks_a_rule_is_told_with_its_field(given: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told) as caught:
        check_policy(Policy(**given))
    assert caught.value.field == field
