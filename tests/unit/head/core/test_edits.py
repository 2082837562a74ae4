"""What each operation of an edit may do, and in which words it is refused."""

from __future__ import annotations

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Conflict, Invalid, NotFound, Rejected
from maze_protocol.http import (
    AddTask,
    CodeBody,
    DelEdge,
    DelTask,
    EditRequest,
    EncodedValue,
    InputBody,
    SaveTask,
    UploadedValue,
    WorkflowRequest,
)
from maze_protocol.ids import WORKFLOW, format_id
from maze_protocol.values import ObjectRef, Value
from support.head_core import CODE, Head, W, add, edge, ok, raw, task, tid


def head_with(*ops) -> Head:
    head = Head()
    head.workflow(*ops)
    head.done()
    return head


def refused(head: Head, *ops, **given) -> Rejected:
    before = head.ask(ev.DescribeWorkflow, W)
    with pytest.raises(Rejected) as caught:
        head.edit(*ops, **given)
    head.done()
    assert head.ask(ev.DescribeWorkflow, W) == before
    return caught.value


def edges(head: Head) -> list[tuple[int, int]]:
    return [(int(s[-4:], 16), int(t[-4:], 16)) for s, t in head.ask(ev.DescribeWorkflow, W).edges]


def test_a_refused_edit_changes_nothing_and_names_the_operation() -> None:
    head = head_with(add(1), add(2, 1))
    error = refused(head, add(3, 2), edge(1, 3), DelTask(tid(9)))
    assert (isinstance(error, NotFound), error.code, error.op, error.field) == (
        True,
        "unknown_task",
        2,
        "$.ops[2].task_id",
    )


def test_a_refused_edit_restores_deleted_tasks_to_their_place() -> None:
    head = head_with(add(1), add(2, 1), add(3), edge(1, 3))
    refused(head, DelTask(tid(2)), DelTask(tid(1)), add(1), edge(3, 3))


def test_each_edit_is_a_revision_and_journalled() -> None:
    head = head_with()
    assert head.edit(add(1)).revision == 1
    assert head.edit(add(2, 1)).revision == 2
    records = [effect.body for effect in head.take(fx.AppendCluster) if effect.kind == "workflow_edited"]
    assert [record["revision"] for record in records] == [1, 2]


def test_an_edit_without_change_is_no_revision() -> None:
    head = head_with(add(1), add(2), edge(1, 2))
    assert head.edit(add(1), edge(1, 2), SaveTask(task(2))).revision == 1
    head.done()


def test_a_repeated_edit_id_gets_the_first_answer() -> None:
    head = head_with()
    first = head.edit(add(1), edit_id="e1", base_revision=0)
    head.edit(add(2))
    head.forget()
    assert head.edit(add(1), edit_id="e1", base_revision=0) == first
    head.done()


def test_an_edit_made_for_another_revision_is_a_conflict() -> None:
    error = refused(head_with(add(1)), add(2), base_revision=0)
    assert (type(error), error.code) == (Conflict, "edit_conflict")


def test_another_task_under_a_known_id_is_a_conflict() -> None:
    assert refused(head_with(add(1)), add(1, name="other")).code == "task_exists"


def test_an_unknown_task_comes_with_a_guess() -> None:
    head = head_with(add(1))
    wrong = tid(1)[:-1] + "2"
    error = refused(head, DelTask(wrong))
    assert error.hint == f"did you mean {tid(1)}?"


def test_an_unknown_output_comes_with_a_guess() -> None:
    head = head_with(add(1, outputs=["result"]))
    body = task(2, inputs={"x": InputBody(source=f"{tid(1)}.output.resutl")})
    error = refused(head, AddTask(body))
    assert (error.code, error.hint) == ("unknown_output", "did you mean 'result'?")
    assert error.field == "$.ops[0].task.inputs.x"


