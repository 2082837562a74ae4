"""The checker itself: each check passes what may happen and finds what must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos.history import (
    Execution,
    History,
    check_acknowledged,
    check_effects,
    check_log,
    check_own_writes,
    check_results,
    check_subscribers,
    executions,
)

ENDED = {"sealed": True}


def event(seq: int, kind: str, task: str | None = None, **data: Any) -> dict[str, Any]:
    named = {} if task is None else {"task_id": task, "attempt": 1}
    return {"seq": seq, "type": kind, "data": named | data}


GOOD = [
    event(1, "run_submitted"),
    event(2, "start_task", "a"),
    event(3, "finish_task", "a", result={"y": 1}),
    event(4, "task_skipped", "b"),
    event(5, "finish_workflow"),
]


def test_acknowledged_submissions_are_there_and_end() -> None:
    history = History()
    for key, outcome in (("one", "info"), ("one", "ok"), ("two", "info"), ("three", "fail")):
        history.note("submit", key, outcome, 0.0)  # type: ignore[arg-type]
    assert check_acknowledged(history, {"one": ENDED}) == []
    assert check_acknowledged(history, {"one": ENDED, "two": ENDED}) == []
    assert "lost" in check_acknowledged(history, {})[0]
    assert "never ended" in check_acknowledged(history, {"one": {"sealed": False}})[0]
    assert "refused and is there" in check_acknowledged(history, {"one": ENDED, "three": ENDED})[0]


def test_what_was_written_can_be_read() -> None:
    history = History()
    history.note("read", "one", "ok", -1.0, False)
    history.note("submit", "one", "ok", 0.0)
    written = history.operations[-1].ended
    history.note("read", "one", "info", written + 1)
    history.note("read", "one", "ok", written + 2, True)
    assert check_own_writes(history) == []
    history.note("read", "one", "ok", written + 3, False)
    assert "did not find it" in check_own_writes(history)[0]


def test_subscribers_read_prefixes_of_one_sequence() -> None:
    assert check_subscribers({"a": GOOD, "b": GOOD[:2], "c": []}) == []
    assert "3 in place 2" in check_subscribers({"a": GOOD, "b": [GOOD[0], GOOD[2]]})[0]
    assert "1 in place 2" in check_subscribers({"a": [GOOD[0], GOOD[0]]})[0]
    other = [GOOD[0], event(2, "start_task", "b")]
    assert "where another one read" in check_subscribers({"a": GOOD, "b": other})[0]


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([], "not sealed"),
        (GOOD[:-1], "not sealed"),
        ([*GOOD, event(6, "finish_workflow")], "is not the end"),
        ([*GOOD[:3], event(4, "finish_task", "a"), GOOD[3], GOOD[4]], "a ended 2 times"),
        ([GOOD[0], *GOOD[2:]], "None had started"),
        ([GOOD[0], GOOD[3], GOOD[4]], "a ended 0 times"),
        ([*GOOD[:4], event(5, "start_task", "a"), GOOD[4]], "started after its end"),
        ([*GOOD[:2], event(3, "start_task", "a", attempt=2), *GOOD[2:]], "attempt 1 finished, 2 had started"),
    ],
)
def test_a_log_that_cannot_be_is_found(events: list[dict[str, Any]], what: str) -> None:
    assert check_log(GOOD, ["a", "b"]) == []
    assert any(what in wrong for wrong in check_log(events, ["a", "b"]))


def test_results_follow_from_inputs() -> None:
    assert check_results(GOOD, {"a": {"y": 1}, "b": {"y": 2}}) == []
    assert "its inputs give" in check_results(GOOD, {"a": {"y": 2}})[0]


def test_side_effects_are_read_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("start 7 1.0\nstart 8 2.0\nend 8 3.0\nstart 7 4.0\n")
    (tmp_path / "b").write_text("")
    first, second, third = Execution("a", 7, 1.0, None), Execution("a", 8, 2.0, 3.0), Execution("a", 7, 4.0, None)
    assert executions(tmp_path) == {"a": [first, second, third], "b": []}


def test_what_finished_was_executed() -> None:
    whole, cut = Execution("a", 7, 1.0, 2.0), Execution("a", 7, 1.0, None)
    assert check_effects({"a": [cut, whole]}, ["a"]) == []
    assert check_effects({"a": [cut, whole]}, ["a"], once=True, more=["a"]) == []
    assert "executed 2 times" in check_effects({"a": [cut, whole]}, ["a"], once=True)[0]
    assert "never ran to its end" in check_effects({"a": [cut]}, ["a"])[0]
    assert "never ran to its end" in check_effects({}, ["a"])[0]
