"""Builders of Code and Assign messages for tests of the node."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

from maze._values import decode, dump_function, encode
from maze_protocol.messages import Assign, Assignment, Code, Outcome, OutputDecl
from maze_protocol.resources import Claim
from maze_protocol.values import Input, Value, ValuePacker, body_of


def code_of(function: Callable[..., Any]) -> Code:
    return raw_code("pickle", dump_function(function), function.__name__)


def source_code(text: str, name: str = "task") -> Code:
    return raw_code("source", text.encode(), name)


def raw_code(kind: str, body: bytes, name: str = "task", python: tuple[int, int] | None = None) -> Code:
    digest = hashlib.blake2b(body, digest_size=16).digest()
    python = python or (sys.version_info[0], sys.version_info[1])
    return Code(digest, kind, python, Value(1, len(body), body), name)


def value_of(value: Any) -> Value:
    codec, body = encode(value)
    return Value(codec, len(body), body)


def assignment(
    lease: int, code: Code, params: dict[str, Any] | None = None, outputs: tuple[str, ...] = ("out",), **fields: Any
) -> Assignment:
    inputs = tuple(Input(name, None, (value_of(value),)) for name, value in (params or {}).items())
    declared = tuple(OutputDecl(*name.split(":")) for name in outputs)
    fields.setdefault("claim", Claim(10, 0))
    fields.setdefault("grant", lease)
    return Assignment(
        lease, fields.pop("grant"), b"r" * 16, b"t" * 16, 1, code.name, code.hash, inputs, declared, **fields
    )


def assign(*items: Assignment) -> tuple[Assign, tuple[bytes, ...]]:
    """Pack assignments as a head would, large bodies as payloads."""
    packer = ValuePacker()
    packed = []
    for each in items:
        inputs = tuple(
            Input(one.name, one.template, tuple(packer.pack(part, part.body) for part in one.parts))
            for one in each.inputs
        )
        fields = {name: getattr(each, name) for name in each.__struct_fields__}
        packed.append(Assignment(**{**fields, "inputs": inputs}))
    return Assign(tuple(packed)), tuple(packer.payloads)


def outputs_of(outcome: Outcome, payloads: tuple[bytes, ...] = ()) -> dict[str, Any]:
    return {each.key: decode(each.value.codec, body_of(each.value, payloads)) for each in outcome.outputs}
