"""What the blocking and the async workflow have in common: all that needs no waiting.

Edits are recorded in the shared draft; subclasses say how the draft is fetched and sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from maze import _render
from maze._address import resolve
from maze._binding import TASK_OPTIONS, check_display_name, function_vertex, legacy_vertex, with_options
from maze._burst import Burst
from maze._graph import AddEdge, AddTask, DelEdge, Vertex
from maze._handles import TaskHandle
from maze._ids import new_task_id
from maze._report import print_line, print_message
from maze._results import Entry, copy_of
from maze._shared import state_of
from maze.errors import ForeignTaskError, GraphError, InputTypeError, InvalidTaskError, UnknownRunError
from maze_protocol.ids import short_id

if TYPE_CHECKING:
    from maze._results import RunRecord, Step

__all__ = ["Messages", "Show", "WorkflowBase", "replay"]

Task = TypeVar("Task", bound=TaskHandle)
Show = Callable[["Step"], None]
"""What is done with each step of a run: printing it for people, or keeping it."""
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
            kwargs: `resources` replaces amounts of the decorator, and `retries`, `retry_backoff`, `retry_on`,
                `timeout`, `idle_timeout`, `at_most_once`, `require`, `prefer`, `limits`, `apart`, `nodes`, `keep`,
                `sandbox` replace what it says; `same_node_as`, a task of this workflow, makes the new one wait for it
                and run on its node; the others of the original's flow need `code_str`.

        Returns:
            The new task.

        Raises:
            InputError: inputs are unknown, missing, or cannot be sent.
            InputTypeError: a literal contradicts its declared type.
            InvalidTaskError: the function is not decorated, or task_type is unknown.
            DeclarationError: resources or options are out of range.
            GraphError: a reference into another workflow, or to a deleted task.
        """
        _check_arguments(task_func, inputs, task_type, kwargs)
        self._ready()
        task_id = new_task_id()
        if task_func is not None:
            vertex = function_vertex(
                task_id,
                self.workflow_id,
                task_func,
                inputs,
                self._state.draft,
                task_name,
                kwargs.get("resources"),
            )
        else:
            name = check_display_name(task_name if task_name is not None else short_id(task_id))
            vertex = self._legacy(task_id, name, kwargs)
        if kwargs:
            vertex = with_options(vertex, kwargs, self.workflow_id)
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


def replay(record: RunRecord, show: Show) -> RunRecord:
    """Show the messages of a run that was read before."""
    with Burst():
        for step in record.story:
            show(step)
    return record


class Messages:
    """Shows steps and keeps a copy of each message: what a caller gets of his own is made while others work."""

    def __init__(self, *, verbose: bool) -> None:
        self.copies: list[dict[str, Any]] = []
        self._verbose = verbose

    def __call__(self, step: Step) -> None:
        """Take a step."""
        if isinstance(step, Entry):
            if self._verbose:
                print_message(step.message)
            self.copies.append(copy_of(step.message))


def _check_arguments(task_func: object, inputs: object, task_type: str, kwargs: Mapping[str, Any]) -> None:
    if task_type != "code":
        raise InvalidTaskError(f"Invalid task_type {task_type!r}: the only type is 'code'", code="unknown_task_type")
    if kwargs:
        _check_options(task_func, kwargs)
    if task_func is None and inputs is not None:
        raise InvalidTaskError("inputs need a decorated function; with code_str they go into task_input")


def _check_options(task_func: object, kwargs: Mapping[str, Any]) -> None:
    for name in kwargs:
        if name not in _LEGACY and name not in TASK_OPTIONS:
            known = ", ".join((*_LEGACY, *TASK_OPTIONS))
            raise InputTypeError(f"add_task() got an unexpected keyword argument {name!r}; it also takes {known}")
    if task_func is not None and any(kwargs.get(name) is not None for name in _LEGACY[:3]):
        raise InvalidTaskError("add_task() takes a decorated function or code_str with its description, not both")
