"""The commands that change runs wait for a head that is restarted; the rest is in tests/integration."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from maze.cli import changes
from maze.cli._api import ApiError, HeadUnreachable

GONE = HeadUnreachable("http://127.0.0.1:1", "connection refused")


class Head:
    """Answers from a list."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, **query: Any) -> Any:
        self.asked.append((path, query))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "time", Clock())


def body(status: str, last_seq: int = 1) -> dict[str, Any]:
    sealed = status in {"finished", "failed", "cancelled"}
    return {"run_id": "run_1", "status": status, "sealed": sealed, "last_seq": last_seq}


def end_of(head: Head) -> dict[str, Any]:
    return changes._end_of(head, body("cancelling"))  # type: ignore[arg-type]  # a double of what it asks


def test_each_poll_goes_on_behind_the_last_event() -> None:
    head = Head({}, body("cancelling", 7), {}, body("cancelled", 8))
    assert end_of(head)["status"] == "cancelled"
    assert [query["after"] for path, query in head.asked if path.endswith("/events")] == [1, 7]


def test_a_restarted_head_is_waited_for() -> None:
    stopping = ApiError(503, "stopping", "the head is stopping")
    assert end_of(Head(stopping, GONE, GONE, {}, GONE, {}, body("cancelled")))["status"] == "cancelled"


def test_a_head_that_stays_away_is_told() -> None:
    with pytest.raises(HeadUnreachable, match="connection refused"):
        end_of(Head(*[GONE] * 1000))


def test_a_run_that_was_removed_is_told() -> None:
    with pytest.raises(click.ClickException, match="removed"):
        end_of(Head(ApiError(410, "run_expired", "the run was removed")))


def test_what_no_node_can_take_is_told_beside_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = f"run_{'1':0<32}"
    task = {"task_id": f"task_{'2':0<32}", "name": "train", "reason": "it asks for 8 CPUs"}

    class Answers:
        def get(self, path: str) -> Any:
            return body("failed") | {"run_id": run_id}

        def post(self, path: str, data: Any) -> Any:
            return body("waiting") | {"run_id": "run_2", "infeasible": [task]}

    monkeypatch.setattr(changes.Head, "find", lambda url: Answers())
    done = CliRunner().invoke(changes.retry, [run_id])
    assert (done.exit_code, done.stdout) == (0, "run_2 waiting\n")
    assert done.stderr == "No node can ever take train (task_20000000): it asks for 8 CPUs\n"
