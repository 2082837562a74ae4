"""Bodies of inputs, from the message or from its payload frames."""

from __future__ import annotations

import pytest

from maze_node.core.inputs import refs_of, total_size, with_bodies
from maze_protocol.errors import BadMessage
from maze_protocol.values import Input, ObjectRef, Value


def test_bodies_are_found_wherever_they_came() -> None:
    given = (Input("a", None, (Value(0, 2, b"in"),)), Input("b", Value(1, 3, b"", 1), (Value(0, 1, b"", 2),)))
    found = with_bodies(given, (b"one", b"2"))
    assert [part.body for each in found for part in each.parts] == [b"in", b"2"]
    assert found[1].template is not None
    assert found[1].template.body == b"one"
    assert total_size(found) == 6


def test_a_missing_frame_is_refused() -> None:
    with pytest.raises(BadMessage):
        with_bodies((Input("a", None, (Value(0, 2, b"", 1),)),), ())


def test_objects_are_found_once_each_and_are_no_part_of_the_size() -> None:
    one, two = ObjectRef(1, 0, 1000, 0), ObjectRef(2, 0, 2000, 0)
    parts = (Value(1, 1000, ref=one), Value(0, 1, b"1"), Value(1, 2000, ref=two))
    inputs = (Input("a", Value(1, 3, b"abc"), parts), Input("b", None, (Value(1, 1000, ref=one),)))
    assert refs_of(inputs) == (one, two)
    assert total_size(with_bodies(inputs, ())) == 4
