"""A workflow: its graph, its runs, its results. `WorkflowBase` has all that needs no waiting, `MaWorkflow` the rest.

Edits are recorded in the shared draft and sent in bulk by whatever needs the head to have them: `get_tasks`, `run`,
the client's `close`, and the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from maze import _render
from maze._address import resolve
from maze._binding import check_display_name, function_vertex, legacy_vertex
from maze._graph import AddEdge, AddTask, DelEdge, Vertex
from maze._handles import MaTask, TaskHandle
from maze._report import RunReport, print_line, print_message
from maze._shared import state_of
from maze.errors import ForeignTaskError, GraphError, InputTypeError, InvalidTaskError, UnknownRunError
from maze_protocol.ids import short_id

if TYPE_CHECKING:
    from maze._results import Collector, Entry, RunRecord

__all__ = ["WAIT_NOTICE", "MaWorkflow", "Show", "WorkflowBase", "print_raw", "replay", "say_nothing"]

Task = TypeVar("Task", bound=TaskHandle)
WAIT_NOTICE: Final = 2.0
"""After so many seconds without news `show_results` looks whether there is any node."""
Show = Callable[["Entry"], None]
"""What is done with each message of a run: printing it raw, for people, or not at all."""
_LEGACY: Final = ("code_str", "task_input", "task_output", "resources")


class WorkflowBase(Generic[Task]):
    """The graph of a workflow, and what is cached of its runs."""

    _task_class: type[Task]

    def __init__(self, workflow_id: str, server_url: str) -> None:
        self.workflow_id = workflow_id
        self.server_url = resolve(server_url)
        self._state = state_of(self.server_url, workflow_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id='{self.workflow_id[:17]}...', tasks={len(self._state.draft.graph.tasks)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WorkflowBase):
            return NotImplemented
        return (self.workflow_id, self.server_url) == (other.workflow_id, other.server_url)

    def __hash__(self) -> int:
        return hash((self.workflow_id, self.server_url))

    def add_task(
        self,
        task_func: Callable[..., Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        task_type: str = "code",
        task_name: str | None = None,
        **kwargs: Any,
    ) -> Task:
        """Add a task to the workflow.

        Args:
            task_func: a function decorated with `@task`. Without one, the task is defined later by `task.save(...)`,
                or at once by `code_str`, `task_input`, `task_output` and `resources`.
            inputs: a literal or an output of another task for each declared input; outputs may also stand at any
                depth inside lists and dictionaries, and make an edge each.
            task_type: `"code"`, the only type there is.
            task_name: shown name; the function's name by default.
            kwargs: `resources` replaces amounts of the decorator; the others of the original's flow need `code_str`.

        Returns:
            The new task.

        Raises:
            InputError: inputs are unknown, missing, or cannot be sent.
            InputTypeError: a literal contradicts its declared type.
            InvalidTaskError: the function is not decorated, or task_type is unknown.
            GraphError: a reference into another workflow, or to a deleted task.
        """
        from maze._remote import new_task_id

        _check_arguments(task_func, inputs, task_type, kwargs)
        self._ready()
        task_id = new_task_id()
        if task_func is not None:
            vertex = function_vertex(
                task_id,
                self.workflow_id,
                task_func,
                inputs,
                self._state.draft.code_of,
                task_name,
                kwargs.get("resources"),
            )
        else:
            name = check_display_name(task_name if task_name is not None else short_id(task_id))
            vertex = self._legacy(task_id, name, kwargs)
        self._state.record(AddTask(vertex))
        return self._task_class._of(self._state, vertex)

    def add_edge(self, source_task: Task, target_task: Task) -> None:
        """Make a task wait for another one whose outputs it does not use. Twice is fine.

        Raises:
            CycleError: the edge would close a cycle; the message names its tasks.
            ForeignTaskError: a task of another workflow.
        """
        self._ready()
        self._state.record(AddEdge(self._own(source_task), self._own(target_task)))

    def del_edge(self, source_task: Task, target_task: Task) -> None:
        """Delete an edge that was added by hand.

        Raises:
            GraphError: there is no such edge, or an input carries it (the message names the input).
        """
        self._ready()
        self._state.record(DelEdge(self._own(source_task), self._own(target_task)))

    def print_graph(self) -> None:
        """Print the structure of the workflow."""
        for line in _render.graph_lines(self._graph()):
            print_line(line)

    def draw_graph(
        self,
        output_path: str = "workflow.png",
        method: str = "auto",
        figsize: tuple[float, float] = (12, 8),
        dpi: int = 300,
    ) -> str:
        """Write the structure of the workflow as an image.

        Args:
            output_path: where; the extension (png, pdf, svg, jpg) tells the format.
            method: `"graphviz"`, `"matplotlib"`, or `"auto"`: graphviz if its program `dot` is there.
            figsize: width and height in inches, for matplotlib.
            dpi: resolution in dots per inch.

        Returns:
            The path of the image.

        Raises:
            MissingDependencyError: an `ImportError`: what the method needs is not installed.
            GraphError: a `ValueError`: an unknown extension or method, or an empty workflow.
        """
        return _render.draw(self._graph(), output_path, method, figsize, dpi)

    def get_graph_mermaid(self) -> str:
        """Return the structure of the workflow as a Mermaid diagram."""
        return _render.mermaid(self._graph())

    def get_graph_info(self) -> dict[str, Any]:
        """Return nodes, edges and statistics of the workflow."""
        return _render.graph_info(self._graph())

    def get_task_result(self, run_id: str, task_id: str) -> dict[str, Any] | None:
        """Return how a task ended in a run whose results are cached.

        Args:
            run_id: the run.
            task_id: the task; its first 8 hex digits or more are enough, with or without `task_`.

        Returns:
            `{"task_id", "result", "status": "success"}`, or `{"task_id", "result": None, "status": "exception",
            "error"}`, or None if the task did not end in that run (it was skipped, or never existed).

        Raises:
            UnknownRunError: a `ValueError`: call `get_results` or `show_results` first.
            UnknownTaskError: a `ValueError`: the shortened id fits several tasks.
        """
        record = self._state.results.get(run_id)
        if record is None:
            raise UnknownRunError(
                f"No cached results for run_id: {run_id}. Please call get_results() or show_results() first.",
                code="run_not_cached",
            )
        return record.task_result(task_id)

    def list_cached_runs(self) -> list[str]:
        """Return the runs whose results are cached, in the order in which they were read."""
        return list(self._state.results)

    def clear_cache(self, run_id: str | None = None) -> None:
        """Forget the cached results of a run, or of all runs; they can be fetched again."""
        if run_id is None:
            self._state.results.clear()
        else:
            self._state.results.pop(run_id, None)

    def _ready(self) -> None:
        """See to it that the graph is here."""
        raise NotImplementedError

    def _graph(self) -> Any:
        self._ready()
        return self._state.draft.graph

    def _legacy(self, task_id: str, name: str, kwargs: Mapping[str, Any]) -> Vertex:
        if kwargs.get("code_str") is None:
            return Vertex(task_id, name)
        return legacy_vertex(task_id, name, self.workflow_id, tuple(kwargs.get(key) for key in _LEGACY))  # type: ignore[arg-type]  # four by construction

    def _own(self, task: object) -> str:
        if not isinstance(task, TaskHandle):
            raise InputTypeError(f"an edge joins tasks, not {type(task).__name__}; pass what add_task returned")
        if task.workflow_id != self.workflow_id:
            raise ForeignTaskError(
                f"{task!r} belongs to workflow {task.workflow_id}, not to this one", code="foreign_task"
            )
        return task.task_id

    def _check_saved(self) -> None:
        """Refuse to run tasks of the legacy flow that have no code."""
        unsaved = self._state.draft.graph.unsaved()
        if unsaved:
            names = ", ".join(f"'{task.name}' ({short_id(task.task_id)})" for task in unsaved[:5])
            raise GraphError(f"task {names} has no code yet; call its save(...) first", code="unsaved_task")

    def _keep(self, record: RunRecord) -> RunRecord:
        return self._state.results.setdefault(record.run_id, record)


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
        from maze._http import call

        self._flush()
        return call(_remote.tasks(self._state))

    def run(self, *, fail_fast: bool = False, priority: int = 0) -> str:
        """Submit the workflow for execution, as it is now.

        Args:
            fail_fast: stop everything at the first failed task; otherwise independent branches go on.
            priority: runs with a higher one go first.

        Returns:
            The id of the run. A workflow can be run any number of times.

        Raises:
            EmptyWorkflowError: it has no tasks.
            GraphError: a task has no code yet.
            MazeError: the head cannot be reached, or refuses.
        """
        from maze import _remote
        from maze._http import call

        self._flush()
        self._check_saved()
        return call(_remote.submit(self._state, fail_fast=fail_fast, priority=priority))

    def cancel(self, run_id: str) -> dict[str, Any]:
        """Ask the head to stop a run.

        Raises:
            UnknownRunError: a `ValueError`: no such run of this workflow.
        """
        from maze import _remote
        from maze._http import call

        call(_remote.own_run(self._state, run_id))
        return call(_remote.cancel_run(self.server_url, run_id))

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
        return self._follow(run_id, print_raw if verbose else say_nothing).messages()

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
        """
        with RunReport(run_id) as report:
            record = self._follow(run_id, report.entry, report)
            report.finished(record)
        return record.summary()

    def _follow(self, run_id: str, show: Show, report: RunReport | None = None) -> RunRecord:
        """Show the messages of a run, from the cache or as they come; when all have come, cache them."""
        from maze import _remote
        from maze._http import call
        from maze._results import Collector, EventStream

        record = self._state.results.get(run_id)
        if record is None:
            call(_remote.own_run(self._state, run_id))
        if report is not None:
            report.connected()
        if record is not None:
            return replay(record, show)
        collector, stream = Collector(run_id), EventStream(self.server_url, run_id)
        patience = WAIT_NOTICE
        try:
            while (events := call(stream.next(patience if report else None))) is not None:
                collector.show(events, show)
                if report is not None:
                    patience = WAIT_NOTICE if events else min(30.0, patience * 2)
                    self._on_pause(report, collector, quiet=not events)
        finally:
            call(stream.close())
        return self._keep(collector.record)

    def _on_pause(self, report: RunReport, collector: Collector, *, quiet: bool) -> None:
        """Between two batches of events: draw progress, and look for nodes if nothing happens."""
        from maze import _remote
        from maze._http import call

        if quiet:
            command = call(_remote.missing_node(self.server_url, collector.record.run_id))
            if command:
                report.waiting(command)
        report.progress(collector)

    def _flush(self) -> None:
        from maze import _remote
        from maze._http import call

        self._ready()
        _remote.pickle_functions(self._state)
        call(_remote.flush(self._state))

    def _ready(self) -> None:
        if not self._state.draft.loaded:
            from maze import _remote
            from maze._http import call

            call(_remote.load(self._state))


def replay(record: RunRecord, show: Show) -> RunRecord:
    """Show the messages of a run that was read before."""
    for entry in record.entries:
        show(entry)
    return record


def print_raw(entry: Entry) -> None:
    """Print a message as it is."""
    print_message(entry.message)


def say_nothing(entry: Entry) -> None:
    """Let a message pass."""


def _check_arguments(task_func: object, inputs: object, task_type: str, kwargs: Mapping[str, Any]) -> None:
    if task_type != "code":
        raise InvalidTaskError(f"Invalid task_type {task_type!r}: the only type is 'code'", code="unknown_task_type")
    for name in kwargs:
        if name not in _LEGACY:
            raise InputTypeError(
                f"add_task() got an unexpected keyword argument {name!r}; it also takes {', '.join(_LEGACY)}"
            )
    if task_func is not None and any(kwargs.get(name) is not None for name in _LEGACY[:3]):
        raise InvalidTaskError("add_task() takes a decorated function or code_str with its description, not both")
    if task_func is None and inputs is not None:
        raise InvalidTaskError("inputs need a decorated function; with code_str they go into task_input")
