"""Tasks that say only in what they differ from another one of their request."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import events as ev
from maze_head.core.errors import Conflict, Invalid, NotFound, Rejected
from maze_protocol.http import AddAlike, DelTask, EncodedValue, InputBody, TaskBody
from support.head_core import Head, W, add, task, tid

OPTIONS: dict[str, Any] = {
    "resources": {"cpu": 0.5}, "data_types": {"y": "int"}, "retries": 2, "retry_on": ["OSError"], "timeout": 9.0,
    "limits": {"api": 1}, "keep": True, "sandbox": True,
}  # fmt: skip


def like(number: int, of: int, *sources: int, **given: Any) -> AddAlike:
    return AddAlike(of, tid(number), task(number, *sources).inputs, **given)


def tasks(head: Head) -> list[TaskBody]:
    found: list[TaskBody] = head.ask(ev.DescribeWorkflow, W).tasks
    return found


def refused(head: Head, *ops: Any) -> Rejected:
    before = head.ask(ev.DescribeWorkflow, W)
    with pytest.raises(Rejected) as caught:
        head.edit(*ops)
    assert head.ask(ev.DescribeWorkflow, W) == before
    return caught.value


def test_a_task_has_all_of_the_one_it_is_like_but_id_name_and_inputs() -> None:
    short, full = Head(), Head()
    short.workflow(add(1), add(2, 1, **OPTIONS), like(3, 1, 1, 2, name="other"), like(4, 1))
    same_name = task(2).name
    full.workflow(
        add(1), add(2, 1, **OPTIONS), add(3, 1, 2, **OPTIONS, name="other"), add(4, **OPTIONS, name=same_name)
    )
    assert tasks(short) == tasks(full)
    assert short.ask(ev.DescribeWorkflow, W).edges == full.ask(ev.DescribeWorkflow, W).edges
    short.done()
    full.done()


def test_it_runs_on_the_node_on_which_the_other_one_is_to_run() -> None:
    head = Head()
    head.workflow(add(1), add(2, same_node_as=tid(1)), like(3, 1))
    assert tasks(head)[2].same_node_as == tid(1)
    assert (tid(1), tid(3)) in head.ask(ev.DescribeWorkflow, W).edges


def test_what_became_of_the_other_one_does_not_matter() -> None:
    head = Head()
    head.workflow(add(1, **OPTIONS), DelTask(tid(1)), like(2, 0))
    assert [each.retries for each in tasks(head)] == [2]


@pytest.mark.parametrize("number", [-1, 1, 2, 3, 99])
def test_it_is_like_none_but_an_add_task_before_it(number: int) -> None:
    head = Head()
    head.workflow()
    error = refused(head, add(1), DelTask(tid(1)), like(2, number), add(3))
    assert isinstance(error, Invalid)
    assert (error.code, error.op, error.field) == ("invalid_task", 2, "$.ops[2].like")


def test_one_that_says_much_is_a_model_for_none() -> None:
    head = Head()
    head.workflow()
    error = refused(head, add(1, outputs=[f"output {number}" for number in range(100)]), like(2, 0))
    assert (error.code, error.op, error.field) == ("invalid_task", 1, "$.ops[1].like")
    assert "in full" in error.hint


def test_its_own_words_are_checked() -> None:
    head = Head()
    head.workflow(add(1))
    unknown = refused(head, add(2), like(3, 0, 9))
    assert isinstance(unknown, NotFound)
    assert (unknown.code, unknown.op, unknown.field) == ("unknown_task", 1, "$.ops[1].inputs.x9")
    assert refused(head, add(2), like(3, 0, name="a\x00")).field == "$.ops[1].name"
    assert refused(head, add(2), AddAlike(0, "task_3")).field == "$.ops[1].task_id"
    odd = refused(head, add(2), AddAlike(0, tid(3), {"x": InputBody(encoded=EncodedValue(9, b""))}))
    assert odd.field == "$.ops[1].inputs.x.encoded.codec"
    taken = refused(head, add(2), like(1, 0, 2))
    assert (type(taken), taken.code) == (Conflict, "task_exists")
    assert head.edit(add(1), like(1, 0, name=task(1).name)).revision == 1, "the same task again is no change"
