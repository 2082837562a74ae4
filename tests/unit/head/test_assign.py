"""ASSIGN messages: bytes filled in, limits kept, shared bodies sent once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_head.assign import MAX_BYTES, MAX_ITEMS, pack_assignments, sources_of
from maze_head.core.effects import AssignTask, Source
from maze_protocol.codec import Envelope
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.limits import INLINE_VALUE, KIB, MAX_TASK_VALUES, MIB
from maze_protocol.messages import Assign
from maze_protocol.values import MSGPACK, PICKLE, Input, ObjectRef, OutputValue, Value, body_of
from support.messages import make_assignment

Table = dict[tuple[int, int], bytes]


def task(number: int, *sources: int, template: bytes | None = None) -> AssignTask:
    """Return an assignment whose input `x` needs the outputs `y` of these tasks of run 1."""
    given = None if template is None else Value(MSGPACK, len(template), template)
    inputs = (("x", given, tuple(Source(1, source, "y") for source in sources)),)
    return AssignTask(b"link", make_assignment(number, inputs=()), inputs)


def packed(effects: list[AssignTask], table: Table) -> list[tuple[Assign, list[bytes]]]:
    def lookup(run_no: int, task_no: int) -> tuple[OutputValue, ...]:
        body = table[run_no, task_no]
        return (OutputValue("other", Value(MSGPACK, 0)), OutputValue("y", Value(MSGPACK, len(body), body)))

    return list(pack_assignments(effects, lookup))


def bodies(given: Input, payloads: list[bytes]) -> list[bytes]:
    return [body_of(part, payloads) for part in given.parts]


def test_small_tasks_share_a_message_in_order() -> None:
    effects = [task(number, template=b"\x01") for number in range(1, 4)]
    ((message, payloads),) = packed(effects, {})
    assert [item.lease for item in message.items] == [1, 2, 3]
    assert [item.inputs[0] for item in message.items] == [Input("x", Value(MSGPACK, 1, b"\x01"))] * 3
    assert payloads == []


def test_a_message_has_at_most_so_many_tasks() -> None:
    messages = packed([task(number) for number in range(1, MAX_ITEMS + 2)], {})
    assert [len(message.items) for message, _ in messages] == [MAX_ITEMS, 1]


def test_a_body_with_several_consumers_travels_once() -> None:
    table = {(1, 0): bytes(INLINE_VALUE + 1)}
    ((message, payloads),) = packed([task(1, 0), task(2, 0), task(3, 0, 0)], table)
    assert [len(payload) for payload in payloads] == [INLINE_VALUE + 1]
    assert bodies(message.items[2].inputs[0], payloads) == [table[1, 0]] * 2


def test_an_object_travels_as_a_reference_and_is_not_looked_up() -> None:
    ref = ObjectRef(5, 0, 1 << 30, 9, (("tcp://n1:1", "key", b"ticket"),))
    inputs = (("x", None, (Source(1, 4, "y", ref, PICKLE),)),)
    effect = AssignTask(b"link", make_assignment(1, inputs=()), inputs)
    assert list(sources_of(effect)) == []
    ((message, payloads),) = packed([effect], {})
    assert message.items[0].inputs == (Input("x", None, (Value(PICKLE, 1 << 30, ref=ref),)),)
    assert payloads == []


def test_a_literal_that_was_uploaded_travels_as_a_reference() -> None:
    template = Value(PICKLE, 1 << 30, ref=ObjectRef(0, 0, 1 << 30, 0, hash=b"h" * 32))
    effect = AssignTask(b"link", make_assignment(1, inputs=()), (("x", template, (Source(1, 4, "y"),)),))
    ((message, payloads),) = packed([effect], {(1, 4): b"\x01"})
    assert message.items[0].inputs == (Input("x", template, (Value(MSGPACK, 1, b"\x01"),)),)
    assert payloads == []


def test_a_missing_output_is_named() -> None:
    with pytest.raises(LookupError, match="run 1, task 0: no output 'y'"):
        list(pack_assignments([task(1, 0)], lambda run_no, task_no: ()))


def test_sources_are_listed() -> None:
    assert list(sources_of(task(1, 4, 4, 5))) == [(1, 4), (1, 4), (1, 5)]


sizes = st.lists(
    st.sampled_from([0, 1, 100, INLINE_VALUE, INLINE_VALUE + 1, 300 * KIB, 700 * KIB]), min_size=0, max_size=24
)


@given(st.lists(sizes, min_size=1, max_size=8))
def test_whatever_the_sizes_everything_arrives_and_no_limit_is_broken(tasks: list[list[int]]) -> None:
    table: Table = {}
    effects = []
    for number, wanted in enumerate(tasks, 1):
        total, sources = 0, []
        for size in wanted:
            total += size
            if total <= MAX_TASK_VALUES:
                key = len(table)
                table[1, key] = bytes([key % 251]) * size
                sources.append(key)
        effects.append(task(number, *sources))
    arrived = []
    for message, payloads in packed(effects, table):
        decoded = decode_frames(encode_frames(Envelope(1, 1, 0, message), payloads))
        assert decoded is not None
        envelope, frames = decoded
        assert isinstance(envelope.message, Assign)
        assert len(envelope.message.items) == 1 or sum(map(len, frames)) <= MAX_BYTES + 1 * MIB
        arrived += [(item.lease, bodies(item.inputs[0], list(frames))) for item in envelope.message.items]
    assert arrived == [
        (effect.assignment.lease, [table[1, source.task_no] for source in effect.inputs[0][2]]) for effect in effects
    ]
