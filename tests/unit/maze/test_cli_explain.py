"""`maze explain`: what is printed of a run and of a task, in a pipe and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from maze.cli import explain as explain_module
from maze.cli._api import ApiError
from maze.cli.explain import explain

RUN = f"run_{'1':0<32}"
TASKS = [{"task_id": f"task_{digit:0<32}", "name": name} for digit, name in (("1", "load"), ("2", "train"))]
FULL = {
    "code": "infeasible",
    "text": "no node could ever take it",
    "nearest": {"node": "n1", "lacks": {"cpu": [8.0, 4.0], "label:zone": ["a", "b"]}},
    "nodes": ["n1", "n2"],
    "until": 103.25,
    "limit": "openai",
    "reserved_for": "task_3",
}
GROUPS = [
    {"code": "no_capacity_now", "text": "busy\there", "count": 41, "tasks": TASKS},
    {"code": "backoff", "text": "in 3 s", "count": 1, "tasks": TASKS[:1]},
]


class FakeHead:
    """Answers by path."""

    def __init__(self, groups: list[dict[str, Any]], explanation: dict[str, Any], more: int) -> None:
        self.answers = {
            f"/runs/{RUN}": {"run_id": RUN, "status": "running", "running": 2},
            f"/runs/{RUN}/explain": {"run_id": RUN, "groups": groups, "more": more},
            f"/runs/{RUN}/tasks": {"tasks": TASKS},
            f"/runs/{RUN}/tasks/{TASKS[1]['task_id']}/explain": explanation,
        }

    def get(self, path: str) -> Any:
        if path not in self.answers:
            raise ApiError(404, "unknown_run", "no such run")
        return self.answers[path]


@pytest.fixture
def maze(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(explain_module, "time", type("Clock", (), {"time": staticmethod(lambda: 100.0)}))

    def call(
        *arguments: str,
        groups: list[dict[str, Any]] = GROUPS,
        explanation: dict[str, Any] = FULL,
        more: int = 0,
        status: int = 0,
    ) -> Result:
        monkeypatch.setattr(explain_module.Head, "find", lambda url: FakeHead(groups, explanation, more))
        done = CliRunner().invoke(explain, [*arguments])
        assert done.exit_code == status, done.output
        return done

    return call


def test_a_run_is_explained_by_reason_with_counts(maze: Any) -> None:
    assert maze(RUN).stdout.splitlines() == [
        "REASON\tTASKS\tWHICH\tWHY",
        "no_capacity_now\t41\tload (task_10000000), train (task_20000000) and 39 more\tbusy here",
        "backoff\t1\tload (task_10000000)\tin 3 s",
    ]


def test_a_run_in_which_nothing_waits_says_so_beside_the_answer(maze: Any) -> None:
    done = maze(RUN, groups=[])
    assert done.stdout == "REASON\tTASKS\tWHICH\tWHY\n"
    assert done.stderr == "No task of it waits: the run is running, 2 running.\n"


def test_kinds_that_are_not_listed_are_counted(maze: Any) -> None:
    assert maze(RUN, more=7).stderr == "7 more tasks wait that ask for other things; name a TASK to hear of it.\n"
    assert maze(RUN).stderr == ""


def test_a_task_is_explained_in_full(maze: Any) -> None:
    assert [line.split("\t") for line in maze(RUN, "train").stdout.splitlines()] == [
        ["task", f"train ({TASKS[1]['task_id']})"],
        ["reason", "infeasible"],
        ["why", "no node could ever take it"],
        ["nodes", "n1, n2"],
        ["nearest fit", "n1: cpu 8.0 asked, 4.0 there, label:zone a asked, b there"],
        ["goes on", "in 3.2 s"],
        ["limit", "openai"],
        ["kept for", "task_3"],
    ]


def test_what_an_explanation_does_not_know_is_not_shown(maze: Any) -> None:
    told = maze(RUN, "train", explanation={"code": "over", "text": "the task is finished"}).stdout
    assert [line.split("\t")[0] for line in told.splitlines()] == ["task", "reason", "why"]


def test_programs_get_the_fields_of_the_api(maze: Any) -> None:
    assert json.loads(maze(RUN, "--json").stdout) == {"run_id": RUN, "groups": GROUPS, "more": 0}
    assert json.loads(maze(RUN, "train", "--json").stdout) == {**TASKS[1], **FULL}


@pytest.mark.parametrize("arguments", [("run_" + "2" * 32,), (RUN, "evaluate")])
def test_unknown_runs_and_tasks_are_usage_errors(maze: Any, arguments: tuple[str, ...]) -> None:
    maze(*arguments, status=2)
