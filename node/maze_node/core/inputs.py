"""Inputs as they came, into inputs that carry their bodies: what a worker gets."""

from __future__ import annotations

from collections.abc import Sequence

from maze_protocol.values import Input, ObjectKey, ObjectRef, OutputValue, Value, body_of, key_of

__all__ = ["filled", "plain_size", "refs_of", "total_size", "with_bodies"]


def plain_size(inputs: Sequence[Input]) -> int | None:
    """Return the bytes of all values if each has its body with it, the usual case; None: see the other functions."""
    size = 0
    for each in inputs:
        if each.template is not None:
            return None
        for value in each.parts:
            if value.frame or value.ref is not None:
                return None
            size += value.size
    return size


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


def filled(
    inputs: tuple[Input, ...], awaits: Sequence[tuple[int, str]], outputs: Sequence[OutputValue]
) -> tuple[Input, ...] | None:
    """Return the inputs of an early lease with the outputs that it lacked; None if one of them was not made.

    Args:
        inputs: as they came, without those parts.
        awaits: what is lacking: (number of the input, output key), in the order of that input's parts.
        outputs: what the attempt made that it waited for.
    """
    made = {output.key: output.value for output in outputs}
    parts: list[list[Value]] = [[] for _ in inputs]
    for number, key in awaits:
        if number >= len(inputs) or key not in made:
            return None
        parts[number].append(made[key])
    return tuple(
        Input(each.name, each.template, (*each.parts, *more)) for each, more in zip(inputs, parts, strict=True)
    )


def total_size(inputs: Sequence[Input]) -> int:
    """Return the bytes of all values of all inputs, without those that are objects."""
    size = 0
    for each in inputs:
        for value in _values(each):
            if value.ref is None:
                size += value.size
    return size


def refs_of(inputs: Sequence[Input]) -> tuple[ObjectRef, ...]:
    """Return each object among the inputs once, in the order in which they are named first."""
    found: dict[ObjectKey, ObjectRef] = {}
    for each in inputs:
        for value in _values(each):
            if value.ref is not None:
                found.setdefault(key_of(value.ref), value.ref)
    return tuple(found.values())


def _values(each: Input) -> tuple[Value, ...]:
    return each.parts if each.template is None else (each.template, *each.parts)


def _with_body(value: Value, payloads: tuple[bytes, ...]) -> Value:
    return value if value.frame == 0 else Value(value.codec, value.size, body_of(value, payloads))
