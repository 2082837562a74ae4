"""Bodies of inputs, from the message or from its payload frames."""

from __future__ import annotations

import pytest

from maze_node.core.inputs import filled, plain_size, refs_of, total_size, with_bodies
from maze_protocol.errors import BadMessage
from maze_protocol.values import Input, ObjectRef, OutputValue, Value


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


def test_what_an_early_lease_lacks_follows_the_parts_that_it_has() -> None:
    old, one, two = Value(0, 3, b"old"), Value(0, 3, b"one"), Value(0, 3, b"two")
    inputs = (Input("a", old, (old,)), Input("b", None))
    made = (OutputValue("y", one), OutputValue("z", two))
    assert filled(inputs, ((0, "z"), (1, "y"), (0, "y")), made) == (
        Input("a", old, (old, two, one)),
        Input("b", None, (one,)),
    )
    assert filled(inputs, (), ()) == inputs


@pytest.mark.parametrize("awaits", [((0, "other"),), ((2, "y"),)])
def test_what_was_not_made_or_has_no_place_cannot_be_filled_in(awaits: tuple[tuple[int, str], ...]) -> None:
    inputs = (Input("a", None), Input("b", None))
    assert filled(inputs, awaits, (OutputValue("y", Value(0, 1, b"1")),)) is None


def test_inputs_with_all_their_bodies_are_measured_at_once() -> None:
    here, elsewhere = Value(0, 3, b"abc"), Value(0, 5, b"", 1)
    kept = Value(0, 9, ref=ObjectRef(7, 0, 9, 0))
    assert plain_size(()) == 0
    assert plain_size((Input("x", None, (here,)), Input("y", None, (here,)))) == 6
    for odd in (Input("y", None, (elsewhere,)), Input("y", None, (here, kept)), Input("y", here, (here,))):
        assert plain_size((Input("x", None, (here,)), odd)) is None