def test_outputs_of_the_original_wire_and_of_unsaved_tasks_are_not_checked() -> None:
    head = head_with(add(1, outputs=[], strict_outputs=False), add(2, code="", outputs=[]))
    head.edit(add(3, 1, 2))


def test_saving_a_task_may_not_drop_an_output_in_use() -> None:
    head = head_with(add(1, code=""), add(2, 1))
    error = refused(head, SaveTask(task(1, outputs=["z"])))
    assert (error.code, error.op) == ("task_referenced", 0)
    assert "input 'x1' of task t2 (task_00000000) references output 'y'" in error.message


def test_saving_replaces_reference_edges_and_keeps_manual_ones() -> None:
    head = head_with(add(1), add(2), add(3), add(4, 1, 2), edge(3, 4), edge(1, 4))
    head.edit(SaveTask(task(4, 2)))
    assert edges(head) == [(1, 4), (2, 4), (3, 4)]
    head.edit(DelEdge(tid(1), tid(4)))
    assert edges(head) == [(2, 4), (3, 4)]


def test_saving_an_unknown_task_is_not_found() -> None:
    assert refused(head_with(), SaveTask(task(1))).code == "unknown_task"


def test_a_cycle_is_named_by_its_tasks() -> None:
    head = head_with(add(1), add(2, 1), add(3, 2))
    error = refused(head, edge(3, 1))
    assert error.code == "cycle"
    assert [word for word in error.message.split() if word.startswith("t") and word[1:].isdigit()] == [
        "t3", "t1", "t2", "t3",
    ]  # fmt: skip


def test_a_long_cycle_is_shortened() -> None:
    head = head_with(*(add(n, *([n - 1] if n else [])) for n in range(100)))
    assert "… 91 more …" in refused(head, edge(99, 0)).message


@pytest.mark.parametrize("op", [edge(1, 1), SaveTask(task(1, 1))])
def test_a_task_cannot_wait_for_itself(op) -> None:
    assert refused(head_with(add(1)), op).code == "cycle"


def test_a_reference_that_closes_a_cycle_is_refused() -> None:
    head = head_with(add(1), add(2, 1))
    assert refused(head, SaveTask(task(1, 2))).code == "cycle"


def test_an_absent_edge_cannot_be_deleted() -> None:
    assert refused(head_with(add(1), add(2)), DelEdge(tid(1), tid(2))).code == "unknown_edge"


def test_an_edge_of_a_reference_cannot_be_deleted() -> None:
    error = refused(head_with(add(1), add(2, 1)), DelEdge(tid(1), tid(2)))
    assert (type(error), error.code) == (Conflict, "edge_referenced")
    assert "input 'x1' of task t2" in error.message


def test_a_referenced_task_cannot_be_deleted_and_its_users_are_named() -> None:
    error = refused(head_with(add(1), *(add(n, 1) for n in range(2, 9))), DelTask(tid(1)))
    assert error.code == "task_referenced"
    assert "t2 (task_00000000)" in error.message
    assert error.message.endswith("and 2 more")


