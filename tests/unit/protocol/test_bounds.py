"""maze_protocol.bounds: each type lets its edge through and nothing beyond."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from maze_protocol.bounds import Amount, Count, Finite, Interval, Many, NonNegative, Texts, Token

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
