"""Whatever arrives as a body is either understood or refused by name; nothing else ever comes out of the parser."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_head.api.bodies import parse, parse_json
from maze_head.api.routes import ROUTES
from maze_head.core.errors import Rejected

KINDS = sorted(
    {route.request for route in ROUTES if route.request not in (None, bytes)}, key=lambda kind: str(kind.__name__)
)
KEYS = st.sampled_from(
    ["ops", "op", "add_task", "task", "task_id", "name", "inputs", "value", "codes", "body", "workflow_id", "resources"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | KEYS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS | st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("msgpack", [False, True])
@given(data=st.binary(), kind=st.sampled_from(KINDS))
def test_bytes_are_read_or_refused(data: bytes, kind: type[Any], msgpack: bool) -> None:
    with suppress(Rejected):
        assert isinstance(parse(data, kind, msgpack=msgpack), kind)


@given(value=VALUES, kind=st.sampled_from(KINDS))
def test_json_of_any_shape_is_read_or_refused(value: Any, kind: type[Any]) -> None:
    data = json.dumps(value).encode()
    with suppress(Rejected):
        body = parse(data, kind, msgpack=False)
        assert parse(msgspec.json.encode(body), kind, msgpack=False) == body


@given(VALUES)
def test_the_strict_parser_agrees_with_the_standard_one_on_what_it_takes(value: Any) -> None:
    data = json.dumps(value).encode()
    with suppress(Rejected):
        strict = parse_json(data)
        assert strict == json.loads(data)
        assert msgspec.json.decode(msgspec.json.encode(strict)) == strict