def test_manual_edges_vanish_with_their_task() -> None:
    head = head_with(add(1), add(2), add(3), edge(1, 2), edge(2, 3))
    head.edit(DelTask(tid(2)), edge(3, 1))
    assert edges(head) == [(3, 1)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"func_name": "\x1b[31m"}, "func_name"),
        ({"code": "zz"}, "code"),
        ({"code": "00" * 16}, "code"),
        ({"task_type": "shell"}, "task_type"),
        ({"outputs": ["y", "y"]}, "outputs"),
        ({"outputs": [""]}, "outputs"),
        ({"data_types": {"y": "integer"}}, "data_types.y"),
        ({"resources": {"gpu": -1}}, "resources"),
        ({"resources": {"cpus": 1}}, "resources"),
        ({"resources": {"gpu": 1.5}}, "resources"),
        ({"inputs": {"x": InputBody()}}, "inputs.x"),
        ({"inputs": {"x": InputBody(value=1, source=f"{tid(1)}.output.y")}}, "inputs.x"),
        ({"inputs": {"x": InputBody(value=1, refs=[f"{tid(1)}.output.y"])}}, "inputs.x"),
        ({"inputs": {"x": InputBody(source="nonsense")}}, "inputs.x"),
        ({"inputs": {"x": InputBody(source="task_1.output.y")}}, "inputs.x"),
        ({"inputs": {"": InputBody(value=1)}}, "inputs."),
        ({"inputs": {"x": InputBody(value=2**64)}}, "inputs.x"),
        ({"inputs": {"x": InputBody(value={1: 2})}}, "inputs.x"),
        ({"inputs": {"x": InputBody(value=(1,))}}, "inputs.x"),
        ({"inputs": {"x": InputBody(encoded=EncodedValue(7, b""))}}, "inputs.x.encoded.codec"),
        ({"inputs": {"x": InputBody(value="x" * (9 << 20))}}, "inputs"),
    ],
)
def test_a_task_that_can_never_be_right_is_invalid(given: dict, field: str) -> None:
    error = refused(head_with(), AddTask(task(1, **given)))
    assert isinstance(error, Invalid)
    assert error.field == f"$.ops[0].task.{field}"


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "\u202eforged", "\ud800", "n" * 257])
def test_a_name_that_cannot_be_shown_is_told_as_such(name: str) -> None:
    for given in (
        {"name": name},
        {"outputs": [name]},
        {"inputs": {name: InputBody(value=1)}},
        {"require": {name: ""}},
        {"limits": {name: 1}},
    ):
        assert refused(head_with(), AddTask(task(1, **given))).code == "bad_name", given


def test_a_task_of_another_workflow_is_told_as_such() -> None:
    head = head_with(add(1))
    other = bytes([7]) * 16
    head.ask(ev.CreateWorkflow, other, WorkflowRequest())
    head.take(fx.AppendCluster)
    with pytest.raises(Invalid) as caught:
        head.edit(add(2), edge(1, 2), workflow_id=other)
    error = caught.value
    assert (error.code, error.op, error.field) == ("foreign_task", 1, "$.ops[1].source")
    assert format_id(W, WORKFLOW) in error.message


def test_a_malformed_task_id_is_invalid() -> None:
    body = task(1)
    body.task_id = "task_1"
    assert refused(head_with(), AddTask(body)).field == "$.ops[0].task.task_id"


def test_a_deep_literal_is_refused_without_recursion() -> None:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested deeper" in refused(head_with(), AddTask(task(1, inputs={"x": InputBody(value=deep)}))).message
    while deep:
        deep = deep[0]


def test_literals_come_back_as_they_were() -> None:
    values = {"a": None, "b": 2**63, "c": -1.5, "d": [True, {"k": "ü"}], "e": b"raw"}
    head = head_with(AddTask(task(1, inputs={name: InputBody(value=value) for name, value in values.items()})))
    shown = head.ask(ev.DescribeWorkflow, W).tasks[0].inputs
    assert {name: body.value for name, body in shown.items()} == values


def test_encoded_inputs_with_holes_make_edges_and_stay_opaque() -> None:
    given = InputBody(encoded=EncodedValue(0, b"\x91opaque"), refs=[f"{tid(1)}.output.y"])
    head = head_with(add(1), AddTask(task(2, inputs={"x": given})))
    assert edges(head) == [(1, 2)]
    assert head.ask(ev.DescribeWorkflow, W).tasks[1].inputs == {"x": given}


@pytest.mark.parametrize(
    "code",
    [
        CodeBody(CODE, "pickle", (3, 11), b"other"),
        CodeBody(CODE, "shell", (3, 11), b"cloudpickle of a function"),
        CodeBody(CODE, "pickle", (2, 7), b"cloudpickle of a function"),
        CodeBody(CODE, "pickle", (3, 11), b"cloudpickle of a function", "a\0b"),
    ],
)
def test_bad_code_is_invalid(code: CodeBody) -> None:
    head = Head()
    head.workflow()
    with pytest.raises(Invalid) as caught:
        head.ask(ev.EditWorkflow, W, EditRequest([], [code]))
    assert caught.value.field.startswith("$.codes[0].")


