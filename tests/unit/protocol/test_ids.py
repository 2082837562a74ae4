"""maze_protocol.ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.ids import RUN, TASK, WORKFLOW, format_id, is_id, parse_id, short_id


@given(st.binary(min_size=16, max_size=16), st.sampled_from([TASK, RUN, WORKFLOW]))
def test_an_id_prints_and_parses(raw: bytes, kind: str) -> None:
    text = format_id(raw, kind)
    assert parse_id(text, kind) == raw
    assert is_id(text, kind)
    assert short_id(text) == text[:13]


@pytest.mark.parametrize(
    "text", ["", "task_", "task_" + "0" * 31, "task_" + "0" * 33, "task_" + "A" * 32, "run_" + "0" * 32, "0" * 32,
             "task_" + "0" * 32 + "\n", " task_" + "0" * 32, "task_" + " " * 2 + "0" * 30, "task_" + "\u0660" * 32,
             "taskx" + "0" * 32, "task_" + "\ud800" * 32]
)  # fmt: skip
def test_anything_else_is_no_task_id(text: str) -> None:
    assert not is_id(text, TASK)
    with pytest.raises(ValueError, match="not a task id"):
        parse_id(text, TASK)


def test_a_long_text_is_quoted_shortened() -> None:
    with pytest.raises(ValueError, match="not a run id") as caught:
        parse_id("x" * 10_000, RUN)
    assert len(str(caught.value)) < 200
