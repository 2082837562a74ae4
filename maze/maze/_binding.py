"""From a function and its inputs to a vertex of the graph: what `add_task` and `save` check and encode.

Literals are encoded here, at once: what a list held when the task was added is what the task gets, and a value that
cannot travel is told with its input's name on the line that passed it. Functions are only noted; they are pickled at
the first flush.
"""

from __future__ import annotations

import ast
import hashlib
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from maze._decorator import TaskMetadata, check_flag, check_names, check_resources, get_task_metadata
from maze._draft import Draft
from maze._graph import Code, Definition, Input, InputSpec, Literal, Vertex
from maze._handles import Reference, TaskHandle, TaskOutput, TaskOutputs
from maze._literals import Literals
from maze._policy import OPTIONS, declare_policy
from maze._terms import TERM_OPTIONS, declare_same_node, declare_terms
from maze.errors import DeclarationTypeError, ForeignTaskError, InputError, InputTypeError, InvalidTaskError
from maze_protocol.declare import check_name
from maze_protocol.graph import parse_reference
from maze_protocol.limits import INLINE_CLIENT, MAX_TASK_VALUES

if TYPE_CHECKING:
    from maze._values.errors import ValueEncodeError

__all__ = ["TASK_OPTIONS", "check_display_name", "digest_of", "function_vertex", "legacy_vertex", "with_options"]

UPLOADED_FROM: Final = INLINE_CLIENT
"""Larger literals are brought to the head by themselves; the others travel with their task."""
TASK_OPTIONS: Final = (*OPTIONS, *TERM_OPTIONS, "keep", "sandbox", "same_node_as")
"""Options of `add_task`; all but the last are those of `@task`."""
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "list": (list,), "dict": (dict,),
}  # fmt: skip


def function_vertex(
    task_id: str,
    workflow_id: str,
    function: Callable[..., Any],
    inputs: Mapping[str, Any] | None,
    draft: Draft,
    name: str | None = None,
    resources: Mapping[str, Any] | None = None,
) -> Vertex:
    """Build the vertex of a decorated function.

    Args:
        task_id: the id of the new task.
        workflow_id: the workflow that it will belong to.
        function: decorated with `@task`.
        inputs: a literal or reference for each declared input.
        draft: of the workflow; it has each function, and each large literal, once.
        name: shown name; the function's own by default.
        resources: amounts that replace those of the decorator, one by one.

    Raises:
        InvalidTaskError: the function is not decorated, or the name cannot be shown.
        InputError: unknown or missing inputs, or a value that cannot be sent.
        InputTypeError: a literal contradicts its declared type.
        ForeignTaskError: a reference into another workflow.
    """
    metadata = get_task_metadata(function)
    given = _check_inputs(metadata, inputs)
    types = metadata.declared_types
    specs = {key: _spec(key, given[key], types.get(key), workflow_id, draft.literals) for key in metadata.inputs}
    _lighten(specs)
    known = draft.definitions.get(id(metadata))
    definition = known[1] if known is not None else _define(function, metadata, draft)
    if resources is not None:
        amounts = check_resources({**metadata.declared_resources, **resources})[0]
        definition = definition._replace(resources=amounts)
    return Vertex(task_id, metadata.func_name if name is None else check_display_name(name), definition, specs)


def _define(function: Callable[..., Any], metadata: TaskMetadata, draft: Draft) -> Definition:
    definition = Definition(
        metadata.func_name,
        draft.code_of(function),
        metadata.outputs,
        metadata.declared_types,
        metadata.declared_resources,
        metadata.policy,
        metadata.terms,
        keep=metadata.keep,
        sandbox=metadata.sandbox,
    )
    draft.definitions[id(metadata)] = metadata, definition
    return definition


def with_options(vertex: Vertex, given: Mapping[str, Any], workflow_id: str) -> Vertex:
    """Return a vertex that has what was given to `add_task` in place of what the decorator said.

    Raises:
        DeclarationTypeError: an option has the wrong type.
        DeclarationError: an option is out of range, or two exclude each other.
        ForeignTaskError: `same_node_as` is a task of another workflow.
    """
    if given.keys().isdisjoint(TASK_OPTIONS):
        return vertex
    said = vertex.definition
    policy, terms = declare_policy(given, said.policy), declare_terms(given, said.terms)
    wanted = _same_node(given.get("same_node_as"), workflow_id)
    if wanted:
        declare_same_node(terms)
    keep = check_flag("keep", given.get("keep", said.keep))
    sandbox = check_flag("sandbox", given.get("sandbox", said.sandbox))
    definition = said._replace(policy=policy, terms=terms, keep=keep, sandbox=sandbox)
    return replace(vertex, definition=definition, same_node_as=wanted)


