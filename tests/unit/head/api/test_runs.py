"""Retries over HTTP: what the handler brings to the core from the committed log."""

from __future__ import annotations

from typing import Any

from maze_head.core.errors import Conflict, Gone
from maze_head.core.events import DescribeRun, RetryRun
from maze_protocol.events import (
    OutputMeta,
    RunFinished,
    RunSubmitted,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskStarted,
)
from maze_protocol.http import RunBody
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim
from support.api_double import RUN_ID, RUN_TEXT, WORKFLOW_ID, WORKFLOW_TEXT, asynchronous, serving

NEW = "run_" + "ab" * 16
BODY = RunBody(NEW, WORKFLOW_TEXT, 1, "waiting", 2, 0, 0, 0, 0, 1.0, None, 1, False, 1, RUN_TEXT)
OUTPUTS = (OutputMeta("y", 0, 1),)
SUBMITTED = RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2, fail_fast=True, project="p")


def attempt(task: int) -> tuple[TaskLeased, TaskStarted]:
    return TaskLeased(task, 1, task + 1, "n1", Claim(1000, 0)), TaskStarted(task, 1, task + 1, "n1", "10.0.0.1", 1.0)


ENDED = (
    *attempt(1), TaskFinished(1, 1, 2, OUTPUTS, 1.0),
    *attempt(0), TaskFailed(0, 1, 1, ErrorInfo("user", "ValueError", "bad")),
    RunFinished(1, 1, 0),
)  # fmt: skip


async def ask(body: dict[str, Any], *events: Any, **answers: Any) -> tuple[int, Any, list[RetryRun]]:
    """Retry a run with this log; return status, body and what the core was asked."""
    async with serving("a", "b") as head:
        head.driver.answers |= {DescribeRun: BODY, RetryRun: BODY, **answers.get("core", {})}
        await head.hub.commit(SUBMITTED, *events)
        head.hub.removed = isinstance(head.driver.answers[DescribeRun], Gone)
        async with head.http.post(f"/api/v1/runs/{RUN_TEXT}/retry", json=body) as response:
            asked = [command for command in head.driver.asked if isinstance(command, RetryRun)]
            return response.status, await response.json(), asked


@asynchronous
async def test_a_retry_brings_the_graph_and_no_results() -> None:
    status, body, (command,) = await ask({"run_id": NEW}, *ENDED)
    assert (status, body["run_id"], body["retry_of"]) == (201, NEW, RUN_TEXT)
    assert (command.run_id, command.earlier, command.last_seq) == (b"\xab" * 16, SUBMITTED, 8)
    assert (command.reused, command.from_failed) == ((), False)
    assert (command.graph.workflow_id, len(command.graph)) == (WORKFLOW_ID, 2)


@asynchronous
async def test_from_failed_brings_the_results_that_are_there() -> None:
    _, _, (command,) = await ask({"from_failed": True}, *ENDED)
    assert (command.reused, command.from_failed) == (((1, OUTPUTS),), True)
    assert len(command.run_id) == 16


@asynchronous
async def test_of_a_run_that_goes_on_nothing_is_brought() -> None:
    refusal = {RetryRun: Conflict("run_not_over", "not over", hint="wait")}
    status, body, (command,) = await ask({"from_failed": True}, *ENDED[:3], core=refusal)
    assert (status, body["error"]["code"], body["error"]["hint"]) == (409, "run_not_over", "wait")
    assert command.reused == ()


@asynchronous
async def test_a_removed_run_is_gone() -> None:
    status, body, asked = await ask({}, *ENDED, core={DescribeRun: Gone("run_expired", "removed")})
    assert (status, body["error"]["code"], asked) == (410, "run_expired", [])
