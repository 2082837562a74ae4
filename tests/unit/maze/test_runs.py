"""Runs that exist: stopped, run again, waited for; the connection is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from maze import _remote, _runs
from maze._shared import WorkflowState
from maze.errors import HeadUnavailableError, NotAMazeHeadError, RequestError, UnknownRunError
from maze_protocol import http
from support.fake_head import FakeConnection, refused

Install = Callable[..., FakeConnection]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(**answers: Any) -> FakeConnection:
        made = FakeConnection(**answers)
        for module in (_remote, _runs):
            monkeypatch.setattr(module, "connection", lambda url: made)
        return made

    return install


class Clock:
    """Seconds that pass with every reading."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


def run_body(status: str, last_seq: int = 1, run_id: str = "run_1") -> http.RunBody:
    sealed = status in {"finished", "failed", "cancelled"}
    return http.RunBody(run_id, "w", 1, status, 1, 0, 0, 0, 0, 0.0, None, last_seq, sealed)


def script(*answers: Any) -> Callable[[Any], Any]:
    queue = list(answers)
    return lambda _: queue.pop(0)


def cancel(*, wait: bool) -> dict[str, Any]:
    return asyncio.run(_runs.cancel_run("u", "run_1", wait=wait))


def test_a_cancel_returns_at_once(head: Install) -> None:
    connection = head(delete_runs=lambda _: run_body("cancelling"))
    assert cancel(wait=False)["status"] == "cancelling"
    assert [(method, where) for method, where, _ in connection.asked] == [("DELETE", "/api/v1/runs/run_1")]


def test_a_cancel_that_waits_returns_when_the_log_is_sealed(head: Install) -> None:
    connection = head(
        delete_runs=lambda _: run_body("cancelling", 4),
        get_runs=script(run_body("cancelling", 4), _runs._Page(5), run_body("cancelling", 5), _runs._Page(6),
                        run_body("cancelled", 6)),
    )  # fmt: skip
    assert cancel(wait=True)["status"] == "cancelled"
    polls = [query for _, where, query in connection.asked if where.endswith("/events")]
    assert polls == [{"after": "4", "wait": "30", "limit": "1"}, {"after": "5", "wait": "30", "limit": "1"}]


def test_a_cancel_of_a_run_that_is_over_waits_for_nothing(head: Install) -> None:
    head(delete_runs=lambda _: run_body("finished"))
    assert cancel(wait=True)["status"] == "finished"


def test_a_wait_goes_on_when_the_head_comes_back(head: Install) -> None:
    gone = HeadUnavailableError("gone")
    head(
        delete_runs=lambda _: run_body("cancelling"),
        get_runs=script(
            run_body("cancelling"), gone, gone, _runs._Page(2), gone, _runs._Page(2), run_body("cancelled")
        ),
    )
    assert cancel(wait=True)["status"] == "cancelled"


@pytest.mark.parametrize(("error", "step"), [(HeadUnavailableError("gone"), 50.0), (NotAMazeHeadError("no"), 0.0)])
def test_a_wait_ends_when_the_head_does_not_come_back(
    head: Install, monkeypatch: pytest.MonkeyPatch, error: HeadUnavailableError, step: float
) -> None:
    monkeypatch.setattr(_runs, "time", Clock(step))
    head(delete_runs=lambda _: run_body("cancelling"), get_runs=script(run_body("cancelling"), error, error, error))
    with pytest.raises(type(error), match=error.message):
        cancel(wait=True)


def test_a_retry_makes_the_id_of_the_new_run(head: Install) -> None:
    connection = head(post_runs=lambda body: run_body("waiting", run_id=body.run_id))
    again = asyncio.run(_runs.retry_run("u", "run_1", from_failed=True))
    ((method, where, body),) = connection.asked
    assert (method, where) == ("POST", "/api/v1/runs/run_1/retry")
    assert body == http.RetryRequest(again, from_failed=True)
    assert again.startswith("run_")
    assert len(again) == 36


def test_the_new_run_is_the_workflows_own(head: Install) -> None:
    head(post_runs=lambda body: run_body("waiting", run_id=body.run_id))
    state = WorkflowState("http://127.0.0.1:9", "w")
    again = asyncio.run(_runs.retry_own_run(state, "run_1", from_failed=False))
    assert list(state.own_runs) == [again]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refused("unknown_run", 404), UnknownRunError),
        (refused("run_expired", 410), UnknownRunError),
        (refused("run_not_over", 409), RequestError),
        (refused("nothing_to_retry", 409), RequestError),
    ],
)
def test_refusals_are_told(head: Install, refusal: RequestError, kind: type[Exception]) -> None:
    head(post_runs=lambda _: refusal, delete_runs=lambda _: refusal)
    with pytest.raises(kind):
        asyncio.run(_runs.retry_run("u", "run_1", from_failed=False))
    with pytest.raises(kind):
        cancel(wait=False)
