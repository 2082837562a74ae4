"""Messages for tests, made from the schema itself: a strategy for any struct, and one fixed sample of each.

Both walk `msgspec.inspect`, so a message or field added tomorrow is tested tomorrow without a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as mi

from maze_protocol.messages import (
    Assign,
    Assignment,
    Hello,
    Outcome,
    OutputDecl,
    Result,
    Welcome,
)
from maze_protocol.resources import Capacity, Claim
from maze_protocol.values import Input, OutputValue, Value

U64 = (1 << 64) - 1


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for valid instances of a struct, within the bounds of its field types."""
    return _strategy(mi.type_info(kind))


def _strategy(info: mi.Type) -> st.SearchStrategy[Any]:
    if type(info) in _SCALARS:
        return _SCALARS[type(info)](info)
    match info:
        case mi.VarTupleType():
            return st.lists(_strategy(info.item_type), max_size=3).map(tuple)
        case mi.TupleType():
            return st.tuples(*map(_strategy, info.item_types))
        case mi.DictType():
            return st.dictionaries(_strategy(info.key_type), _strategy(info.value_type), max_size=3)
        case mi.UnionType():
            return st.one_of(*map(_strategy, info.types))
        case mi.StructType():
            return st.builds(info.cls, **{field.name: _strategy(field.type) for field in info.fields})
    raise NotImplementedError(f"no strategy for {info}")


def _integers(info: mi.IntType) -> st.SearchStrategy[int]:
    return st.integers(info.ge if info.ge is not None else -(1 << 63), info.le if info.le is not None else U64)


def _floats(info: mi.FloatType) -> st.SearchStrategy[float]:
    low = info.ge if info.ge is not None else info.gt
    return st.floats(low, info.le, exclude_min=info.gt is not None, allow_nan=False, allow_infinity=False)


_SCALARS: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    mi.IntType: _integers,
    mi.FloatType: _floats,
    mi.StrType: lambda _: st.text(max_size=12),
    mi.BytesType: lambda _: st.binary(max_size=40),
    mi.BoolType: lambda _: st.booleans(),
    mi.NoneType: lambda _: st.none(),
}


def sample(kind: type[msgspec.Struct]) -> Any:
    """Return one fixed instance with every field filled and no two fields alike."""
    return _sample(mi.type_info(kind), count(1))


def _sample(info: mi.Type, numbers: Iterator[int]) -> Any:
    if type(info) in _SAMPLES:
        return _SAMPLES[type(info)](next(numbers))
    match info:
        case mi.VarTupleType():
            return (_sample(info.item_type, numbers), _sample(info.item_type, numbers))
        case mi.TupleType():
            return tuple(_sample(item, numbers) for item in info.item_types)
        case mi.DictType():
            return {_sample(info.key_type, numbers): _sample(info.value_type, numbers)}
        case mi.UnionType():
            return _sample(next(item for item in info.types if not isinstance(item, mi.NoneType)), numbers)
        case mi.StructType():
            return info.cls(**{field.name: _sample(field.type, numbers) for field in info.fields})
    raise NotImplementedError(f"no sample for {info}")


_SAMPLES: dict[type, Callable[[int], Any]] = {
    mi.IntType: lambda number: number,
    mi.FloatType: lambda number: number + 0.5,
    mi.StrType: lambda number: f"text-{number}",
    mi.BytesType: lambda number: f"bytes-{number}".encode(),
    mi.BoolType: lambda number: number % 2 == 0,
}


def minimal(kind: type[msgspec.Struct]) -> Any:
    """Return an instance with only the required fields given."""
    info = mi.type_info(kind)
    assert isinstance(info, mi.StructType)
    numbers = count(1)
    return kind(**{field.name: _sample(field.type, numbers) for field in info.fields if field.required})


def make_hello(node_id: str = "node-a", incarnation: int = 1, **fields: Any) -> Hello:
    """Return a HELLO that any head admits."""
    given = {"min_major": 1, "max_major": 1, "minor": 0, "capacity": Capacity(4000, 8192), "python": (3, 11, 4)}
    given |= {"maze_version": "0.1.0", "address": "127.0.0.1"} | fields
    return Hello(node_id=node_id, incarnation=incarnation, **given)


def make_welcome(session: int = 1 << 32 | 1, **fields: Any) -> Welcome:
    """Return a WELCOME with the default times."""
    given = {"major": 1, "minor": 0, "epoch": 1, "cluster_id": b"c" * 16, "heartbeat": 1.0, "suspect_after": 3.0}
    given |= {"lease_ttl": 10.0, "orphan_timeout": 600.0} | fields
    return Welcome(session=session, **given)


def make_assignment(lease: int = 1 << 32 | 1, **fields: Any) -> Assignment:
    """Return a lease of a task with one input."""
    given = {"grant": 1, "run": b"r" * 16, "task": b"t" * 16, "attempt": 1, "name": "double", "code": b"h" * 16}
    given |= {"inputs": (Input("x", None, (make_value(),)),), "outputs": (OutputDecl("y"),), "claim": Claim(1000, 0)}
    return Assignment(lease=lease, **given | fields)


def make_assign(*leases: int) -> Assign:
    """Return an ASSIGN of these leases."""
    return Assign(tuple(make_assignment(lease) for lease in leases))


def make_result(*leases: int) -> Result:
    """Return a RESULT with one small output for each lease."""
    return Result(tuple(Outcome(lease, 0, 1.0, 2.0, (OutputValue("y", make_value()),)) for lease in leases))


def make_value(body: bytes = b"\x07") -> Value:
    """Return an inline value."""
    return Value(0, len(body), body)
