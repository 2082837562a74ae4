"""`maze ps` and `maze show`: on whose account a run goes, where it says; the rest is in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from maze.cli import runs as runs_module
from maze.cli.runs import ps, show


def run(digit: str, **account: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("tasks", "finished", "failed", "skipped", "running"), 1)
    told = {"run_id": f"run_{digit:0<32}", "workflow_id": "w", "revision": 1, "status": "running", "sealed": False}
    return {**told, **counts, "submitted_at": 0.0, "ended_at": 1.0, "retry_of": "", **account}


class FakeHead:
    """Lists runs; none has tasks."""

    def __init__(self, *listed: dict[str, Any]) -> None:
        self.listed = listed

    def get(self, path: str, **query: Any) -> Any:
        if path == "/runs":
            return {"runs": list(self.listed), "next": ""}
        return {"tasks": []} if path.endswith("/tasks") else self.listed[0]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(*listed: dict[str, Any]) -> None:
        monkeypatch.setattr(runs_module.Head, "find", lambda url: FakeHead(*listed))

    return install


def test_runs_without_an_account_are_listed_as_ever(head: Any) -> None:
    head(run("1"), run("2", priority=0, project=""))
    header, *lines = CliRunner().invoke(ps).stdout.splitlines()
    assert header.endswith("AGE\tTOOK")
    assert {len(line.split("\t")) for line in lines} == {9}


def test_priority_and_project_are_listed_once_a_run_has_them(head: Any) -> None:
    head(run("1", priority=5, project="vision"), run("2"))
    header, *lines = CliRunner().invoke(ps).stdout.splitlines()
    assert header.split("\t")[-2:] == ["PRIORITY", "PROJECT"]
    assert [line.split("\t")[-2:] for line in lines] == [["5", "vision"], ["0", ""]]


@pytest.mark.parametrize(
    ("account", "shown"),
    [
        ({}, []),
        ({"priority": -3, "project": ""}, ["priority\t-3"]),
        ({"priority": 0, "project": "vision"}, ["project\tvision"]),
    ],
)
def test_a_run_is_shown_with_what_it_has(head: Any, account: dict[str, Any], shown: list[str]) -> None:
    head(run("1", **account))
    lines = CliRunner().invoke(show, [f"run_{'1':0<32}"]).stdout.splitlines()
    assert [line for line in lines if line.startswith(("priority", "project"))] == shown


def test_what_no_node_can_take_is_shown_with_the_run(head: Any) -> None:
    head(run("1", infeasible=[{"task_id": f"task_{'2':0<32}", "name": "train", "reason": "it asks for 8 CPUs"}]))
    lines = CliRunner().invoke(show, [f"run_{'1':0<32}"]).stdout.splitlines()
    assert "infeasible\ttrain (task_20000000): it asks for 8 CPUs" in lines
