"""What is kept of a run, and the values in it. No head."""

from __future__ import annotations

from typing import Any

import pytest

from maze._results import OpaqueValue, fresh
from maze._values import encode
from maze.errors import UnknownTaskError
from support.run_story import ONE, TWIN, TWO, event, failed, finished, messages, record


def test_the_summary_is_the_documented_dictionary() -> None:
    assert record(finished(ONE, y=1), failed(TWO, "x"), event("finish_workflow")).summary() == {
        "task_results": {ONE: {"y": 1}},
        "workflow_completed": True,
        "has_exception": True,
        "exception_tasks": [TWO],
    }


def test_values_survive_exactly() -> None:
    value = {"t": (1, 2), "b": b"x", "n": None, "i": 2**70}
    assert record(finished(ONE, y=value)).entries[0].message["data"]["result"] == {"y": value}


def test_a_value_that_cannot_be_decoded_breaks_nothing_else() -> None:
    broken = event(
        "finish_task", ONE, result={"good": list(encode(1)), "bad": [1, b"\x03\x0bgarbage"], "odd": [9, b""]}
    )
    result = record(broken).entries[0].message["data"]["result"]
    assert result["good"] == 1
    assert isinstance(result["bad"], OpaqueValue)
    assert (result["bad"].type, result["bad"].size) == ("pickle", 9)
    assert "codec 9" in result["odd"].type


def test_unpickling_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_NO_PICKLE", "1")
    result = record(finished(ONE, plain=[1], pickled=(1, 2))).entries[0].message["data"]["result"]
    assert result["plain"] == [1]
    assert isinstance(result["pickled"], OpaqueValue)
    assert "not allowed" in result["pickled"].reason


def test_what_a_caller_does_to_his_list_stays_his() -> None:
    kept = record(finished(ONE, y=[1, {"a": [2]}]))
    first = messages(kept)
    first[0]["data"]["result"]["y"][1]["a"].append(3)
    first.clear()
    assert messages(kept)[0]["data"]["result"] == {"y": [1, {"a": [2]}]}
    kept.summary()["task_results"][ONE]["y"].clear()
    assert kept.summary()["task_results"] == {ONE: {"y": [1, {"a": [2]}]}}


def test_two_readings_are_equal_also_with_odd_values() -> None:
    kept = record(finished(ONE, nan=float("nan"), thing=object()))
    assert messages(kept) == messages(kept)


def test_fresh_copies_containers_only_and_keeps_cycles() -> None:
    shared = {1, 2}
    loop: list[Any] = [shared]
    loop.append(loop)
    copied = fresh(loop)
    assert copied is not loop
    assert copied[0] is shared
    assert copied[1] is copied
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert fresh(deep) is deep
    while deep:  # a deep list is freed by recursion, too
        deep = deep[0]


def test_task_results_have_an_envelope() -> None:
    kept = record(finished(ONE, y=1), failed(TWO, "Traceback"))
    assert kept.task_result(ONE) == {"task_id": ONE, "result": {"y": 1}, "status": "success"}
    assert kept.task_result(TWO) == {"task_id": TWO, "result": None, "status": "exception", "error": "Traceback"}
    assert kept.task_result("task_" + "9" * 32) is None


@pytest.mark.parametrize("name", [ONE, ONE[:13], "11111111", "task_11111111111"])
def test_a_task_is_found_by_the_beginning_of_its_id(name: str) -> None:
    found = record(finished(ONE, y=1), finished(TWO)).task_result(name)
    assert found is not None
    assert found["task_id"] == ONE


@pytest.mark.parametrize("name", ["1111111", "task_1", "", "task_", "99999999"])
def test_less_than_eight_digits_find_nothing(name: str) -> None:
    assert record(finished(ONE)).task_result(name) is None


def test_an_ambiguous_beginning_is_a_value_error() -> None:
    both = record(finished(ONE), finished(TWIN))
    with pytest.raises(UnknownTaskError, match="ambiguous"):
        both.task_result("11111111")
    assert both.task_result(TWIN) is not None
