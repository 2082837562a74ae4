"""Tasks that say only in what they differ from another one of their request."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import events as ev
from maze_head.core.alike import WORTH_A_SERIES
from maze_head.core.codes import CodeFacts
from maze_head.core.edits import apply_ops
from maze_head.core.errors import Conflict, Invalid, NotFound, Rejected
from maze_head.core.tasks import TaskSpec
from maze_head.core.workflows import Edit, Workflow
from maze_protocol.http import AddAlike, DelTask, EncodedValue, InputBody, TaskBody
from maze_protocol.limits import MAX_TASK_VALUES
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


def literals(first: int, *numbers: int, **given: Any) -> list[AddAlike]:
    return [AddAlike(first, tid(number), {"x": encoded(number)}, **given) for number in numbers]


def encoded(number: int) -> InputBody:
    return InputBody(encoded=EncodedValue(0, bytes([number])))


MANY = range(2, 4 * WORTH_A_SERIES)
PLACE = len(MANY) // 2
WRONG: list[tuple[AddAlike, str, str]] = [
    (AddAlike(0, "task_3", {"x": encoded(1)}), "invalid_task", "task_id"),
    (AddAlike(0, tid(1), {"x": encoded(1)}), "task_exists", "task_id"),
    (AddAlike(0, tid(2), {"x": encoded(1)}), "task_exists", "task_id"),
    (AddAlike(0, tid(200), {"x": encoded(1)}, "a\x00"), "bad_name", "name"),
    (AddAlike(0, tid(200), {"x\x00": encoded(1)}), "bad_name", "inputs.x\x00"),
    (AddAlike(0, tid(200), {"x": InputBody(encoded=EncodedValue(9, b""))}), "invalid_task", "inputs.x.encoded.codec"),
    (AddAlike(0, tid(200), {"x": InputBody(value=1, encoded=EncodedValue(0, b""))}), "invalid_task", "inputs.x"),
    (AddAlike(0, tid(200), {"x": InputBody()}), "invalid_task", "inputs.x"),
    (AddAlike(0, tid(200), {"x": InputBody(encoded=EncodedValue(0, bytes(MAX_TASK_VALUES + 1)))}),
     "too_large", "inputs"),
    (AddAlike(0, tid(200), {"x": InputBody(source=f"{tid(201)}.output.y")}), "unknown_task", "inputs.x"),
    (AddAlike(-1, tid(200)), "invalid_task", "like"),
    (AddAlike(0, tid(2), {"x": InputBody(encoded=EncodedValue(0, b"2"), refs=[f"{tid(2)}.output.y"])}),
     "task_exists", "task_id"),
]  # fmt: skip


def taken_in(ops: list[Any]) -> list[int]:
    """Return how many tasks each series of an edit had."""
    sizes: list[int] = []

    class Noted(Edit):
        def add_alike(self, spec: TaskSpec, task_ids: list[bytes], packed: list[bytes]) -> None:
            sizes.append(len(task_ids))
            super().add_alike(spec, task_ids, packed)

    apply_ops(Noted(Workflow(W, "", 0.0)), ops, lambda _: CodeFacts("pickle", (3, 11)))
    return sizes


@pytest.mark.parametrize(("wrong", "code", "field"), WRONG)
def test_a_series_is_refused_for_the_one_task_that_is_wrong(wrong: AddAlike, code: str, field: str) -> None:
    head = Head()
    head.workflow()
    ops = [add(1), *literals(0, *MANY)]
    ops.insert(PLACE, wrong)
    error = refused(head, *ops)
    assert (error.code, error.op, error.field) == (code, PLACE, f"$.ops[{PLACE}].{field}")
    assert head.edit(add(1), *literals(0, *MANY)).revision == 1


def test_tasks_that_are_there_already_may_be_among_a_series() -> None:
    head = Head()
    head.workflow(add(1), *literals(0, *MANY[::2]))
    assert head.edit(add(1), *literals(0, *MANY), *literals(0, *MANY)).revision == 2
    assert sorted(each.task_id for each in tasks(head)) == [tid(number) for number in (1, *MANY)]


def test_references_within_literals_are_kept() -> None:
    hole = InputBody(encoded=EncodedValue(0, b"hole"), refs=[f"{tid(3)}.output.y"])
    head, ops = Head(), [add(1), *literals(0, *MANY)]
    head.workflow(*ops[:PLACE], AddAlike(0, tid(200), {"x": hole}), *ops[PLACE:])
    assert tasks(head)[PLACE].inputs == {"x": hole}
    assert head.ask(ev.DescribeWorkflow, W).edges == [(tid(3), tid(200))]


def test_a_series_goes_as_far_as_its_tasks_are_plain_and_of_one_model() -> None:
    count = WORTH_A_SERIES + 1
    first, second = literals(0, *range(10, 10 + count)), literals(1, *range(40, 40 + count))
    # The first one is not among them: with it its model is looked at.
    assert taken_in([add(1), add(2), *first, *second]) == [count - 1, count - 1]
    assert taken_in([add(1), *first, like(99, 0, 1), *literals(0, *range(70, 70 + count))]) == [count - 1, count]
    # Two behind those that are not plain are not looked at.
    odd = [like(number, 0, 1) for number in range(100, 103)]
    assert taken_in([add(1), *odd, *first, *literals(0, *range(70, 70 + count))]) == [2 * count - 2]
    assert taken_in([add(1), *first[:-2]]) == [], "one after the other is quicker"
    assert taken_in([add(1), add(2, same_node_as=tid(1)), *second]) == []
    assert taken_in([add(1), *literals(0, *range(10, 10 + count), name="other")]) == [count - 1]
