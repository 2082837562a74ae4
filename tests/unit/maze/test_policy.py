"""The options of `@task` and `add_task`: read as users write them, refused with the rule they break."""

from __future__ import annotations

import math
from typing import Any

import pytest

from maze._policy import declare_policy
from maze.errors import DeclarationError, DeclarationTypeError
from maze_protocol.policy import NO_POLICY, Policy


class Flaky(Exception):
    class Inner(Exception): ...


def test_nothing_given_is_one_attempt_without_a_limit() -> None:
    assert declare_policy({}) == NO_POLICY
    assert declare_policy({"timeout": None, "idle_timeout": None, "retry_on": None, "resources": {}}) == NO_POLICY


def test_all_options_are_read() -> None:
    given = {"retries": 3, "retry_backoff": 2, "retry_on": OSError, "timeout": 60, "idle_timeout": 1.5}
    assert declare_policy(given) == Policy(3, 2.0, ("builtins.OSError",), 60.0, 1.5)
    assert declare_policy({"at_most_once": True}) == Policy(at_most_once=True)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (ValueError, ("builtins.ValueError",)),
        ("ValueError", ("ValueError",)),
        (Flaky, (f"{__name__}.Flaky",)),
        (Flaky.Inner, (f"{__name__}.Flaky.Inner",)),
        ([OSError, "requests.exceptions.Timeout", OSError], ("builtins.OSError", "requests.exceptions.Timeout")),
        ((KeyError,), ("builtins.KeyError",)),
    ],
)
def test_exceptions_become_names_and_each_counts_once(given: Any, names: tuple[str, ...]) -> None:
    assert declare_policy({"retry_on": given}).retry_on == names


def test_what_is_given_replaces_what_was_declared_one_by_one() -> None:
    declared = Policy(3, 2.0, ("ValueError",), 60.0, 5.0)
    assert declare_policy({"retries": 0, "timeout": None}, declared) == Policy(0, 2.0, ("ValueError",), 0.0, 5.0)
    assert declare_policy({"retry_on": None}, declared).retry_on == ()


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({"retries": -1}, DeclarationError, "0 to 1000"),
        ({"retries": 1001}, DeclarationError, "0 to 1000"),
        ({"retries": True}, DeclarationTypeError, "retries must be a whole number, not bool"),
        ({"retries": 1.0}, DeclarationTypeError, "not float"),
        ({"retries": None}, DeclarationTypeError, "not NoneType"),
        ({"retry_backoff": -1}, DeclarationError, "not below 0"),
        ({"retry_backoff": math.inf}, DeclarationError, "finite"),
        ({"retry_backoff": "1"}, DeclarationTypeError, "retry_backoff must be a number of seconds, not str"),
        ({"retry_backoff": 10**400}, DeclarationError, "out of range"),
        ({"retry_on": []}, DeclarationError, "retry_on is empty; leave it out"),
        ({"retry_on": int}, DeclarationTypeError, "exception classes or their names, not int"),
        ({"retry_on": ValueError()}, DeclarationTypeError, "not ValueError"),
        ({"retry_on": {"ValueError"}}, DeclarationTypeError, "not set"),
        ({"retry_on": [None]}, DeclarationTypeError, "not NoneType"),
        ({"retry_on": "value error"}, DeclarationError, "'value error'"),
        ({"timeout": 0}, DeclarationError, "timeout = 0 must be more than 0 seconds; leave it out, or write None"),
        ({"timeout": math.nan}, DeclarationError, "finite"),
        ({"timeout": False}, DeclarationTypeError, "not bool"),
        ({"idle_timeout": -2}, DeclarationError, "idle_timeout = -2 must be more than 0"),
        ({"at_most_once": 1}, DeclarationTypeError, "at_most_once must be True or False, not int"),
        ({"at_most_once": True, "retries": 1}, DeclarationError, "at_most_once forbids retries"),
    ],
)
def test_what_breaks_a_rule_is_told(given: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        declare_policy(given)


def test_declared_and_given_options_may_exclude_each_other() -> None:
    with pytest.raises(DeclarationError, match="at_most_once forbids retries, and 2 are asked for"):
        declare_policy({"at_most_once": True}, Policy(retries=2))
    assert declare_policy({"at_most_once": True, "retries": 0}, Policy(retries=2)) == Policy(at_most_once=True)