def _same_node(task: object, workflow_id: str) -> str:
    """Return the id of the task that says on which node another one runs."""
    if task is None:
        return ""
    if not isinstance(task, TaskHandle):
        raise DeclarationTypeError(f"same_node_as must be a task, what add_task returned, not {type(task).__name__}")
    if task.workflow_id != workflow_id:
        message = f"{task!r} belongs to workflow {task.workflow_id}; same_node_as takes a task of the same workflow"
        raise ForeignTaskError(message, code="foreign_task")
    return task.task_id


def legacy_vertex(task_id: str, name: str, workflow_id: str, definition: tuple[Any, Any, Any, Any]) -> Vertex:
    """Build the vertex of source text, as the original's client describes it.

    Args:
        task_id: the id of the task.
        name: its shown name.
        workflow_id: the workflow that it belongs to.
        definition: code_str, task_input, task_output and resources of `MaTask.save`.

    Raises:
        InvalidTaskError: the source has no function, or does not compile.
        InputError: inputs or outputs have another shape.
    """
    code_str, task_input, task_output, resources = definition
    source, func_name = _check_source(code_str)
    body = source.encode()
    inputs: dict[str, Input] = {}
    for item in _params(task_input, "task_input", "input_params"):
        inputs[item["key"]] = _legacy_input(item, workflow_id)
    _lighten(inputs)
    outputs = check_names([item["key"] for item in _params(task_output, "task_output", "output_params")], "outputs")
    shown, code = check_display_name(name), Code("source", None, func_name, body, digest_of(body))
    said = Definition(func_name, code, outputs, resources=check_resources(resources)[0])
    return Vertex(task_id, shown, said, inputs)


def check_display_name(name: str) -> str:
    """Return a task name that can be shown.

    Raises:
        InvalidTaskError: no string, empty, too long, or with control characters.
    """
    if not isinstance(name, str):
        raise InvalidTaskError(f"task_name must be a string, not {type(name).__name__}")
    try:
        return check_name(name, "task_name")
    except ValueError as error:
        raise InvalidTaskError(str(error)) from None


