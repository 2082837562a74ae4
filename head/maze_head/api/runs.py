"""Runs: submitted, retried, summarised, cancelled; and the tasks within them, which are read from the run's own log."""

from __future__ import annotations

import asyncio

from maze_head.api.call import Call, raw_id
from maze_head.api.errors import Malformed
from maze_head.api.events import open_run
from maze_head.api.views import THREAD_FROM
from maze_head.core.errors import NotFound
from maze_head.core.events import (
    CancelRun,
    DescribeRun,
    ExplainRun,
    ExplainTask,
    ListRuns,
    RemoveRun,
    RetryRun,
    SubmitRun,
)
from maze_head.core.fold import RunView
from maze_protocol.http import RetryRequest, RunBody, RunList, RunRequest, RunTaskBody, RunTaskList
from maze_protocol.ids import RUN, TASK, WORKFLOW
from maze_protocol.waiting import Explanation, RunExplanation

__all__ = [
    "cancel", "describe", "explain", "explain_all", "list_all", "number_of", "post_run", "remove", "retry", "submit",
    "submit_run", "task", "tasks",
]  # fmt: skip


async def submit(call: Call) -> RunBody:
    """Run a snapshot of a workflow; the same run id again is the same run."""
    return await submit_run(call, call.body)


async def submit_run(call: Call, request: RunRequest) -> RunBody:
    """Hand a submission to the core."""
    return await post_run(call, request)


def post_run(call: Call, request: RunRequest) -> asyncio.Future[RunBody]:
    """Hand a submission to the core; its answer may be there already."""
    raw_id(request.workflow_id, WORKFLOW)
    raw = call.new_id() if request.run_id is None else raw_id(request.run_id, RUN)
    return call.services.driver.post(lambda ticket: SubmitRun(ticket, raw, request))


async def retry(call: Call) -> RunBody:
    """Run the graph of an earlier run again; the same run id again is the same run."""
    request: RetryRequest = call.body
    raw = call.new_id() if request.run_id is None else raw_id(request.run_id, RUN)
    earlier = await open_run(call, call.id("run_id", RUN))
    view = await call.views.current(earlier)
    # The view of a run that goes on may be moved on by another thread; the core will refuse it anyway.
    reuses = request.from_failed and view.run.sealed_by is not None
    reused, made = (view.results(), view.made()) if reuses else ((), ())
    submitted, last_seq, graph = view.run.submitted, view.run.next_seq - 1, earlier.names.graph
    body: RunBody = await call.ask(
        lambda ticket: RetryRun(ticket, raw, submitted, last_seq, graph, reused, request.from_failed, made)
    )
    return body


async def list_all(call: Call) -> RunList:
    """List runs, newest first."""
    limit = call.number("limit", 50, 1, 1000)
    before = call.number("before", 0, 0, 2**53)
    workflow = call.request.query.get("workflow_id", "")
    raw = raw_id(workflow, WORKFLOW) if workflow else None
    found: RunList = await call.ask(lambda ticket: ListRuns(ticket, limit, before, raw))
    return found


async def describe(call: Call) -> RunBody:
    """Return one run, summarised."""
    raw = call.id("run_id", RUN)
    body: RunBody = await call.ask(lambda ticket: DescribeRun(ticket, raw))
    return body


async def cancel(call: Call) -> RunBody:
    """Stop a run; the answer comes when that is recorded, not when the last task has ended."""
    raw = call.id("run_id", RUN)
    reason = call.request.query.get("reason", "cancelled by the user")
    if len(reason) > 256 or not reason.isprintable():
        raise Malformed("bad_query", "reason must be at most 256 printable characters")
    body: RunBody = await call.ask(lambda ticket: CancelRun(ticket, raw, reason))
    return body


async def remove(call: Call) -> RunBody:
    """Remove all that is kept of a run that is over; return what it was."""
    raw = call.id("run_id", RUN)
    body: RunBody = await call.ask(lambda ticket: RemoveRun(ticket, raw))
    return body


async def tasks(call: Call) -> RunTaskList:
    """List the tasks of a run as far as its log tells."""
    view = await call.views.current(await open_run(call, call.id("run_id", RUN)))
    if len(view.run.graph) < THREAD_FROM:
        return RunTaskList(view.tasks())
    return RunTaskList(await asyncio.to_thread(view.tasks))


async def task(call: Call) -> RunTaskBody:
    """Return one task of a run."""
    view = await call.views.current(await open_run(call, call.id("run_id", RUN)))
    return view.task(number_of(call, view))


async def explain(call: Call) -> Explanation:
    """Say why a task has not started, from what the core knows now."""
    run, wanted = call.id("run_id", RUN), call.id("task_id", TASK)
    explanation: Explanation = await call.ask(lambda ticket: ExplainTask(ticket, run, wanted))
    return explanation


async def explain_all(call: Call) -> RunExplanation:
    """Say why tasks of a run have not started, grouped by the reason."""
    run = call.id("run_id", RUN)
    explanation: RunExplanation = await call.ask(lambda ticket: ExplainRun(ticket, run))
    return explanation


def number_of(call: Call, view: RunView) -> int:
    """Return the number of the task that the path names.

    Raises:
        NotFound: the run has no such task.
    """
    number = view.run.graph.index.get(call.id("task_id", TASK))
    if number is None:
        raise NotFound("unknown_task", f"no task {call.path('task_id')} in {call.path('run_id')}")
    return number
