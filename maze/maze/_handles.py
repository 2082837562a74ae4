"""What users hold in their hands: a task, its outputs, a reference to one of them.

Handles are names, not copies: what a task is called and what it returns is looked up in the shared draft, so two
handles of one task agree, whoever made them. A handle that was built directly (`MaTask(task_id, …)`) makes the
blocking client fetch its workflow on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Self

from maze._address import resolve
from maze._graph import DelTask, SaveTask, Vertex
from maze._shared import WorkflowState, state_of
from maze.errors import UnknownOutputError, UnknownTaskError
from maze_protocol.graph import format_reference
from maze_protocol.ids import short_id

__all__ = ["MaTask", "Reference", "TaskHandle", "TaskOutput", "TaskOutputs"]


class Reference:
    """What a `RemoteValue` is, for modules that need not load it."""

    __slots__ = ()

    size: int
    _codec: int


class TaskOutput:
    """A reference to one output of a task, made by `task.outputs["key"]`.

    It may stand for a whole input or at any depth inside one.

    Args:
        task_id: the task that produces the output.
        output_key: name of the output.
    """

    __slots__ = ("_workflow_id", "output_key", "task_id")

    def __init__(self, task_id: str, output_key: str, *, _workflow_id: str | None = None) -> None:
        self.task_id = task_id
        self.output_key = output_key
        # None for a reference that was built by hand: the graph, or the head, will say whether it is known.
        self._workflow_id = _workflow_id

    def to_reference_string(self) -> str:
        """Return the server's form of the reference: `{task_id}.output.{output_key}`."""
        return format_reference(self.task_id, self.output_key)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskOutput):
            return NotImplemented
        return (self.task_id, self.output_key) == (other.task_id, other.output_key)

    def __hash__(self) -> int:
        return hash((self.task_id, self.output_key))

    def __repr__(self) -> str:
        return f"TaskOutput({short_id(self.task_id)}...:{self.output_key})"


class TaskOutputs:
    """The outputs of a task, by name.

    Args:
        task_id: the task that produces them.
        output_keys: their names.
    """

    def __init__(self, task_id: str, output_keys: Sequence[str], *, _workflow_id: str | None = None) -> None:
        self.task_id = task_id
        self._keys = list(output_keys)
        self._workflow_id = _workflow_id

    def __getitem__(self, key: str) -> TaskOutput:
        """Return a reference to an output.

        Raises:
            UnknownOutputError: a `KeyError`; the message lists the outputs that exist.
        """
        if key not in self._keys:
            raise UnknownOutputError(
                f"Task does not have output parameter named {key!r}; it has: {', '.join(self._keys) or 'none'}",
                code="unknown_output",
                hint=_suggest(key, self._keys),
                task_id=self.task_id,
            )
        return TaskOutput(self.task_id, key, _workflow_id=self._workflow_id)

    def keys(self) -> list[str]:
        """Return the names of all outputs."""
        return list(self._keys)

    def values(self) -> list[TaskOutput]:
        """Return references to all outputs."""
        return [self[key] for key in self._keys]

    def items(self) -> list[tuple[str, TaskOutput]]:
        """Return names and references of all outputs."""
        return [(key, self[key]) for key in self._keys]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys))

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __repr__(self) -> str:
        return f"TaskOutputs({short_id(self.task_id)}...: {', '.join(self._keys)})"

    def _become(self, keys: Sequence[str]) -> Self:
        """Take over the names that the task has now; who holds this object sees them."""
        self._keys[:] = keys
        return self


