"""Large literals that wait to be sent: each content once."""

from __future__ import annotations

import gc

import numpy as np

from maze._literals import Literals
from maze._values.codec import encode_pieces


def literal(literals: Literals, value: object):
    pieces = encode_pieces(value, lambda part: None)[1]
    return literals.literal(pieces, sum(map(len, pieces)))


def test_the_same_content_is_kept_once() -> None:
    literals = Literals()
    array = np.arange(1000.0)
    first = literal(literals, array)
    assert literal(literals, array) is first
    assert literal(literals, array.copy()) is first
    assert first.body == b"".join(encode_pieces(array, lambda part: None)[1])
    assert first.size == len(first.body)


def test_a_value_that_was_changed_meanwhile_is_another_one() -> None:
    literals = Literals()
    array = np.arange(1000.0)
    first = literal(literals, array)
    array[500] = -1.0  # neither at the beginning nor at the end
    second = literal(literals, array)
    assert second is not first
    assert second.body != first.body
    assert literal(literals, array) is second


def test_one_whose_bytes_have_gone_is_not_taken_for_another() -> None:
    literals = Literals()
    first = literal(literals, b"x" * 1000)
    first.body = b""
    second = literal(literals, b"x" * 1000)
    assert second is not first
    assert second.body


def test_what_no_task_holds_is_forgotten() -> None:
    literals = Literals()
    literal(literals, b"x" * 1000)
    gc.collect()
    assert not literals._known