def test_many_edits_cost_what_they_change() -> None:
    """A thousand one-task edits of one workflow journal a thousand short records, not a thousand graphs."""
    head = head_with()
    sizes = []
    for number in range(1000):
        head.edit(add(number, *([number - 1] if number else [])))
        sizes += [len(effect.body["changes"]) for effect in head.take(fx.AppendCluster)]
    assert max(sizes) < 300
    assert head.take(fx.SaveGraph) == []
    assert raw(999) in head.core.state.workflows[W].contents.tasks


POLICY = {
    "retries": 3, "retry_backoff": 0.0, "retry_on": ["OSError"], "timeout": 60.0, "idle_timeout": 5.0,
}  # fmt: skip


def test_the_policy_of_a_task_is_kept_and_shown_and_part_of_its_definition() -> None:
    head = head_with(add(1, **POLICY), add(2, at_most_once=True))
    first, second = head.ask(ev.DescribeWorkflow, W).tasks
    assert {field: getattr(first, field) for field in POLICY} == POLICY
    assert (first.at_most_once, second.at_most_once, second.retries) == (False, True, 0)
    assert head.edit(add(1, **POLICY)).revision == 1
    assert head.edit(SaveTask(task(1, timeout=1.0))).revision == 2
    head.take(fx.AppendCluster)
    assert refused(head, add(1, **POLICY)).code == "task_exists"


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"retries": -1}, "retries", "0 to 1000"),
        ({"retries": 1001}, "retries", "0 to 1000"),
        ({"retry_backoff": float("inf")}, "retry_backoff", "finite"),
        ({"retry_on": ["no name"]}, "retry_on", "'no name'"),
        ({"timeout": float("nan")}, "timeout", "finite"),
        ({"idle_timeout": -1.0}, "idle_timeout", "not below 0"),
        ({"at_most_once": True, "retries": 1}, "at_most_once", "forbids retries"),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused_with_its_field(given, field, told) -> None:
    error = refused(head_with(), add(1), add(2, **given))
    assert (type(error), error.code, error.op, error.field) == (Invalid, "invalid_task", 1, f"$.ops[1].task.{field}")
    assert told in error.message


TERMS = {"require": {"zone": "a", "ssd": ""}, "prefer": {"big": ""}, "limits": {"openai": 2}, "nodes": 3}


def test_where_a_task_runs_is_kept_and_shown_and_part_of_its_definition() -> None:
    head = head_with(add(1, **TERMS), add(2, apart="replica"), add(3, same_node_as=tid(1)))
    first, second, third = head.ask(ev.DescribeWorkflow, W).tasks
    assert {field: getattr(first, field) for field in TERMS} == TERMS
    assert (second.apart, third.same_node_as) == ("replica", tid(1))
    assert head.edit(add(1, **TERMS), add(3, same_node_as=tid(1))).revision == 1
    assert head.edit(SaveTask(task(1))).revision == 2


def test_a_task_on_the_node_of_another_comes_after_it() -> None:
    head = head_with(add(1), add(2, same_node_as=tid(1)), add(3, 1, same_node_as=tid(1)))
    assert edges(head) == [(1, 2), (1, 3)]
    error = refused(head, DelTask(tid(1)))
    assert (error.code, "t2 (task_00000000), t3" in error.message) == ("task_referenced", True)
    error = refused(head, DelEdge(tid(1), tid(2)))
    assert (error.code, error.hint) == ("edge_referenced", "change its same_node_as instead")
    assert "t2 (task_00000000) is to run on the node of t1" in error.message
    head.edit(SaveTask(task(2)), SaveTask(task(3)), DelTask(tid(1)))
    assert edges(head) == []


