"""Values survive exactly: as literals, as outputs, between tasks, and back in the client."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import maze
from conformance.workflows import error_of, finish, same, value_of
from maze import MaWorkflow, task
from support.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class Point:
    """A class of this test module: no worker can import it."""

    x: int
    y: tuple[float, ...] = ()


class Colour(enum.Enum):
    RED = "red"


PLAIN = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 1.5, -0.0, float("inf"), "", "text", "é🔗\u0000", b"", b"\x00\xff",
    [], [1, [2, [3]]], {}, {"a": {"b": [None]}}, {"": 1}, "x" * 100_000, list(range(5000)),
]  # fmt: skip
RICH = [
    (), (1, (2,)), {1, 2}, frozenset({"a"}), 2**64, -(2**70), {1: "int key"}, {None: 1, (1, 2): 3}, 1 + 2j, range(3),
    bytearray(b"ab"), datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), datetime.timedelta(seconds=1.5),
    decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=7), Point(1, (2.0,)), [Point(1)], Colour.RED,
    OrderedDict(b=1, a=2), Counter("aab"), deque([1, 2], maxlen=3), "\udc80", {"mixed": [(1,), {2}]}, int, len,
]  # fmt: skip


def round_trip(workflow: MaWorkflow, value: object) -> Any:
    """Send a value as a literal, through two tasks, and back."""
    first = workflow.add_task(same, inputs={"x": value})
    second = workflow.add_task(same, inputs={"x": first.outputs["y"]})
    return value_of(workflow, second)["y"]


def exactly_equal(found: object, sent: object) -> bool:
    """Equal in value and in type, all the way down."""
    if type(found) is not type(sent):
        return False
    if isinstance(sent, dict) and isinstance(found, dict):
        pairs = zip(found.items(), sent.items(), strict=True)
        return all(exactly_equal(mine, theirs) for mine, theirs in pairs)
    if isinstance(sent, (list, tuple)) and isinstance(found, (list, tuple)):
        return len(sent) == len(found) and all(map(exactly_equal, found, sent))
    if isinstance(sent, float) and isinstance(found, float):
        return math.copysign(1, found) == math.copysign(1, sent) and found == sent
    return found == sent


def test_every_kind_of_value_survives(workflow: MaWorkflow) -> None:
    values = PLAIN + RICH
    made = [workflow.add_task(same, inputs={"x": value}, task_name=f"value {n}") for n, value in enumerate(values)]
    again = [workflow.add_task(same, inputs={"x": each.outputs["y"]}) for each in made]
    run_id, _ = finish(workflow)
    found = [workflow.get_task_result(run_id, each.task_id)["result"]["y"] for each in again]
    wrong = [(sent, back) for sent, back in zip(values, found, strict=True) if not exactly_equal(back, sent)]
    assert not wrong


def test_nan_survives(workflow: MaWorkflow) -> None:
    assert math.isnan(round_trip(workflow, float("nan")))


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "complex64", "U3", "datetime64[ns]"])
def test_arrays_survive(workflow: MaWorkflow, dtype: str) -> None:
    sent = np.arange(12).reshape(3, 4).astype(dtype)
    found = round_trip(workflow, sent)
    assert type(found) is np.ndarray
    assert found.dtype == sent.dtype
    np.testing.assert_array_equal(found, sent)


def test_fortran_order_and_numpy_scalars_survive(workflow: MaWorkflow) -> None:
    sent = {"f": np.asfortranarray(np.ones((2, 3))), "scalar": np.float32(1.5), "int": np.int64(2**40)}
    found = round_trip(workflow, sent)
    np.testing.assert_array_equal(found["f"], sent["f"])
    assert (type(found["scalar"]), found["scalar"]) == (np.float32, np.float32(1.5))
    assert (type(found["int"]), found["int"]) == (np.int64, 2**40)


def test_a_large_array_survives(workflow: MaWorkflow) -> None:
    sent = np.random.default_rng(7).random(500_000)
    np.testing.assert_array_equal(round_trip(workflow, sent).get(), sent)


def test_sharing_and_cycles_inside_one_value_survive(workflow: MaWorkflow) -> None:
    shared = {1}
    loop: list[Any] = [shared, shared]
    loop.append(loop)
    found = round_trip(workflow, loop)
    assert found[0] is found[1]
    assert found[2] is found


def test_references_inside_rich_values_are_filled(workflow: MaWorkflow) -> None:
    first = workflow.add_task(same, inputs={"x": (1, 2)})
    second = workflow.add_task(same, inputs={"x": {"point": Point(1), "list": [first.outputs["y"]]}})
    assert value_of(workflow, second) == {"y": {"point": Point(1), "list": [(1, 2)]}}


def test_what_the_client_cannot_decode_is_opaque_and_breaks_nothing_else(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["odd", "fine"])
    def make(params: dict[str, Any]) -> dict[str, Any]:
        class Odd:
            def __reduce__(self) -> Any:
                return int, ("no number",)

        return {"odd": Odd(), "fine": (1, 2)}

    made = workflow.add_task(make)
    beside = workflow.add_task(same, inputs={"x": 1})
    run_id, _ = finish(workflow)
    found = workflow.get_task_result(run_id, made.task_id)["result"]
    assert found["fine"] == (1, 2)
    assert isinstance(found["odd"], maze.OpaqueValue)
    assert found["odd"].size > 0
    assert "no number" in found["odd"].reason
    assert found["odd"].type is not None
    assert workflow.get_task_result(run_id, beside.task_id)["result"] == {"y": 1}


def test_a_value_that_the_consumer_cannot_decode_fails_the_consumer(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["odd"])
    def make(params: dict[str, Any]) -> dict[str, Any]:
        class Odd:
            def __reduce__(self) -> Any:
                return int, ("no number",)

        return {"odd": Odd()}

    made = workflow.add_task(make)
    consumer = workflow.add_task(same, inputs={"x": made.outputs["odd"]})
    text = error_of(workflow, consumer)
    assert "no number" in text
    assert "x" in text


def test_no_pickle_gives_opaque_values(python: Callable[..., Any], workflow: MaWorkflow) -> None:
    made = workflow.add_task(same, inputs={"x": (1, 2)})
    plain = workflow.add_task(same, inputs={"x": [1, 2]})
    run_id, _ = finish(workflow)
    script = f"""
