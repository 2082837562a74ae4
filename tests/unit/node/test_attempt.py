"""One attempt, in this process: order of checks and what the report says. The rest is in the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maze._values import decode, encode, encode_input
from maze_node.attempt import MAX_OUTPUTS, run_attempt
from maze_node.frames import ReportFrame, TaskFrame
from maze_node.meter import Meter
from maze_protocol.messages import FAILED, OK, OutputDecl
from maze_protocol.values import Input, Value

entered: list[dict[str, str]] = []


class NoSurroundings:
    reaped = False

    """Leaves the test process alone."""

    def enter(self, variables: dict[str, str]) -> None:
        entered.append(variables)

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
    return run_attempt(frame, lambda: function, NoSurroundings(), Meter())  # type: ignore[arg-type]


def test_a_report_carries_everything() -> None:
    report = run(lambda params: {"out": [1], "more": 2})
    assert (report.lease, report.status, report.error, report.unclean) == (5, OK, None, "left")
    assert {each.key: decode(each.value.codec, each.value.body) for each in report.outputs} == {"out": [1], "more": 2}
    assert report.warnings == ("undeclared output 'more' was kept",)
    assert report.peak_rss_kib > 0


def test_an_attempt_can_know_itself() -> None:
    run(lambda params: {"out": 1})
    assert entered[-1] == {
        "MAZE_RUN_ID": "run_" + "72" * 16, "MAZE_TASK_ID": "task_" + "74" * 16, "MAZE_ATTEMPT": "3", "MAZE_LEASE": "5",
    }  # fmt: skip


def test_an_attempt_of_several_nodes_knows_them() -> None:
    run(lambda params: {"out": 1}, gang=("10.0.0.1", "10.0.0.7"))
    assert {name: value for name, value in entered[-1].items() if name.startswith("MAZE_GANG")} == {
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
