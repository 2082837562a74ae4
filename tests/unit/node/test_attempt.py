"""One attempt, in this process: order of checks and what the report says. The rest is in the integration tests."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from maze._values import decode, encode, encode_input
from maze_node.attempt import MAX_OUTPUTS, Kind, run_attempt
from maze_node.frames import ReportFrame, TaskFrame
from maze_node.meter import Meter
from maze_node.surroundings import _ALWAYS
from maze_protocol.ids import RUN, TASK, format_id
from maze_protocol.messages import FAILED, OK, OutputDecl
from maze_protocol.values import Input, Value

entered: list[tuple[dict[bytes, bytes], dict[str, str]]] = []


class NoSurroundings:
    reaped = False

    """Leaves the test process alone."""

    def enter(self, identity: dict[bytes, bytes], more: dict[str, str]) -> None:
        entered.append((identity, more))

    def restore(self) -> str:
        return "left"


def run(
    function: Any,
    inputs: tuple[Input, ...] = (),
    outputs: tuple[str, ...] = ("out",),
    strict: bool = True,
    gang: tuple[str, ...] = (),
) -> ReportFrame:
    declared = tuple(OutputDecl(key) for key in outputs)
    frame = TaskFrame(5, "t", b"h", None, (), inputs, declared, strict, {}, b"r" * 16, b"t" * 16, 3, gang)
    return run_attempt(Kind(frame), frame, {b"h": function}.__getitem__, NoSurroundings(), Meter())  # type: ignore[arg-type]


def test_a_report_carries_everything() -> None:
    report = run(lambda params: {"out": [1], "more": 2})
    assert (report.lease, report.status, report.error, report.unclean) == (5, OK, None, "left")
    assert {each.key: decode(each.value.codec, each.value.body) for each in report.outputs} == {"out": [1], "more": 2}
    assert report.warnings == ("undeclared output 'more' was kept",)
    assert report.peak_rss_kib > 0


def test_an_attempt_can_know_itself() -> None:
    run(lambda params: {"out": 1})
    run_id, task_id = format_id(b"r" * 16, RUN), format_id(b"t" * 16, TASK)
    assert entered[-1] == (
        {
            b"MAZE_RUN_ID": run_id.encode(),
            b"MAZE_TASK_ID": task_id.encode(),
            b"MAZE_ATTEMPT": b"3",
            b"MAZE_LEASE": b"5",
        },
        {},
    )
    assert list(entered[-1][0]) == list(_ALWAYS), "in the order in which they lie in memory"


def test_an_attempt_of_several_nodes_knows_them() -> None:
    run(lambda params: {"out": 1}, gang=("10.0.0.1", "10.0.0.7"))
    assert entered[-1][1] == {
        "MAZE_GANG_SIZE": "2", "MAZE_GANG_NODES": "10.0.0.1,10.0.0.7", "MAZE_GANG_RANK": "0",
    }  # fmt: skip


def test_templates_are_filled() -> None:
    class Hole:
        pass

    codec, body, _ = encode_input({"a": [Hole(), 2]}, lambda each: each if isinstance(each, Hole) else None)
    part_codec, part_body = encode((7,))
    part = Value(part_codec, len(part_body), part_body)
    report = run(
        lambda params: {"out": params}, (Input("x", Value(codec, len(body), body), (part,)), Input("y", None, (part,)))
    )
    assert decode(report.outputs[0].value.codec, report.outputs[0].value.body) == {"x": {"a": [(7,), 2]}, "y": (7,)}


def test_inputs_that_cannot_be_decoded_are_named() -> None:
    report = run(lambda params: {}, (Input("bad", None, (Value(0, 1, b"\xc1"),)),))
    assert (report.status, report.error.kind) == (FAILED, "bad_input")
    assert report.error.message.startswith("input 'bad':")
    assert report.wall_ms == 0.0


def test_too_many_outputs_are_refused() -> None:
    report = run(lambda params: {str(number): 1 for number in range(MAX_OUTPUTS + 1)}, outputs=())
    assert report.error.kind == "bad_return"


@pytest.mark.parametrize("key", ["", "k" * 257, 5, None])
def test_odd_output_names_are_refused(key: object) -> None:
    assert run(lambda params: {key: 1}, outputs=()).error.kind == "bad_return"


def test_a_generator_is_not_a_dict() -> None:
    def task(params: dict[str, Any]) -> Iterator[int]:
        yield 1

    assert "not generator" in run(task).error.message


def test_tuples_become_lists_for_the_original_only() -> None:
    returned = {"out": ({"a": (1, [2, (3,)])},)}
    strict, lenient = run(lambda params: returned), run(lambda params: returned, strict=False)
    assert decode(strict.outputs[0].value.codec, strict.outputs[0].value.body) == returned["out"]
    assert (lenient.outputs[0].value.codec, decode(0, lenient.outputs[0].value.body)) == (0, [{"a": [1, [2, [3]]]}])


class Word(str):
    """A text, but not an exact one."""


@pytest.mark.parametrize(
    "value", [0, -1, 2**64 - 1, 2**64, 1.5, None, True, "é", "x" * 5_000, b"x" * 300, "\ud800", Word("w")]
)
def test_every_value_comes_back_as_it_went(value: object) -> None:
    """Short leaves take a way of their own; whatever it does not take goes the other one, all of it."""
    report = run(lambda params: {"out": value, "more": [value]})
    given = {each.key: decode(each.value.codec, each.value.body) for each in report.outputs}
    assert given == {"out": value, "more": [value]}
    assert [type(each) for each in (given["out"], given["more"][0])] == [type(value)] * 2
    assert [each.value.size for each in report.outputs] == [len(each.value.body) for each in report.outputs]


def test_many_short_outputs_keep_their_order() -> None:
    names = [f"n{number}" for number in range(100)]
    report = run(lambda params: dict.fromkeys(names, 1), outputs=())
    assert [each.key for each in report.outputs] == names


def test_a_failure_before_the_call_costs_nothing_and_one_in_it_what_it_took() -> None:
    meter = Meter()

    def fail(params: dict[str, Any]) -> None:
        raise ValueError("no")

    def load(code: bytes) -> Any:
        return fail if code == b"h" else 1 / 0

    frames = [TaskFrame(5, "t", code, None, (), (), (), True, {}) for code in (b"h", b"bad")]
    called, not_called = (run_attempt(Kind(each), each, load, NoSurroundings(), meter) for each in frames)  # type: ignore[arg-type]
    assert (called.error.type_name, not_called.error.type_name) == ("ValueError", "ZeroDivisionError")
    assert called.wall_ms > 0
    assert called.peak_rss_kib > 0
    assert (not_called.wall_ms, not_called.cpu_ms, not_called.peak_rss_kib) == (0.0, 0.0, 0)


@pytest.mark.parametrize("outcome", ["returned", "bad", "raised"])
def test_nothing_of_an_attempt_outlives_it(outcome: str) -> None:
    """Without the collector: what the next attempt found in memory would be charged to it."""
    seen: list[weakref.ref[Any]] = []

    class Large:
        def __reduce__(self) -> tuple[type, tuple[()]]:
            return Large, ()

    def task(params: dict[str, Any]) -> Any:
        large = Large()
        seen.append(weakref.ref(large))
        params["large"] = large
        if outcome == "raised":
            raise ValueError(large)
        return {"out": 1, "more": large} if outcome == "returned" else {"wrong": large}

    gc.disable()
    try:
        report = run(task)
        assert (report.status, [ref() for ref in seen]) == (OK if outcome == "returned" else FAILED, [None])
    finally:
        gc.enable()
