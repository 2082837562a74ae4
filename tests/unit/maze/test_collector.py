"""What of a run's events becomes a documented message or a line for people. No head."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from maze._collector import TOLD, Collector
from maze._results import Retry
from maze._values import encode
from maze_protocol.events import SEALING_NAMES, TYPE_NAMES
from support.run_story import ONE, TWIN, TWO, WORKFLOW, collected, event, failed, finished, lost, messages, record


def test_messages_have_the_documented_types_and_exactly_their_keys() -> None:
    told = messages(
        record(
            event("run_submitted", tasks=2),
            event("task_leased", ONE, node_id="n"),
            event("start_task", ONE, node_ip="127.0.0.1", node_id="n", started_at=1.0),
            finished(ONE, y=1),
            failed(TWO, "Traceback…", error_type="ValueError", error_message="bad", kind="user"),
            event("task_warning", ONE, text="careful"),
            event("finish_workflow", finished=1, failed=1, skipped=0),
        )
    )
    common = {"workflow_id": WORKFLOW}
    assert told == [
        {"type": "start_task", "data": {**common, "task_id": ONE, "node_ip": "127.0.0.1"}},
        {"type": "finish_task", "data": {**common, "task_id": ONE, "result": {"y": 1}}},
        {"type": "task_exception", "data": {**common, "task_id": TWO, "result": "Traceback…"}},
        {"type": "finish_workflow", "data": {}},
    ]


def test_events_of_other_types_say_nothing() -> None:
    assert "task_leased" not in TOLD
    assert {"run_submitted", *SEALING_NAMES} <= TOLD
    for kind in {*TYPE_NAMES.values(), "rebuild_started"} - TOLD:
        assert collected(event(kind, ONE)).record.story == []


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
    assert messages(found) == []
    assert found.story == [
        Retry(ONE, "ValueError: bad", 1.5, 2, 4),
        Retry(ONE, "WorkerCrashed: SIGKILL", 0.0),
        Retry(TWO, "TaskTimeout: 5 s", 0.0, 2, 4),
        Retry(ONE, "ValueError: bad", 0.0, 3, 4),
    ]


def test_tasks_that_neither_run_nor_are_over_are_counted() -> None:
    collector = Collector("run_1")
    assert collector.unstarted == 0
    start = event("start_task", ONE, node_ip="127.0.0.1")
    story = [event("run_submitted", tasks=3), start, lost(ONE), start, finished(ONE), event("task_skipped", TWO)]
    counts = []
    for each in story:
        collector.show((each,), lambda step: None)
        counts.append(collector.unstarted)
    assert counts == [3, 2, 3, 2, 2, 1]


def test_a_reused_result_is_a_pair_of_messages_in_the_reference_order() -> None:
    collector = collected(event("run_submitted", tasks=2), event("task_reused", ONE, result={"y": list(encode(7))}))
    assert collector.done == 1
    assert [entry.reused for entry in collector.record.entries] == [True, True]
    assert messages(collector.record) == [
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
    assert [message["data"]["result"] for message in messages(stopped)] == ["Cancelled: by the user"]
    assert stopped.cancelled
    assert stopped.summary()["workflow_completed"] is False


def test_progress_is_counted() -> None:
    collector = collected(event("run_submitted", tasks=3), finished(ONE), failed(TWO, "x"), event("task_skipped", TWIN))
    assert (collector.done, collector.record.total, collector.record.skipped) == (3, 3, 1)


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


def test_events_are_what_the_head_sends() -> None:
    """The head packs results as [codec, bytes]; msgpack gives lists."""
    packed = msgpack.packb({"y": [0, msgpack.packb("x")]})
    result = msgpack.unpackb(packed)
    assert record(event("finish_task", ONE, result=result)).entries[0].message["data"]["result"] == {"y": "x"}
