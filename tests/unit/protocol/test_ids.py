"""maze_protocol.ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.ids import RUN, TASK, WORKFLOW, format_id, is_id, parse_id, parse_ids, short_id


@given(st.binary(min_size=16, max_size=16), st.sampled_from([TASK, RUN, WORKFLOW]))
def test_an_id_prints_and_parses(raw: bytes, kind: str) -> None:
    text = format_id(raw, kind)
    assert parse_id(text, kind) == raw
    assert is_id(text, kind)
    assert short_id(text) == text[:13]


tid = format_id(bytes(range(16)), TASK)
BAD = ["", "task_", "task_" + "0" * 31, "task_" + "0" * 33, "task_" + "A" * 32, "run_" + "0" * 32, "0" * 32,
             "task_" + "0" * 32 + "\n", " task_" + "0" * 32, "task_" + " " * 2 + "0" * 30, "task_" + "\u0660" * 32,
             "taskx" + "0" * 32, "task_" + "\ud800" * 32]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_no_task_id(text: str) -> None:
    assert not is_id(text, TASK)
    with pytest.raises(ValueError, match="not a task id"):
        parse_id(text, TASK)


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=5), st.sampled_from([TASK, RUN, WORKFLOW]))
def test_many_ids_are_parsed_as_each_of_them(raw: list[bytes], kind: str) -> None:
    assert parse_ids([format_id(each, kind) for each in raw], kind) == raw


@given(st.integers(0, 3), st.sampled_from([*BAD, f"{tid}\n{tid}", f"{tid}{tid}"]), st.booleans())
def test_one_bad_id_among_many_is_found(before: int, bad: str, after: bool) -> None:
    with pytest.raises(ValueError, match="not a task id") as caught:
        parse_ids([tid] * before + [bad] + [tid] * after, TASK)
    assert repr(bad[:80]) in str(caught.value)


def test_what_is_missing_in_one_id_is_not_taken_from_the_next() -> None:
    with pytest.raises(ValueError, match="not a task id"):
        parse_ids([tid[:-2], tid + "00"], TASK)
    with pytest.raises(ValueError, match="not a task id"):
        parse_ids([tid, "", tid + "\n" + tid], TASK)


def test_a_long_text_is_quoted_shortened() -> None:
    with pytest.raises(ValueError, match="not a run id") as caught:
        parse_id("x" * 10_000, RUN)
    assert len(str(caught.value)) < 200