def digest_of(body: bytes) -> str:
    """Return the content hash under which the head keeps a function."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def _check_inputs(metadata: TaskMetadata, inputs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    given = {} if inputs is None else inputs
    if type(given) is dict and given.keys() == metadata.input_names:
        return given
    if not isinstance(given, Mapping):
        raise InputTypeError(f"inputs of task {metadata.func_name!r} must be a dict, not {type(inputs).__name__}")
    missing = [name for name in metadata.inputs if name not in given]
    for name in given:
        if name not in metadata.inputs:
            near = get_close_matches(str(name), missing or metadata.inputs, n=1)
            declared = ", ".join(metadata.inputs) or "none"
            raise InputError(
                f"task {metadata.func_name!r} has no input {name!r}; it declares: {declared}",
                code="unknown_input",
                hint=f"did you mean {near[0]!r}?" if near else "",
            )
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise InputError(f"task {metadata.func_name!r} lacks a value for input {names}", code="missing_input")
    return given


def _lighten(specs: dict[str, Input]) -> None:
    """Have some inputs sent by themselves if all together are more than one task takes."""
    if len(specs) * UPLOADED_FROM <= MAX_TASK_VALUES:
        return
    from maze_protocol.values import MSGPACK

    sizes = {key: len(spec if isinstance(spec, bytes) else spec.data or b"") for key, spec in specs.items()}
    while sum(sizes.values()) > MAX_TASK_VALUES:
        key = max(sizes, key=sizes.__getitem__)
        largest = specs[key]
        if isinstance(largest, bytes):
            largest = InputSpec((), MSGPACK, largest)
        specs[key] = InputSpec(largest.refs, largest.codec, None, Literal(sizes[key], largest.data or b""))
        sizes[key] = 0


def _spec(name: str, value: object, declared: str | None, workflow_id: str, literals: Literals | None = None) -> Input:
    if isinstance(value, TaskOutput):
        return InputSpec((_reference(value, workflow_id),))
    if isinstance(value, Reference):
        return InputSpec((), value._codec, None, Literal(value.size, source=value))
    if declared is not None:
        _check_type(name, value, declared)
    return _encode(name, value, workflow_id, literals)


def _encode(name: str, value: object, workflow_id: str, literals: Literals | None) -> Input:
    encode_short, encode_pieces, failed = _encoder()
    short = encode_short(value)
    if short is not None:
        return short
    try:
        codec, pieces, holes = encode_pieces(value, _hole)
    except (failed, _NoValue) as error:
        raise InputError(f"input {name!r} cannot be sent: {error}", code="bad_input") from error
    refs = tuple(_reference(hole, workflow_id) for hole in holes if isinstance(hole, TaskOutput)) if holes else ()
    size = len(pieces[0]) if len(pieces) == 1 else sum([len(piece) for piece in pieces])
    if size <= UPLOADED_FROM:
        return InputSpec(refs, codec, b"".join(pieces))
    return InputSpec(refs, codec, None, (Literals() if literals is None else literals).literal(pieces, size))


@cache
def _encoder() -> tuple[Callable[[object], bytes | None], Callable[..., Any], type[ValueEncodeError]]:
    """Load what encodes values, once: an import statement costs as much as a small value."""
    from maze._values import ValueEncodeError, encode_pieces, encode_short

    return encode_short, encode_pieces, ValueEncodeError


class _NoValue(Exception):
    """A task was passed where one of its outputs was meant, or a reference where its value was."""


def _hole(value: object) -> object | None:
    if isinstance(value, (TaskHandle, TaskOutputs)):
        raise _NoValue(f'it holds {value!r}; pass one of its outputs, as in task.outputs["key"]')
    if isinstance(value, Reference):
        raise _NoValue(f"it holds {value!r}; pass what its get() returns")
    return value if isinstance(value, TaskOutput) else None


def _reference(output: TaskOutput, workflow_id: str) -> tuple[str, str]:
    if output._workflow_id is not None and output._workflow_id != workflow_id:
        raise ForeignTaskError(
            f"{output!r} belongs to workflow {output._workflow_id}; tasks can only use outputs of their own workflow",
            code="foreign_task",
        )
    return output.task_id, output.output_key


def _check_type(name: str, value: object, declared: str) -> None:
    """Check a literal against an explicit declaration: int passes for float, bool is not a number."""
    allowed = _TYPES.get(declared)
    if allowed is None:
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and declared != "bool"):
        raise InputTypeError(f"input {name!r} is declared as {declared!r}, got {type(value).__name__}: {value!r:.80}")


def _check_source(code_str: object) -> tuple[str, str]:
    """Return the source without common indentation, and the name of its first function."""
    if not isinstance(code_str, str):
        raise InvalidTaskError(f"code_str must be Python source text, not {type(code_str).__name__}")
    source = textwrap.dedent(code_str)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise InvalidTaskError(f"code_str is not valid Python{where}: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return source, node.name
    raise InvalidTaskError("code_str defines no function; a task needs one that takes a dictionary")


def _params(description: object, what: str, key: str) -> list[dict[str, Any]]:
    """Return the entries of a seed-era description; the numbers that name them mean nothing."""
    if description is None:
        return []
    params = description.get(key) if isinstance(description, Mapping) else None
    if not isinstance(params, Mapping) or not all(
        isinstance(item, Mapping) and "key" in item for item in params.values()
    ):
        raise InputError(f'{what} must look like {{"{key}": {{"1": {{"key": ..., ...}}, ...}}}}', code="bad_input")
    return [dict(item) for item in params.values()]


def _legacy_input(item: dict[str, Any], workflow_id: str) -> Input:
    schema, value = item.get("input_schema", "from_user"), item.get("value")
    if schema == "from_user" or isinstance(value, TaskOutput):
        return _spec(item["key"], value, None, workflow_id)
    if schema != "from_task":
        raise InputError(f"input {item['key']!r}: input_schema must be from_user or from_task, got {schema!r}")
    try:
        return InputSpec(refs=(parse_reference(str(value)),))
    except ValueError as error:
        raise InputError(f"input {item['key']!r}: {error}", code="bad_input") from error