class TaskHandle:
    """What the blocking and the async task have in common: all of it but the waiting."""

    def __init__(
        self,
        task_id: str,
        workflow_id: str,
        server_url: str,
        task_name: str | None = None,
        output_keys: Sequence[str] | None = None,
    ) -> None:
        self._bind(state_of(resolve(server_url), workflow_id), task_id, task_name, output_keys)

    @classmethod
    def _of(cls, state: WorkflowState, vertex: Vertex) -> Self:
        """Return the handle of a task of a known workflow; half of what `add_task` would cost goes into URLs."""
        made = cls.__new__(cls)
        made._bind(state, vertex.task_id, vertex.name, vertex.definition.outputs)
        return made

    def _bind(self, state: WorkflowState, task_id: str, name: str | None, output_keys: Sequence[str] | None) -> None:
        self.task_id = task_id
        self.workflow_id = state.workflow_id
        self.server_url = state.url
        self._name = name
        self._declared = output_keys
        self._outputs: TaskOutputs | None = None
        """Made when it is asked for: most tasks are nobody's source."""
        self._state = state

    @property
    def task_name(self) -> str:
        """Return the name of the task."""
        vertex = self._known()
        if vertex is not None:
            return vertex.name
        return self._name if self._name is not None else self._fetched().name

    @property
    def outputs(self) -> TaskOutputs:
        """Return the outputs that other tasks can reference; empty until a task of the legacy flow is saved."""
        vertex = self._known()
        if vertex is None and self._declared is None:
            vertex = self._fetched()
        keys = self._declared or () if vertex is None else vertex.definition.outputs
        if self._outputs is None:
            self._outputs = TaskOutputs(self.task_id, keys, _workflow_id=self.workflow_id)
            return self._outputs
        return self._outputs if vertex is None else self._outputs._become(keys)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskHandle):
            return NotImplemented
        return (self.task_id, self.workflow_id) == (other.task_id, other.workflow_id)

    def __hash__(self) -> int:
        return hash((self.task_id, self.workflow_id))

    def __repr__(self) -> str:
        vertex = self._known()
        name = vertex.name if vertex is not None else self._name
        return f"{type(self).__name__}({short_id(self.task_id)}..., name={name!r})"

    def _known(self) -> Vertex | None:
        return self._state.draft.graph.tasks.get(self.task_id)

    def _fetched(self) -> Vertex:
        self._ready()
        vertex = self._known()
        if vertex is None:
            raise UnknownTaskError(
                f"workflow {self.workflow_id} has no task {self.task_id}", code="task_not_found", task_id=self.task_id
            )
        return vertex

    def _ready(self) -> None:
        """See to it that the workflow's graph is here."""
        raise NotImplementedError

    def _delete(self) -> None:
        self._ready()
        self._state.record(DelTask(self.task_id))

    def _save(self, code_str: str, task_input: Any, task_output: Any, resources: Any) -> None:
        from maze._binding import legacy_vertex  # which knows handles

        self._ready()
        known = self._known()
        name = known.name if known is not None else (self._name or short_id(self.task_id))
        vertex = legacy_vertex(self.task_id, name, self.workflow_id, (code_str, task_input, task_output, resources))
        if known is not None:
            said = known.definition
            definition = vertex.definition._replace(
                policy=said.policy, terms=said.terms, keep=said.keep, sandbox=said.sandbox
            )
            vertex = replace(vertex, definition=definition, same_node_as=known.same_node_as)
        self._state.record(SaveTask(vertex))
        if self._outputs is not None:
            self._outputs._become(vertex.definition.outputs)


class MaTask(TaskHandle):
    """A task in a workflow; made by `MaWorkflow.add_task`.

    Attributes:
        task_id: the unique id of the task.
        workflow_id: the workflow that it belongs to.
        task_name: its name.
        outputs: its outputs, for the inputs of other tasks.
    """

    def save(
        self,
        code_str: str,
        task_input: dict[str, Any] | None = None,
        task_output: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
    ) -> None:
        """Define a task that was added without a function (the original's flow).

        Args:
            code_str: Python source with one function of one dictionary.
            task_input: `{"input_params": {"1": {"key", "input_schema", "data_type", "value"}, ...}}`.
            task_output: `{"output_params": {"1": {"key", "data_type"}, ...}}`.
            resources: amounts as in `@task`.

        Raises:
            InvalidTaskError: the source has no function, or does not compile.
            InputError: inputs or outputs have another shape.
            GraphError: a reference would close a cycle, or an output in use would go.
        """
        self._save(code_str, task_input, task_output, resources)

    def delete(self) -> None:
        """Delete the task from the workflow; its manual edges vanish with it.

        Raises:
            GraphError: other tasks use its outputs; the message names them.
            UnknownTaskError: it was deleted before.
        """
        self._delete()

    def _ready(self) -> None:
        if not self._state.draft.loaded:
            from maze._loop import call
            from maze._remote import load

            call(load(self._state))


def _suggest(key: object, keys: Sequence[str]) -> str:
    near = get_close_matches(str(key), keys, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
