"""The async client: the same names on the same drafts; what waits is a coroutine, what doesn't is not.

It awaits the loop thread's work from whatever event loop it is used in, so sessions are shared with the blocking
client and nothing is bound to a loop of the user's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from maze._address import DEFAULT_URL, resolve
from maze._collector import TOLD, Collector
from maze._handles import TaskHandle
from maze._report import RunReport
from maze._results import RunRecord
from maze._run_options import run_options, warn_infeasible
from maze._stream import EventStream
from maze._subscription import AsyncSubscription, Transport
from maze._watch import Look, Watch
from maze._workflow_base import Messages, Show, WorkflowBase, replay
from maze.errors import ClosedError, GraphError

__all__ = ["AsyncMaClient", "AsyncMaTask", "AsyncMaWorkflow"]

Result = TypeVar("Result")


class AsyncMaTask(TaskHandle):
    """A task in a workflow of the async client. Its edits are local, so nothing here is awaited."""

    def save(
        self,
        code_str: str,
        task_input: dict[str, Any] | None = None,
        task_output: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
    ) -> None:
        """Define a task that was added without a function; see `MaTask.save`."""
        self._save(code_str, task_input, task_output, resources)

    def delete(self) -> None:
        """Delete the task from the workflow; see `MaTask.delete`."""
        self._delete()

    def _ready(self) -> None:
        _check_loaded(self._state.draft.loaded)


class AsyncMaWorkflow(WorkflowBase[AsyncMaTask]):
    """A workflow of the async client; made by `AsyncMaClient.create_workflow` or `get_workflow`."""

    _task_class = AsyncMaTask

    async def get_tasks(self) -> list[dict[str, str]]:
        """Return all tasks of the workflow; see `MaWorkflow.get_tasks`."""
        from maze import _remote
        from maze._loop import bridge

        await self._flush()
        return await bridge(_remote.tasks(self._state))

    async def run(
        self, *, fail_fast: bool = False, priority: int = 0, project: str = "", wait_for_capacity: bool = True
    ) -> str:
        """Submit the workflow for execution; see `MaWorkflow.run`."""
        from maze import _remote
        from maze._loop import bridge

        wanted = run_options(
            fail_fast=fail_fast, priority=priority, project=project, wait_for_capacity=wait_for_capacity
        )
        await self._flush()
        self._check_saved()
        run = await bridge(_remote.submit(self._state, _remote.run_request(self._state, wanted)))
        warn_infeasible(run, wanted)
        return run.run_id

    async def cancel(self, run_id: str, wait: bool = False) -> dict[str, Any]:
        """Ask the head to stop a run; see `MaWorkflow.cancel`."""
        from maze import _remote, _runs
        from maze._loop import bridge

        await bridge(_remote.own_run(self._state, run_id))
        return await bridge(_runs.cancel_run(self.server_url, run_id, wait=wait))

    async def retry(self, run_id: str, from_failed: bool = False) -> str:
        """Run the graph of an earlier run again; see `MaWorkflow.retry`."""
        from maze import _remote, _runs
        from maze._loop import bridge

        await bridge(_remote.own_run(self._state, run_id))
        return await bridge(_runs.retry_own_run(self._state, run_id, from_failed=from_failed))

    async def get_results(self, run_id: str, verbose: bool = True) -> list[dict[str, Any]]:
        """Wait until a run is over and return all its messages; see `MaWorkflow.get_results`."""
        messages = Messages(verbose=verbose)
        await self._follow(run_id, messages)
        return messages.copies

    async def show_results(self, run_id: str, output_dir: str = "workflow_results") -> dict[str, Any]:
        """Print what happens in a run until it is over; see `MaWorkflow.show_results`."""
        from maze._downloads import files_of, save_files

        with RunReport(run_id) as report:
            record = await self._follow(run_id, report.step, report)
            report.finished(record)
            saving = save_files(files_of(record), output_dir, bars=report.on_terminal)
            for path in await asyncio.to_thread(list, saving):
                report.saved(path)
        return record.summary()

    def stream(self, run_id: str, *, after: int = 0, transport: Transport = "websocket") -> AsyncSubscription:
        """Return the events of a run of this workflow as they happen; see `MaWorkflow.stream`."""
        from maze import _remote

        check = partial(_remote.own_run, self._state, run_id)
        return AsyncSubscription(self.server_url, run_id, after, transport, check)

    async def _follow(self, run_id: str, show: Show, report: RunReport | None = None) -> RunRecord:
        from maze import _remote
        from maze._loop import bridge

        record = self._state.results.get(run_id)
        if record is None and run_id not in self._state.own_runs:
            await bridge(_remote.own_run(self._state, run_id))
        if report is not None:
            report.connected()
        if record is not None:
            return replay(record, show)
        collector = Collector(run_id)
        stream = EventStream(self.server_url, run_id, patient=True, wanted=TOLD)
        watch = Watch(time.monotonic())
        try:
            while not stream.over:
                events = await bridge(stream.next(watch.patience(time.monotonic()) if report else None))
                collector.show(events or (), show)
                if report is not None:
                    watch.note(time.monotonic(), heard=bool(events), unstarted=collector.unstarted)
                    await self._look(report, collector, watch)
        finally:
            if not stream.over:
                await bridge(stream.close())
        return self._keep(collector.record)

    async def _look(self, report: RunReport, collector: Collector, watch: Watch) -> None:
        from maze import _remote
        from maze._loop import bridge

        run_id = collector.record.run_id
        for look in watch.due(time.monotonic()):
            if look is Look.NODES:
                report.waiting(await bridge(_remote.missing_node(self.server_url, run_id)))
            else:
                report.stuck(watch.news(await bridge(_remote.waiting_tasks(self.server_url, run_id))))
        report.progress(collector)

    async def _flush(self) -> None:
        from maze import _remote
        from maze._loop import bridge

        self._ready()
        if self._state.draft.dirty:
            _remote.pickle_functions(self._state)
            await bridge(_remote.flush(self._state))

    def _ready(self) -> None:
        _check_loaded(self._state.draft.loaded)


class AsyncMaClient:
    """A client of one Maze head for async code; see `MaClient`. Also an async context manager."""

    def __init__(self, server_url: str = DEFAULT_URL) -> None:
        self.server_url = resolve(server_url)
        self._closed = False

    async def create_workflow(self, name: str = "") -> AsyncMaWorkflow:
        """Create a new workflow on the server; see `MaClient.create_workflow`."""
        from maze import _remote

        state = await self._call(_remote.create(self.server_url, name))
        return AsyncMaWorkflow(state.workflow_id, self.server_url)

    async def get_workflow(self, workflow_id: str) -> AsyncMaWorkflow:
        """Return a workflow that exists on the server; see `MaClient.get_workflow`."""
        from maze import _remote

        await self._call(_remote.open_workflow(self.server_url, workflow_id))
        return AsyncMaWorkflow(workflow_id, self.server_url)

    async def list_workflows(self) -> list[dict[str, Any]]:
        """Return all workflows, oldest first."""
        from maze import _remote

        return await self._call(_remote.list_workflows(self.server_url))

    async def list_runs(self) -> list[dict[str, Any]]:
        """Return all runs, newest first."""
        from maze import _remote

        return await self._call(_remote.list_runs(self.server_url))

    async def get_run(self, run_id: str) -> dict[str, Any]:
        """Return the summary of a run; see `MaClient.get_run`."""
        from maze import _remote

        return await self._call(_remote.run_summary(self.server_url, run_id))

    async def cancel_run(self, run_id: str, wait: bool = False) -> dict[str, Any]:
        """Ask the server to stop a run; see `MaClient.cancel_run`."""
        from maze import _runs

        return await self._call(_runs.cancel_run(self.server_url, run_id, wait=wait))

    async def retry_run(self, run_id: str, from_failed: bool = False) -> str:
        """Run the graph of an earlier run again; see `MaClient.retry_run`."""
        from maze import _runs

        return await self._call(_runs.retry_run(self.server_url, run_id, from_failed=from_failed))

    def subscribe(self, run_id: str, *, after: int = 0, transport: Transport = "websocket") -> AsyncSubscription:
        """Return the events of a run as an async iterator; see `MaClient.subscribe`.

        Raises:
            InputError: a `ValueError`: an unknown transport. An unknown run is told by the first event's wait.
        """
        from maze import _remote

        if self._closed:
            raise _closed()
        check = partial(_remote.describe_run, self.server_url, run_id)
        return AsyncSubscription(self.server_url, run_id, after, transport, check)

    async def list_nodes(self) -> list[dict[str, Any]]:
        """Return all nodes that the server knows."""
        from maze import _remote

        return await self._call(_remote.list_nodes(self.server_url))

    async def get_info(self) -> dict[str, Any]:
        """Return who answers, and under which promises."""
        from maze import _remote

        return await self._call(_remote.info(self.server_url))

    async def close(self) -> None:
        """Send edits that the server lacks; see `MaClient.close`."""
        from maze import _remote
        from maze._loop import bridge
        from maze._shared import unsent

        if self._closed:
            return
        self._closed = True
        for state in unsent(self.server_url):
            _remote.pickle_functions(state)
            await bridge(_remote.flush(state))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server_url!r}{', closed' if self._closed else ''})"

    async def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._closed:
            work.close()
            raise _closed()
        from maze._loop import bridge

        return await bridge(work)


def _closed() -> ClosedError:
    return ClosedError("this client is closed", code="closed")


def _check_loaded(loaded: bool) -> None:
    if not loaded:
        raise GraphError(
            "this workflow has not been fetched yet",
            code="not_loaded",
            hint="await client.get_workflow(workflow_id) first",
        )
