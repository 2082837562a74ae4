"""`MaWorkflow`: a workflow, its runs and its results, for code that waits.

Edits are sent in bulk by whatever needs the head to have them: `get_tasks`, `run`, the client's `close`, and the end of
the process.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from maze._handles import MaTask
from maze._report import RunReport
from maze._run_options import run_options, warn_infeasible
from maze._watch import Look, Watch
from maze._workflow_base import Messages, Show, WorkflowBase, replay

if TYPE_CHECKING:
    from maze._collector import Collector
    from maze._events import Event
    from maze._results import RunRecord
    from maze._subscription import Subscription, Transport

__all__ = ["MaWorkflow"]


class MaWorkflow(WorkflowBase[MaTask]):
    """A workflow: tasks, their dependencies, and their runs; made by `MaClient.create_workflow`.

    Attributes:
        workflow_id: the unique id of the workflow.
        server_url: the head that has it.
    """

    _task_class = MaTask

    def get_tasks(self) -> list[dict[str, str]]:
        """Return all tasks of the workflow as `{"id", "name"}`, in the order in which they were added.

        Raises:
            MazeError: the head cannot be reached, or refuses an edit that had not been sent yet.
        """
        from maze import _remote
        from maze._loop import call

        self._flush()
        return call(_remote.tasks(self._state))

    def run(
        self, *, fail_fast: bool = False, priority: int = 0, project: str = "", wait_for_capacity: bool = True
    ) -> str:
        """Submit the workflow for execution, as it is now.

        Warns of tasks that no node of the cluster, as it is now, could ever take (`InfeasibleWarning`).

        Args:
            fail_fast: stop everything at the first failed task; otherwise independent branches go on.
            priority: -100 to 100; runs with a higher one go first, though those that have waited long catch up.
            project: on whose account the run goes; projects share the cluster by their weights (`maze limits`).
            wait_for_capacity: False makes tasks that no node could ever take fail at once; otherwise they wait for one.

        Returns:
            The id of the run. A workflow can be run any number of times.

        Raises:
            InputError: priority or project is out of range.
            EmptyWorkflowError: it has no tasks.
            GraphError: a task has no code yet.
            MazeError: the head cannot be reached, or refuses.
        """
        from maze import _remote
        from maze._loop import call

        wanted = run_options(
            fail_fast=fail_fast, priority=priority, project=project, wait_for_capacity=wait_for_capacity
        )
        self._flush()
        self._check_saved()
        request = _remote.run_request(self._state, wanted)
        run = _remote.submit_at_once(self._state, request) or call(_remote.submit(self._state, request))
        warn_infeasible(run, wanted)
        return run.run_id

    def cancel(self, run_id: str, wait: bool = False) -> dict[str, Any]:
        """Ask the head to stop a run, and return its summary.

        Nothing of it starts any more; what runs is ended. Its status is `cancelling` until that is done.

        Args:
            run_id: returned by `run`.
            wait: return when nothing of the run is running any more: its status is `cancelled` then.

        Raises:
            UnknownRunError: a `ValueError`: no such run of this workflow.
            HeadUnavailableError: the head went away and did not come back.
        """
        from maze import _remote, _runs
        from maze._loop import call

        call(_remote.own_run(self._state, run_id))
        return call(_runs.cancel_run(self.server_url, run_id, wait=wait))

    def retry(self, run_id: str, from_failed: bool = False) -> str:
        """Run the graph of an earlier run again, as it was then.

        Args:
            run_id: a run of this workflow that is over.
            from_failed: reuse its results; only what has none is run.

        Returns:
            The id of the new run.

        Raises:
            UnknownRunError: a `ValueError`: no such run of this workflow.
            RequestError: the run is not over, or nothing of it is left to run.
        """
        from maze import _remote, _runs
        from maze._loop import call

        call(_remote.own_run(self._state, run_id))
        return call(_runs.retry_own_run(self._state, run_id, from_failed=from_failed))

    def get_results(self, run_id: str, verbose: bool = True) -> list[dict[str, Any]]:
        """Wait until a run is over and return all its messages.

        Args:
            run_id: returned by `run`.
            verbose: print each message as it comes.

        Returns:
            Messages `{"type", "data"}`: start_task, finish_task, task_exception, finish_workflow. A list of your own,
            cached here for the next time.

        Raises:
            UnknownRunError: a `ValueError`: no such run of this workflow.
            HeadUnavailableError: the head went away and did not come back.
        """
        messages = Messages(verbose=verbose)
        self._follow(run_id, messages)
        return messages.copies

    def show_results(self, run_id: str, output_dir: str = "workflow_results") -> dict[str, Any]:
        """Print what happens in a run until it is over, for people.

        Args:
            run_id: returned by `run`.
            output_dir: where result files go; created only if there are any.

        Returns:
            `{"task_results", "workflow_completed", "has_exception", "exception_tasks"}`.

        Raises:
            UnknownRunError: a `ValueError`: no such run of this workflow.
            HeadUnavailableError: the head went away and did not come back.
            OSError: a result file cannot be written.
        """
        from maze._downloads import files_of, save_files

        with RunReport(run_id) as report:
            record = self._follow(run_id, report.step, report)
            report.finished(record)
            for path in save_files(files_of(record), output_dir, bars=report.on_terminal):
                report.saved(path)
        return record.summary()

    def stream(self, run_id: str, *, after: int = 0, transport: Transport = "websocket") -> Subscription:
        """Return the events of a run of this workflow as they happen; see `MaClient.subscribe`.

        Raises:
            UnknownRunError: a `ValueError`: no such run of this workflow.
        """
        from maze import _remote
        from maze._loop import call
        from maze._subscription import Subscription

        call(_remote.own_run(self._state, run_id))
        return Subscription(self.server_url, run_id, after, transport)

    def _follow(self, run_id: str, show: Show, report: RunReport | None = None) -> RunRecord:
        """Show the messages of a run, from the cache or as they come; when all have come, cache them."""
        from maze._collector import TOLD, Collector
        from maze._loop import ask, call
        from maze._stream import EventStream

        record = self._state.results.get(run_id)
        if record is None and run_id not in self._state.own_runs:
            from maze import _remote

            call(_remote.own_run(self._state, run_id))
        if report is not None:
            report.connected()
        if record is not None:
            return replay(record, show)
        # Every hand-over from the loop thread costs more than what a small run says: as few of them as can be.
        collector = Collector(run_id)
        stream = EventStream(self.server_url, run_id, patient=True, wanted=TOLD)
        watch = Watch(time.monotonic())
        try:
            if report is None:
                whole: list[Event] | None = ask(stream.at_one_blow, stream.give_up)
                collector.show(whole or (), show)
            while not stream.over:
                events = call(stream.next(watch.patience(time.monotonic()) if report else None))
                collector.show(events or (), show)
                if report is not None:
                    watch.note(time.monotonic(), heard=bool(events), unstarted=collector.unstarted)
                    self._look(report, collector, watch)
        finally:
            if not stream.over:
                call(stream.close())
        return self._keep(collector.record)

    def _look(self, report: RunReport, collector: Collector, watch: Watch) -> None:
        """Between two batches of events: draw progress, and look what tasks wait for if it is time to."""
        from maze import _remote
        from maze._loop import call

        run_id = collector.record.run_id
        for look in watch.due(time.monotonic()):
            if look is Look.NODES:
                report.waiting(call(_remote.missing_node(self.server_url, run_id)))
            else:
                report.stuck(watch.news(call(_remote.waiting_tasks(self.server_url, run_id))))
        report.progress(collector)

    def _flush(self) -> None:
        self._ready()
        if self._state.draft.dirty:
            from maze import _remote
            from maze._loop import call

            _remote.pickle_functions(self._state)
            call(_remote.flush(self._state))

    def _ready(self) -> None:
        if not self._state.draft.loaded:
            from maze import _remote
            from maze._loop import call

            call(_remote.load(self._state))
