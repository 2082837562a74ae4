"""From a function and its inputs to a vertex: what is checked, what is encoded, what becomes a reference."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maze._binding import (
    UPLOADED_FROM,
    check_display_name,
    digest_of,
    function_vertex,
    legacy_vertex,
    with_options,
)
from maze._decorator import task
from maze._draft import Batch, Draft
from maze._fetch import Place
from maze._graph import AddTask, Code, Input, InputSpec, Vertex
from maze._handles import TaskOutput, TaskOutputs
from maze._remote_value import RemoteValue
from maze._values import decode_input
from maze._wire import edit_request, vertices
from maze.errors import DeclarationTypeError, ForeignTaskError, InputError, InputTypeError, InvalidTaskError
from maze_protocol.http import WorkflowBody
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.values import MSGPACK

DRAFT = Draft()
OUTPUT = TaskOutput("task_1", "y", _workflow_id="w")
SOURCE = """
    import math

    @task
    def area(params):
        return {"area": math.pi * params["r"] ** 2}
"""


@task(inputs=["text", "count"], outputs=["result"], resources={"cpu": 2}, data_types={"count": "int"})
def repeat(params: dict[str, Any]) -> dict[str, Any]:
    return {"result": params["text"] * params["count"]}


@task(inputs=["value"], outputs=["y"])
def untyped(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["value"]}


def bind(function: Callable[..., Any] = repeat, **inputs: Any) -> Vertex:
    return function_vertex("task_9", "w", function, inputs, DRAFT)


def bind_value(value: Any) -> InputSpec:
    spec = bind(untyped, value=value).inputs["value"]
    return InputSpec((), MSGPACK, spec) if isinstance(spec, bytes) else spec


def decoded(spec: Input) -> Any:
    codec, data = (MSGPACK, spec) if isinstance(spec, bytes) else (spec.codec, spec.data)
    assert data is not None
    return decode_input(codec, data, ())


def test_a_vertex_has_all_that_was_declared() -> None:
    vertex = bind(text="a", count=3)
    assert (vertex.task_id, vertex.name, vertex.definition.func_name) == ("task_9", "repeat", "repeat")
    assert isinstance(vertex.definition.code, Code)
    assert vertex.definition.code.function is repeat
    assert (vertex.definition.outputs, vertex.definition.data_types, vertex.definition.resources) == (
        ("result",),
        {"count": "int"},
        {"cpu": 2},
    )
    assert {name: decoded(spec) for name, spec in vertex.inputs.items()} == {
        "text": "a",
        "count": 3,
    }


def test_inputs_keep_the_declared_order() -> None:
    assert list(bind(count=3, text="a").inputs) == ["text", "count"]


def test_a_name_and_resources_can_be_given() -> None:
    vertex = function_vertex("t", "w", untyped, {"value": 1}, DRAFT, "Custom Name", {"cpu": 4})
    assert (vertex.name, vertex.definition.func_name, vertex.definition.resources) == (
        "Custom Name",
        "untyped",
        {"cpu": 4},
    )
    with pytest.raises(TypeError, match="number"):
        function_vertex("t", "w", untyped, {"value": 1}, DRAFT, None, {"cpu": "4"})


def test_a_reference_is_the_whole_input() -> None:
    assert bind_value(OUTPUT) == InputSpec(refs=(("task_1", "y"),))


def test_references_at_any_depth_are_holes_in_order() -> None:
    other = TaskOutput("task_2", "z")
    spec = bind_value({"a": [1, OUTPUT, {"b": other}], "c": OUTPUT})
    assert spec.data is not None
    assert [source for source, _ in spec.refs] == ["task_1", "task_2", "task_1"]
    filled = decode_input(spec.codec, spec.data, ["first", "second", "third"])
    assert filled == {"a": [1, "first", {"b": "second"}], "c": "third"}


REMOTE = RemoteValue(Place("http://h", "run_1", "task_1", "y"), 1, 2**21, "numpy.ndarray")


def test_a_large_value_of_another_run_is_an_input() -> None:
    spec = bind_value(REMOTE)
    assert spec.literal is not None
    assert (spec.codec, spec.data, spec.refs, spec.literal.size, spec.literal.source) == (1, None, (), 2**21, REMOTE)


def test_within_a_value_a_reference_to_a_large_one_is_no_value() -> None:
    with pytest.raises(InputError, match=r"<2 MiB numpy.ndarray.*pass what its get\(\) returns"):
        bind_value([1, {"a": (REMOTE,)}])


def test_a_large_literal_is_kept_by_itself_and_once() -> None:
    array = np.arange(UPLOADED_FROM // 8.0)
    first, again, other = bind_value(array), bind_value(array), bind_value([array, OUTPUT])
    assert first.literal is not None
    assert first.data is None
    assert again.literal is first.literal is not other.literal
    assert (decode_input(first.codec, first.literal.body, ()) == array).all()
    assert other.literal is not None
    assert other.refs == (("task_1", "y"),)
    assert decode_input(other.codec, other.literal.body, ["hole"])[1] == "hole"


def test_a_literal_of_middle_size_travels_with_its_task() -> None:
    assert bind_value(b"x" * (UPLOADED_FROM - 5)).literal is None
    assert bind_value(b"x" * UPLOADED_FROM).literal is not None


def test_what_is_too_much_for_one_message_travels_by_itself() -> None:
    names = [f"x{number}" for number in range(12)]
    many = task(inputs=names, outputs=["y"])(lambda params: {"y": 1})
    vertex = bind(many, **{name: bytes([number]) * 1_000_000 for number, name in enumerate(names)})
    specs = [spec for spec in vertex.inputs.values() if isinstance(spec, InputSpec)]
    data = [spec.data for spec in specs if spec.data is not None]
    large = [spec.literal for spec in specs if spec.literal is not None]
    assert sum(map(len, data)) <= MAX_TASK_VALUES
    assert len(data) + len(large) == 12
    assert list(vertex.inputs) == names


@pytest.mark.parametrize("value", [None, (1, 2), {1, 2}, 2**70, b"x", {1: 2}, 1.5, [], {}])
def test_literals_of_any_kind_are_kept_exactly(value: Any) -> None:
    spec = bind_value(value)
    found = decoded(spec)
    assert found == value
    assert type(found) is type(value)


def test_literals_are_what_they_were_when_the_task_was_added() -> None:
    words = ["a"]
    spec = bind_value(words)
    words.append("b")
    assert decoded(spec) == ["a"]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"txt": "a", "count": 1}, "no input 'txt'; it declares: text, count\n  hint: did you mean 'text'?"),
        ({"text": "a", "count": 1, "more": 1}, "no input 'more'"),
        ({"text": "a"}, "lacks a value for input 'count'"),
        ({}, "lacks a value for input 'text', 'count'"),
    ],
)
def test_unknown_and_missing_inputs_are_named(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        bind(**inputs)
    assert told in str(caught.value)


def test_inputs_must_be_a_dictionary() -> None:
    with pytest.raises(InputTypeError, match="list"):
        function_vertex("t", "w", untyped, ["x"], DRAFT)  # type: ignore[arg-type]  # what a user might pass
    with pytest.raises(InputError, match="lacks"):
        function_vertex("t", "w", untyped, None, DRAFT)


@task(
    inputs=["s", "i", "f", "b", "l", "d", "a"],
    outputs=["y"],
    data_types={"s": "str", "i": "int", "f": "float", "b": "bool", "l": "list", "d": "dict", "a": "any"},
)
def typed(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1}


FITTING: dict[str, Any] = {"s": "x", "i": 1, "f": 1.5, "b": True, "l": [], "d": {}, "a": object}


@pytest.mark.parametrize("change", [{}, {"f": 1}, {"a": None}, {"i": OUTPUT}, {"l": [OUTPUT]}])
def test_fitting_literals_pass(change: dict[str, Any]) -> None:
    bind(typed, **FITTING | change)


@pytest.mark.parametrize(
    "change", [{"s": 1}, {"s": None}, {"i": 1.0}, {"i": True}, {"f": "1"}, {"f": False}, {"b": 1}, {"l": ()}, {"d": []}]
)
def test_a_literal_that_contradicts_its_declaration_is_told(change: dict[str, Any]) -> None:
    name = next(iter(change))
    with pytest.raises(InputTypeError, match=f"input '{name}' is declared as"):
        bind(typed, **FITTING | change)


def test_what_cannot_travel_is_told_with_its_input() -> None:
    with pytest.raises(InputError, match=r"input 'value' cannot be sent: .*lock.*\['model'\]"):
        bind_value({"model": threading.Lock()})


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"a": {"b": value}}])
def test_a_task_where_an_output_was_meant_is_told(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match="pass one of its outputs"):
        bind_value(wrap(TaskOutputs("task_1", ["y"])))


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]])
def test_references_into_other_workflows_are_refused(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(ForeignTaskError, match="belongs to workflow other"):
        bind_value(wrap(TaskOutput("task_1", "y", _workflow_id="other")))


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "x" * 257, 7])
def test_names_that_cannot_be_shown_are_refused(name: Any) -> None:
    with pytest.raises(InvalidTaskError, match="task_name"):
        check_display_name(name)


def test_names_of_any_script_are_fine() -> None:
    assert check_display_name("Größe 🚀 任务") == "Größe 🚀 任务"


# The original's flow


def legacy(code: Any = SOURCE, inputs: Any = None, outputs: Any = None, resources: Any = None) -> Vertex:
    return legacy_vertex("task_9", "name", "w", (code, inputs, outputs, resources))


def params(kind: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {kind: {str(number): item for number, item in enumerate(items, 1)}}


def test_source_text_becomes_a_code_of_its_own() -> None:
    vertex = legacy(outputs=params("output_params", {"key": "area", "data_type": "float"}))
    assert isinstance(vertex.definition.code, Code)
    assert (vertex.definition.code.kind, vertex.definition.code.name, vertex.definition.func_name) == (
        "source",
        "area",
        "area",
    )
    assert vertex.definition.code.body.startswith(b"\nimport math")
    assert (
        vertex.definition.code.digest
        == digest_of(vertex.definition.code.body)
        == hashlib.blake2b(vertex.definition.code.body, digest_size=16).hexdigest()
    )
    assert (vertex.definition.outputs, vertex.definition.data_types) == (("area",), {})


def test_seed_era_inputs_are_literals_and_references() -> None:
    vertex = legacy(
        inputs=params(
            "input_params",
            {"key": "r", "input_schema": "from_user", "data_type": "str", "value": [1]},
            {"key": "s", "input_schema": "from_task", "data_type": "str", "value": "task_1.output.a.b"},
            {"key": "t", "input_schema": "from_task", "value": OUTPUT},
            {"key": "u", "value": None},
        )
    )
    assert decoded(vertex.inputs["r"]) == [1]
    assert vertex.inputs["s"] == InputSpec(refs=(("task_1", "a.b"),))
    assert vertex.inputs["t"] == InputSpec(refs=(("task_1", "y"),))
    assert decoded(vertex.inputs["u"]) is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (7, "int"),
        ("x = 1", "no function"),
        ("def f(:\n", "line 1"),
        ("def f(p):\n  return {\n", "line"),
        ("\0", "not valid"),
    ],
)
def test_source_that_is_no_task_is_told(code: Any, told: str) -> None:
    with pytest.raises(InvalidTaskError, match=told):
        legacy(code)


def test_an_async_function_is_found() -> None:
    assert legacy("async def later(params): return {}").definition.func_name == "later"


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        [],
        {"input_params": []},
        {"input_params": {"1": {}}},
        params("input_params", {"key": "x", "input_schema": "from_moon"}),
        params("input_params", {"key": "x", "input_schema": "from_task", "value": "nonsense"}),
    ],
)
def test_descriptions_of_another_shape_are_told(inputs: Any) -> None:
    with pytest.raises(InputError, match="input"):
        legacy(inputs=inputs)


def flagged(flag: str) -> Any:
    @task(inputs=["value"], outputs=["y"], **{flag: True})  # type: ignore[arg-type]  # one of two flags
    def declared(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": params["value"]}

    return bind(declared, value=1)


@pytest.mark.parametrize("flag", ["keep", "sandbox"])
def test_a_flag_is_declared_and_can_be_said_for_one_task(flag: str) -> None:
    assert getattr(flagged(flag).definition, flag)
    plain = bind(untyped, value=1)
    assert not getattr(plain.definition, flag)
    assert getattr(with_options(plain, {flag: True}, "w").definition, flag)
    assert not getattr(with_options(flagged(flag), {flag: False}, "w").definition, flag)
    assert getattr(with_options(flagged(flag), {"retries": 1}, "w").definition, flag)
    with pytest.raises(DeclarationTypeError, match=f"{flag} must be True or False"):
        with_options(plain, {flag: "yes"}, "w")
    with pytest.raises(DeclarationTypeError, match=f"{flag} must be True or False"):
        task(inputs=[], outputs=[], **{flag: 1})  # type: ignore[arg-type]  # what a user might write


@pytest.mark.parametrize("flag", ["keep", "sandbox"])
def test_a_flag_is_told_to_the_head_and_by_it(flag: str) -> None:
    body = edit_request(Batch((AddTask(flagged(flag)),), (), 0), "e").ops[0].task  # type: ignore[union-attr]  # an AddTask
    assert getattr(body, flag)
    workflow = WorkflowBody("w", "", 1, 0.0, [body], [], [])
    assert getattr(vertices(workflow)[0].definition, flag)


def test_tasks_of_one_function_share_what_it_declares() -> None:
    one, two = bind(text="a", count=3), bind(text="b", count=4)
    assert one.definition is two.definition
    other = with_options(two, {"retries": 1}, "w")
    assert (other.definition.policy.retries, one.definition.policy.retries) == (1, 0)


def test_a_function_that_is_declared_anew_is_another_one() -> None:
    def plain(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": params["x"], "z": 0}

    first = bind(task(inputs=["x"], outputs=["y"])(plain), x=1)
    second = bind(task(inputs=["x"], outputs=["y", "z"])(plain), x=1)
    assert (first.definition.outputs, second.definition.outputs) == (("y",), ("y", "z"))
    assert first.definition.code is second.definition.code
