"""maze_protocol.waiting: answers survive in both formats, and may grow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maze_protocol import waiting
from maze_protocol.waiting import (
    Demand,
    Explanation,
    NamedTask,
    Nearest,
    Reason,
    RunExplanation,
    ShapeBody,
    ShapeDemand,
    WaitingGroup,
)

SHAPE = ShapeBody(4, 1024, 1, 20_000, 2, {"zone": "a"}, {"openai": 1}, "3.11", 60.0)
GROUP = WaitingGroup("no_capacity_now", "busy", 3, [NamedTask("task_1", "a")], SHAPE)
BODIES = (
    Explanation("infeasible", "too large", Nearest("n1", {"cpu": (8.0, 4.0), "label:zone": ("a", "b")}), ["n1"], 1.5),
    RunExplanation("run_1", [GROUP]),
    Demand([ShapeDemand(SHAPE, 3, 1.5, "reserved")]),
)
FORMATS = [(msgspec.json.encode, msgspec.json.decode), (msgspec.msgpack.encode, msgspec.msgpack.decode)]


@pytest.mark.parametrize(("encode", "decode"), FORMATS, ids=["json", "msgpack"])
@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_answers_survive_in_both_formats(encode: Any, decode: Any, body: Any) -> None:
    assert decode(encode(body), type=type(body)) == body


def test_answers_may_grow_and_older_heads_tell_less() -> None:
    told = b'{"code":"over","text":"the task is finished","of_the_future":1}'
    assert msgspec.json.decode(told, type=Explanation) == Explanation("over", "the task is finished")


def test_codes_are_words() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]


def test_public_names_are_real() -> None:
    assert all(hasattr(waiting, name) for name in waiting.__all__)