import maze
workflow = maze.MaWorkflow({workflow.workflow_id!r}, {workflow.server_url!r})
workflow.get_results({run_id!r}, verbose=False)
print(workflow.get_task_result({run_id!r}, {plain.task_id!r})["result"])
print(type(workflow.get_task_result({run_id!r}, {made.task_id!r})["result"]["y"]).__name__)
"""
    done = python("-c", script, MAZE_NO_PICKLE="1")
    assert done.stdout.splitlines() == ["{'y': [1, 2]}", "OpaqueValue"], done.stderr


def test_json_readers_get_a_documented_rendering(workflow: MaWorkflow, cluster: Cluster) -> None:
    made = workflow.add_task(same, inputs={"x": [1, None, "a", b"\x00\x01", float("nan"), float("-inf")]})
    rich = workflow.add_task(same, inputs={"x": (1, 2)})
    run_id, _ = finish(workflow)
    results = {
        event["data"]["task_id"]: event["data"]["result"]
        for event in cluster.events(run_id)
        if event["type"] == "finish_task"
    }
    assert results[made.task_id] == {
        "y": [1, None, "a", {"__bytes__": "AAE="}, {"__float__": "nan"}, {"__float__": "-inf"}]
    }
    assert list(results[rich.task_id]["y"]) == ["__pickle__"]
    assert results[rich.task_id]["y"]["__pickle__"]["size"] > 0
