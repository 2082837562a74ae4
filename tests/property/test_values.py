"""Round trips: type for type, bit for bit, holes anywhere; and no bytes that do anything but decode or be refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maze._values import ValueDecodeError, decode, decode_input, encode, encode_input
from maze_protocol.values import MSGPACK, PICKLE


@dataclasses.dataclass
class Box:
    inside: Any


class Hole:
    def __init__(self, number: int) -> None:
        self.number = number


surrogates = st.text(st.characters(exclude_categories=()))
leaves = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**65), 2**65) | st.floats() | surrogates | st.binary()
)
hashable = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
arrays = st.builds(
    lambda items, kind: np.array(items, dtype=kind), st.lists(st.integers(0, 100)), st.sampled_from(["f8", "i4", "u1"])
)


def nest(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(), children, max_size=4)
        | st.dictionaries(hashable, children, max_size=4)
        | st.lists(children, max_size=4).map(tuple)
        | st.frozensets(hashable, max_size=4)
        | st.sets(hashable, max_size=4)
        | children.map(Box)
    )


values = st.recursive(leaves | st.binary().map(bytearray) | arrays, nest, max_leaves=12)


def same(a: Any, b: Any) -> bool:
    """The oracle: equal in type and value all the way down, NaN and -0.0 included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(map(same, a, b)) == [True] * len(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (set, frozenset)):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, Box):
        return same(a.inside, b.inside)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    return bool(a == b)


def plain(value: Any) -> bool:
    """The oracle of the codec choice, written the slow way."""
    if type(value) is int:
        return -(2**63) <= value < 2**64
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if type(value) is list:
        return all(map(plain, value))
    if type(value) is dict:
        return all(type(key) is str and plain(key) and plain(each) for key, each in value.items())
    return type(value) in {type(None), bool, float, bytes}


@given(values)
def test_every_value_comes_back_the_same(value: Any) -> None:
    codec, body = encode(value)
    assert codec == (MSGPACK if plain(value) else PICKLE)
    assert same(decode(codec, body), value)


@given(st.recursive(leaves | st.integers(0, 5).map(Hole), nest, max_leaves=12), values)
def test_holes_anywhere_are_filled_in_order(template: Any, part: Any) -> None:
    codec, body, holes = encode_input(template, lambda each: each.number + 1 if isinstance(each, Hole) else None)
    found = decode_input(codec, body, [(number, part) for number in holes])

    def filled(each: Any) -> Any:
        if isinstance(each, Hole):
            return (each.number + 1, part)
        if isinstance(each, (list, tuple)):
            return type(each)(map(filled, each))
        if isinstance(each, dict):
            return {key: filled(inner) for key, inner in each.items()}
        return Box(filled(each.inside)) if isinstance(each, Box) else each

    assert same(found, filled(template))


@given(st.sampled_from([MSGPACK, PICKLE]), st.binary(max_size=200))
def test_garbage_decodes_or_is_refused(codec: int, body: bytes) -> None:
    try:
        decode(codec, body)
    except ValueDecodeError:
        return


@given(values, st.data())
def test_a_flipped_head_is_refused_or_harmless(value: Any, data: st.DataObject) -> None:
    codec, body = encode((value,))
    position = data.draw(st.integers(0, 15))
    broken = bytearray(body)
    broken[position] ^= data.draw(st.integers(1, 255))
    try:
        decode(codec, bytes(broken))
    except ValueDecodeError:
        return
