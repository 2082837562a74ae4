"""maze_protocol.errors."""

from __future__ import annotations

import re

import pytest

from maze_protocol import errors


def test_the_docstring_draws_the_tree() -> None:
    drawn = re.findall(r"(\w+(?:Error|Large|Transition|Frame|Message|Mismatch)) ", errors.__doc__ or "")
    assert {name for name in drawn if name in errors.__all__} | {"ProtocolError"} == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_carries_a_code(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("some_code", "some text")
    assert (error.code, str(error)) == ("some_code", "some text")
    assert issubclass(kind, errors.ProtocolError)
