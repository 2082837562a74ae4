"""What of a run's events becomes a documented message, and what is kept of a run. No head."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from maze._results import Collector, OpaqueValue, Retry, RunRecord, fresh
from maze._values import encode
from maze.errors import UnknownTaskError
from maze_protocol.http import ClientEvent

RUN, WORKFLOW = "run_1", "workflow_1"
ONE, TWO, TWIN = "task_" + "1" * 32, "task_" + "2" * 32, "task_" + "1" * 8 + "3" * 24


def event(kind: str, task_id: str | None = None, /, **data: Any) -> ClientEvent:
    about: dict[str, Any] = {"workflow_id": WORKFLOW, "run_id": RUN, **data}
    if task_id is not None:
        about |= {"task_id": task_id, "task_name": "t", "attempt": 1}
    return ClientEvent(1, 1, 0.0, kind, about)


def finished(task_id: str, **values: Any) -> ClientEvent:
    return event(
        "finish_task", task_id, result={key: list(encode(value)) for key, value in values.items()}, wall_ms=1.0
    )


def failed(task_id: str, text: str, **more: Any) -> ClientEvent:
    return event("task_exception", task_id, result=text, **more)


def lost(task_id: str, kind: str = "user", at: float = 0.0, **more: Any) -> ClientEvent:
    told = {"result": "…", "error_type": "ValueError", "error_message": "bad\nthing", "retries": 3, **more}
    return ClientEvent(1, 1, at, "attempt_lost", event("", task_id, kind=kind, **told).data)


def collected(*events: ClientEvent) -> Collector:
    collector = Collector(RUN)
    for each in events:
        collector.add(each)
    return collector


def record(*events: ClientEvent) -> RunRecord:
    return collected(*events).record


def test_messages_have_the_documented_types_and_exactly_their_keys() -> None:
    messages = record(
        event("run_submitted", tasks=2),
        event("task_leased", ONE, node_id="n"),
        event("start_task", ONE, node_ip="127.0.0.1", node_id="n", started_at=1.0),
        finished(ONE, y=1),
        failed(TWO, "Traceback…", error_type="ValueError", error_message="bad", kind="user"),
        event("task_warning", ONE, text="careful"),
        event("finish_workflow", finished=1, failed=1, skipped=0),
    ).messages()
    common = {"workflow_id": WORKFLOW}
    assert messages == [
        {"type": "start_task", "data": {**common, "task_id": ONE, "node_ip": "127.0.0.1"}},
        {"type": "finish_task", "data": {**common, "task_id": ONE, "result": {"y": 1}}},
        {"type": "task_exception", "data": {**common, "task_id": TWO, "result": "Traceback…"}},
        {"type": "finish_workflow", "data": {}},
    ]


def test_a_retried_task_starts_once() -> None:
    start = event("start_task", ONE, node_ip="127.0.0.1")
    assert len(record(start, lost(ONE), start, finished(ONE)).entries) == 2


def test_tries_after_errors_of_its_own_are_counted_and_no_messages() -> None:
    found = record(
        lost(ONE, at=10.0, not_before=11.5),
        lost(ONE, "crash", error_type="WorkerCrashed", error_message="SIGKILL"),
        lost(TWO, "timeout", error_type="TaskTimeout", error_message="5 s"),
        lost(ONE, at=20.0, not_before=19.0),
    )
    assert found.messages() == []
    assert found.story == [
        Retry(ONE, "ValueError: bad", 1.5, 2, 4),
        Retry(ONE, "WorkerCrashed: SIGKILL", 0.0),
        Retry(TWO, "TaskTimeout: 5 s", 0.0, 2, 4),
        Retry(ONE, "ValueError: bad", 0.0, 3, 4),
    ]


def test_a_reused_result_is_a_pair_of_messages_in_the_reference_order() -> None:
    collector = collected(event("run_submitted", tasks=2), event("task_reused", ONE, result={"y": list(encode(7))}))
    assert collector.done == 1
    assert [entry.reused for entry in collector.record.entries] == [True, True]
    assert collector.record.messages() == [
        {"type": "start_task", "data": {"workflow_id": WORKFLOW, "task_id": ONE, "node_ip": ""}},
        {"type": "finish_task", "data": {"workflow_id": WORKFLOW, "task_id": ONE, "result": {"y": 7}}},
    ]
    found = collector.record.task_result(ONE)
    assert found == {"task_id": ONE, "result": {"y": 7}, "status": "success"}


def test_cancelled_tasks_are_told_if_they_ran() -> None:
    stopped = record(
        event("task_cancelled", ONE, reason="by the user", was_running=True),
        event("task_cancelled", TWO, reason="by the user", was_running=False),
        event("cancel_workflow", finished=0),
    )
    assert [message["data"]["result"] for message in stopped.messages()] == ["Cancelled: by the user"]
    assert stopped.cancelled
    assert stopped.summary()["workflow_completed"] is False


def test_progress_is_counted() -> None:
    collector = collected(event("run_submitted", tasks=3), finished(ONE), failed(TWO, "x"), event("task_skipped", TWIN))
    assert (collector.done, collector.record.total, collector.record.skipped) == (3, 3, 1)


def test_the_summary_is_the_documented_dictionary() -> None:
    assert record(finished(ONE, y=1), failed(TWO, "x"), event("finish_workflow")).summary() == {
        "task_results": {ONE: {"y": 1}},
        "workflow_completed": True,
        "has_exception": True,
        "exception_tasks": [TWO],
    }


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"result": "x", "error_type": "ValueError", "error_message": "bad thing"}, "ValueError: bad thing"),
        ({"result": "x", "error_type": "ValueError", "error_message": ""}, "ValueError"),
        ({"result": "x", "error_type": "KeyError", "error_message": "a\nb"}, "KeyError: a"),
        ({"result": "Traceback (most recent call last):\n  File x\nmod.Bad: line\n  more"}, "mod.Bad: line"),
        ({"result": "no headline here"}, "no headline here"),
        ({"result": ""}, ""),
    ],
)
def test_an_error_is_told_in_one_line(data: dict[str, Any], line: str) -> None:
    (entry,) = record(event("task_exception", ONE, **data)).entries
    assert entry.error == line


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
    first = kept.messages()
    first[0]["data"]["result"]["y"][1]["a"].append(3)
    first.clear()
    assert kept.messages()[0]["data"]["result"] == {"y": [1, {"a": [2]}]}
    kept.summary()["task_results"][ONE]["y"].clear()
    assert kept.summary()["task_results"] == {ONE: {"y": [1, {"a": [2]}]}}


def test_two_readings_are_equal_also_with_odd_values() -> None:
    kept = record(finished(ONE, nan=float("nan"), thing=object()))
    assert kept.messages() == kept.messages()


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


def test_events_are_what_the_head_sends() -> None:
    """The head packs results as [codec, bytes]; msgpack gives lists."""
    packed = msgpack.packb({"y": [0, msgpack.packb("x")]})
    result = msgpack.unpackb(packed)
    assert record(event("finish_task", ONE, result=result)).entries[0].message["data"]["result"] == {"y": "x"}
