"""Between the draft's words and the bodies of the API."""

from __future__ import annotations

import sys

import msgspec

from maze import _graph
from maze._draft import Batch
from maze._wire import edit_request, vertices
from maze_protocol import http
from maze_protocol.policy import Policy
from maze_protocol.terms import NO_TERMS, Terms
from support.drafts import task_of


def test_every_operation_becomes_its_body() -> None:
    code = _graph.Code("pickle", None, "f", b"body", "digest")
    literal = _graph.InputSpec((("task_1", "y"),), 1, b"data")
    task = task_of(
        "task_2",
        "two",
        "f",
        code,
        {"a": literal, "b": _graph.InputSpec((("task_1", "y.z"),))},
        ("y",),
        {"y": "int"},
        {"cpu": 2},
    )
    ops = (_graph.AddTask(task), _graph.DelTask("t"), _graph.AddEdge("a", "b"), _graph.DelEdge("a", "b"))
    request = edit_request(Batch(ops, (code,), 4), "edit")
    added, *others = request.ops
    assert isinstance(added, http.AddTask)
    assert added.task == http.TaskBody(
        "task_2", "two", "f", "digest",
        {
            "a": http.InputBody(encoded=http.EncodedValue(1, b"data"), refs=["task_1.output.y"]),
            "b": http.InputBody(source="task_1.output.y.z"),
        },
        ["y"], {"y": "int"}, {"cpu": 2},
    )  # fmt: skip
    assert others == [http.DelTask("t"), http.AddEdge("a", "b"), http.DelEdge("a", "b")]
    assert request.codes == [http.CodeBody("digest", "pickle", sys.version_info[:2], b"body", "f")]
    assert (request.base_revision, request.edit_id) == (4, "edit")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=http.EditRequest) == request


def test_the_policy_goes_and_comes_back_as_it_was() -> None:
    policy = Policy(3, 0.25, ("builtins.OSError",), 60.0, 5.0)
    ops = tuple(_graph.AddTask(task_of(f"task_{n}", "t", policy=each)) for n, each in enumerate((policy, Policy())))
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(edit_request(Batch(ops, (), 0), "e")), type=http.EditRequest)
    tasks = [op.task for op in sent.ops if isinstance(op, http.AddTask)]
    assert (tasks[0].retries, tasks[0].retry_on, tasks[0].idle_timeout) == (3, ["builtins.OSError"], 5.0)
    back = vertices(http.WorkflowBody("w", "", 1, 0.0, tasks, [], []))
    assert [vertex.definition.policy for vertex in back] == [policy, Policy()]


def test_where_a_task_runs_goes_and_comes_back_as_it_was() -> None:
    terms = Terms((("zone", "a"),), (("ssd", ""),), (("openai", 2),), "", 3)
    tasks = (task_of("task_0", "t", terms=terms), task_of("task_1", "t", same_node_as="task_0"))
    batch = Batch(tuple(_graph.AddTask(each) for each in tasks), (), 0)
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(edit_request(batch, "e")), type=http.EditRequest)
    first, second = (op.task for op in sent.ops if isinstance(op, http.AddTask))
    assert (first.require, first.prefer, first.limits, first.nodes) == ({"zone": "a"}, {"ssd": ""}, {"openai": 2}, 3)
    back = vertices(http.WorkflowBody("w", "", 1, 0.0, [first, second], [], []))
    assert [(vertex.definition.terms, vertex.same_node_as) for vertex in back] == [(terms, ""), (NO_TERMS, "task_0")]
    assert back[1].sources() == {"task_0": []}


def test_source_text_has_no_strict_outputs_and_an_unsaved_task_no_code() -> None:
    source = _graph.Code("source", None, "f", b"def f(p): ...", "digest")
    ops = (_graph.SaveTask(task_of("a", "a", code=source)), _graph.AddTask(task_of("b", "b")))
    saved, added = edit_request(Batch(ops, (), 0), "e").ops
    assert isinstance(saved, http.SaveTask)
    assert isinstance(added, http.AddTask)
    assert (saved.task.strict_outputs, added.task.strict_outputs, added.task.code) == (False, True, "")


def test_a_fetched_workflow_gives_vertices() -> None:
    inputs = {
        "value": http.InputBody(value=3),
        "source": http.InputBody(source="task_1.output.y"),
        "nested": http.InputBody(encoded=http.EncodedValue(0, b""), refs=["task_1.output.a.b", "task_2.output.z"]),
    }
    body = http.WorkflowBody("w", "", 3, 0.0, [http.TaskBody("t", "name", "f", "hash", inputs, ["y"])], [], [])
    (vertex,) = vertices(body)
    assert (
        vertex.task_id,
        vertex.name,
        vertex.definition.func_name,
        vertex.definition.code,
        vertex.definition.outputs,
    ) == (
        "t",
        "name",
        "f",
        "hash",
        ("y",),
    )
    assert vertex.sources() == {"task_1": ["source", "nested"], "task_2": ["nested"]}
    assert list(vertex.inputs) == ["value", "source", "nested"]


def test_a_task_names_the_last_one_of_its_function_that_it_agrees_with() -> None:
    f, g = (_graph.Code("pickle", None, name, name.encode(), name) for name in "fg")
    tasks = (
        task_of("a", "one", "f", f, outputs=("y",)),
        task_of("b", "one", "g", g, outputs=("y",)),
        task_of("c", "one", "f", f, {"x": _graph.InputSpec((), 0, b"1")}, ("y",)),
        task_of("d", "two", "g", g, outputs=("y",)),
        task_of("e", "one", "f", f, outputs=("y",), keep=True),
        task_of("f", "two", "f", f, outputs=("y",), keep=True),
    )
    ops = [_graph.DelTask("z"), *map(_graph.AddTask, tasks), _graph.SaveTask(tasks[0])]
    request = edit_request(Batch(tuple(ops), (), 0), "e", alike=True)
    literal = http.InputBody(encoded=http.EncodedValue(0, b"1"))
    in_full = [op.task.task_id for op in request.ops if isinstance(op, http.AddTask)]
    assert in_full == ["a", "b", "e"]
    assert [op for op in request.ops if isinstance(op, http.AddAlike)] == [
        http.AddAlike(1, "c", {"x": literal}),
        http.AddAlike(2, "d", {}, "two"),
        http.AddAlike(5, "f", {}, "two"),
    ]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=http.EditRequest) == request


def test_what_says_much_is_sent_in_full_each_time() -> None:
    many = tuple(f"output {number}" for number in range(200))
    ops = tuple(_graph.AddTask(task_of(name, name, "f", "hash", outputs=many)) for name in "abc")
    assert {type(op) for op in edit_request(Batch(ops, (), 0), "e", alike=True).ops} == {http.AddTask}
