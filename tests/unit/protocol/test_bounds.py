"""maze_protocol.bounds: each type lets its edge through and nothing beyond."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from msgspec import inspect as mi

from maze_protocol.bounds import Amount, Count, Finite, Interval, Many, NonNegative, Texts, Token
from maze_protocol.codec import Envelope
from maze_protocol.limits import MAX_DEPTH
from maze_protocol.messages import MESSAGES

NEVER = [math.nan, math.inf, -math.inf]


def reads(kind: Any, thing: Any) -> bool:
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(thing), type=kind)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Token, [0, 2**64 - 1], [-1, 0.5, True]),
        (Count, [0, 2**63 - 1], [-1, 2**63]),
        (Amount, [0, 10**12], [-1, 10**12 + 1]),
        (Finite, [0, -1e15, 1e15], [*NEVER, 1e16]),
        (NonNegative, [0.0, 1e15], [*NEVER, -1e-9]),
        (Interval, [1e-9, 1e15], [*NEVER, 0.0, -1.0]),
        (Many[int], [[], [1] * 65_536], [[1] * 65_537, ["1"]]),
        (Texts, [{}, {"a": "b"}], [{"a": 1}, {str(number): "" for number in range(65_537)}]),
    ],
)
def test_edges(kind: Any, good: list[Any], bad: list[Any]) -> None:
    assert [thing for thing in good if not reads(kind, thing)] == []
    assert [thing for thing in bad if reads(kind, thing)] == []


def levels(info: mi.Type) -> int:
    """Return how deep arrays and maps nest in a type."""
    inner: list[mi.Type] = []
    match info:
        case mi.StructType():
            inner = [field.type for field in info.fields]
        case mi.VarTupleType():
            inner = [info.item_type]
        case mi.TupleType():
            inner = list(info.item_types)
        case mi.DictType():
            inner = [info.key_type, info.value_type]
        case mi.UnionType():
            return max(map(levels, info.types))
        case _:
            return 0
    return 1 + max(map(levels, inner), default=0)


def test_the_schema_is_shallow() -> None:
    """So no message that is understood nests deeper; docs/wire.md tells what becomes of the rest."""
    assert levels(mi.type_info(Envelope)) == 11 <= MAX_DEPTH


def test_every_number_and_list_of_a_message_is_bounded() -> None:
    naked = [path for kind in MESSAGES for path in unbounded(mi.type_info(kind), kind.__name__)]
    assert sorted(set(naked)) == ["ErrorInfo.exit_code"]


def unbounded(info: mi.Type, where: str) -> list[str]:
    """Return the fields within a type that take any number, or a list of any length."""
    match info:
        case mi.IntType() | mi.FloatType():
            return [where] if info.ge is None and info.gt is None else []
        case mi.VarTupleType():
            return [where] * (info.max_length is None) + unbounded(info.item_type, where)
        case mi.DictType():
            return [where] * (info.max_length is None)
        case mi.TupleType():
            return [path for item in info.item_types for path in unbounded(item, where)]
        case mi.UnionType():
            return [path for item in info.types for path in unbounded(item, where)]
        case mi.StructType():
            fields = ((field.type, f"{info.cls.__name__}.{field.name}") for field in info.fields)
            return [path for kind, name in fields for path in unbounded(kind, name)]
    return []
