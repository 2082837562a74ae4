"""What `run()` takes, and the warning about tasks that no node can take."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maze import InfeasibleWarning, _remote
from maze._async import AsyncMaWorkflow
from maze._decorator import task
from maze._run_options import RunOptions, run_options, warn_infeasible
from maze._shared import discard_edits
from maze._workflow import MaWorkflow
from maze.errors import InputError, InputTypeError
from maze_protocol import http
from support.fake_head import FakeConnection

URL = "http://127.0.0.1:9"
PLAIN: dict[str, Any] = {"fail_fast": False, "priority": 0, "project": "", "wait_for_capacity": True}


@task(inputs=[], outputs=["y"])
def answer(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 42}


def infeasible(*names: str) -> list[http.InfeasibleTask]:
    return [http.InfeasibleTask(f"task_{name:0>32}", name, f"{name} asks for 8 CPUs") for name in names]


def run_body(run_id: str = "run_12345678abc", infeasible: list[http.InfeasibleTask] | None = None) -> http.RunBody:
    return http.RunBody(
        run_id, "w", 1, "running", 2, 0, 0, 0, 0, 0.0, None, 1, sealed=False, infeasible=infeasible or []
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_edits_left() -> Iterator[None]:
    yield
    discard_edits(URL)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeConnection]:
    def install(*names: str) -> FakeConnection:
        made = FakeConnection(
            post_edits=lambda body: http.EditResponse("w", body.base_revision + 1),
            post_runs=lambda body: run_body(body.run_id, infeasible(*names)),
        )
        monkeypatch.setattr(_remote, "connection", lambda url: made)
        return made

    return install


def test_the_options_are_those_of_the_request() -> None:
    assert run_options(**PLAIN) == RunOptions()
    wanted = run_options(fail_fast=True, priority=-100, project="vision", wait_for_capacity=False)
    assert http.RunRequest("w", **wanted._asdict()) == http.RunRequest(
        "w", fail_fast=True, priority=-100, project="vision", wait_for_capacity=False
    )


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({"priority": 101}, InputError, "priority = 101: allowed are -100 to 100"),
        ({"priority": -101}, InputError, "allowed are -100 to 100"),
        ({"priority": True}, InputTypeError, "priority must be a whole number, not bool"),
        ({"priority": 1.5}, InputTypeError, "not float"),
        ({"project": None}, InputTypeError, "project must be the name of a project, not NoneType"),
        ({"project": "p" * 257}, InputError, "the name of a project must have 1 to 256 characters, got 257"),
        ({"project": "a\nb"}, InputError, "control characters"),
        ({"fail_fast": 1}, InputTypeError, "fail_fast must be True or False, not int"),
        ({"wait_for_capacity": None}, InputTypeError, "wait_for_capacity must be True or False"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        run_options(**{**PLAIN, **given})


def test_nothing_impossible_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_infeasible(run_body(), RunOptions())
        warn_infeasible(run_body(infeasible=infeasible("a")), RunOptions(wait_for_capacity=False))


def test_the_warning_names_tasks_reasons_and_what_to_do() -> None:
    with pytest.warns(InfeasibleWarning) as caught:
        warn_infeasible(run_body(infeasible=infeasible(*"abcdefg")), RunOptions())
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("run run_12345678abc has tasks that no node can ever take, ")
    assert "  'a' (task_00000000): a asks for 8 CPUs\n" in text
    assert "  'e' " in text
    assert "  'f' " not in text
    assert "and others; `maze explain run_12345678a` names them" in text
    assert text.endswith("run(wait_for_capacity=False) makes such tasks fail at once.")
    assert isinstance(warning.message, InfeasibleWarning)
    assert (warning.message.run_id, len(warning.message.tasks)) == ("run_12345678abc", 7)
    twin = pickle.loads(pickle.dumps(warning.message))
    assert (str(twin), twin.run_id, twin.tasks) == (text, warning.message.run_id, warning.message.tasks)


def test_run_warns_once_per_run_at_the_line_that_called_it(head: Callable[..., FakeConnection]) -> None:
    head("train")
    workflow = MaWorkflow("w", URL)
    workflow._state.draft.load((), (), 0)
    workflow.add_task(answer)
    with pytest.warns(InfeasibleWarning, match="'train'") as caught:
        runs = [workflow.run(priority=3, project="vision") for _ in range(2)]
    assert len(set(runs)) == 2
    assert [warning.filename for warning in caught] == [__file__] * 2
    assert [warning.message.run_id for warning in caught] == runs  # type: ignore[union-attr]  # of ours only


def test_the_async_client_warns_at_that_line_too(head: Callable[..., FakeConnection]) -> None:
    connection = head("train")
    workflow = AsyncMaWorkflow("w", URL)
    workflow._state.draft.load((), (), 0)
    workflow.add_task(answer)

    async def main(**options: Any) -> str:
        return await workflow.run(**options)

    with pytest.warns(InfeasibleWarning, match="'train'") as caught:
        asyncio.run(main())
    assert [warning.filename for warning in caught] == [__file__]
    run_id = asyncio.run(main(wait_for_capacity=False, project="vision"))
    request = connection.asked[-1][2]
    assert (request.run_id, request.project, request.wait_for_capacity) == (run_id, "vision", False)