def test_the_node_of_another_task_is_asked_for_once_that_task_is_there() -> None:
    head = head_with(add(1), add(2, 1))
    error = refused(head, add(3, same_node_as=tid(9)))
    assert (error.code, error.field) == ("unknown_task", "$.ops[0].task.same_node_as")
    assert refused(head, add(3, same_node_as=tid(3))).code == "cycle"
    assert refused(head, SaveTask(task(1, same_node_as=tid(2)))).code == "cycle"


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"limits": {"openai": 0}}, "limits", "1 to 1000000 units"),
        ({"nodes": 0}, "nodes", "1 to 1024"),
        ({"nodes": 2, "apart": "replica"}, "apart", "exclude each other"),
        ({"nodes": 2, "same_node_as": tid(1)}, "same_node_as", "exclude each other"),
        ({"apart": "replica", "same_node_as": tid(1)}, "same_node_as", "exclude each other"),
        ({"same_node_as": "task_1"}, "same_node_as", "task_1"),
    ],
)
def test_a_wish_that_breaks_a_rule_is_refused_with_its_field(given, field, told) -> None:
    error = refused(head_with(), add(1), add(2, **given))
    assert (type(error), error.code, error.op, error.field) == (Invalid, "invalid_task", 1, f"$.ops[1].task.{field}")
    assert told in error.message


HASH = "ab" * 32


def uploaded(
    hash_: str = HASH, size: int = 1 << 30, codec: int = 1, refs: tuple[str, ...] = ()
) -> dict[str, InputBody]:
    return {"x": InputBody(upload=UploadedValue(codec, hash_, size), refs=list(refs))}


def test_an_input_may_be_an_upload_of_any_size_with_holes() -> None:
    head = head_with(add(1), add(2, inputs=uploaded(refs=(f"{tid(1)}.output.y",))))
    assert head.ask(ev.DescribeWorkflow, W).tasks[1].inputs == uploaded(refs=(f"{tid(1)}.output.y",))
    assert edges(head) == [(1, 2)]
    assert head.ask(ev.ListUploads) == {bytes.fromhex(HASH)}


def test_uploads_of_a_refused_edit_are_not_needed() -> None:
    head = head_with()
    refused(head, add(1, inputs=uploaded()), add(2, 9))
    assert head.ask(ev.ListUploads) == frozenset()


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        (uploaded("ab"), ".x.upload.hash"),
        (uploaded("x" * 64), ".x.upload.hash"),
        (uploaded(size=-1), ".x.upload.size"),
        (uploaded(size=1 << 60), ".x.upload.size"),
        (uploaded(codec=7), ".x.upload.codec"),
        (uploaded(refs=("nothing",)), ".x"),
        ({"x": InputBody(value=1, upload=UploadedValue(0, HASH, 1))}, ".x"),
        ({"x": InputBody(encoded=EncodedValue(0, b""), upload=UploadedValue(0, HASH, 1))}, ".x"),
    ],
)
def test_an_upload_that_cannot_be_one_is_refused_with_its_field(inputs: dict[str, InputBody], field: str) -> None:
    error = refused(head_with(), add(1, inputs=inputs))
    assert (type(error), error.code, error.field) == (Invalid, "invalid_task", f"$.ops[0].task.inputs{field}")


def test_a_node_is_told_to_fetch_an_upload_by_its_content() -> None:
    head = head_with(add(1), add(2, inputs=uploaded(refs=(f"{tid(1)}.output.y",))))
    head.greet(minor=3)
    head.run()
    head.result(*(ok(lease) for lease in head.leases()))
    (order,) = [effect for effect in head.take(fx.AssignTask) if effect.assignment.task == raw(2)]
    ref = ObjectRef(0, 0, 1 << 30, 0, hash=bytes.fromhex(HASH))
    assert order.inputs == (("x", Value(1, 1 << 30, ref=ref), (fx.Source(1, 0, "y"),)),)
