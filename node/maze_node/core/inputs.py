"""Inputs as they came, into inputs that carry their bodies: what a worker gets."""

from __future__ import annotations

from collections.abc import Sequence

from maze_protocol.values import Input, Value, body_of

__all__ = ["total_size", "with_bodies"]


def with_bodies(inputs: tuple[Input, ...], payloads: tuple[bytes, ...]) -> tuple[Input, ...]:
    """Return the inputs with every body in its value.

    Raises:
        BadMessage: a payload frame is missing, or has another size than announced.
    """
    for each in inputs:
        if any(value.frame for value in _values(each)):
            break
    else:
        return inputs  # small ones came with theirs
    return tuple(
        Input(
            each.name,
            None if each.template is None else _with_body(each.template, payloads),
            tuple(_with_body(part, payloads) for part in each.parts),
        )
        for each in inputs
    )


def total_size(inputs: Sequence[Input]) -> int:
    """Return the bytes of all values of all inputs."""
    size = 0
    for each in inputs:
        for value in _values(each):
            size += value.size
    return size


def _values(each: Input) -> tuple[Value, ...]:
    return each.parts if each.template is None else (each.template, *each.parts)


def _with_body(value: Value, payloads: tuple[bytes, ...]) -> Value:
    return value if value.frame == 0 else Value(value.codec, value.size, body_of(value, payloads))
