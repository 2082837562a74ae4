"""From a task as an author sends it (`TaskBody`) to the core's `TaskSpec` and back, with every check one task allows.

What needs the rest of the graph (does the referenced task exist? a cycle?) is in edits.py. All refusals are
`Invalid` with the path of the field below the task; edits.py adds the operation's index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from maze_head.core.codes import CodeFacts
from maze_head.core.errors import Invalid
from maze_head.core.names import BAD_NAME, named
from maze_head.core.tasks import ENCODED, SOURCE, UPLOADED, VALUE, InputSpec, TaskSpec
from maze_protocol.declare import DATA_TYPES, BadName, Declared, normalise_resources
from maze_protocol.graph import format_reference, parse_reference
from maze_protocol.http import EncodedValue, InputBody, TaskBody, UploadedValue
from maze_protocol.ids import TASK, format_id, parse_id
from maze_protocol.limits import MAX_OBJECT, MAX_TASK_VALUES
from maze_protocol.messages import OutputDecl
from maze_protocol.policy import NO_POLICY, Policy, PolicyError, check_policy
from maze_protocol.resources import Request
from maze_protocol.terms import NO_TERMS, Terms, TermsError, check_same_node, make_terms
from maze_protocol.values import FILE, MSGPACK, PICKLE

__all__ = ["CODECS", "CodeOf", "body_of_spec", "encode_literal", "inputs_of", "spec_of", "task_id_of"]

CodeOf = Callable[[bytes], CodeFacts | None]
"""What is known of the function of a hash."""
TASK_TYPES: Final = ("code",)
LITERAL_DEPTH: Final = 100
HASH_BYTES: Final = 32
REMEMBERED_NAMES: Final = 64
"""Outputs and types of a task: with more, its checks are not remembered, for they would fill the memory."""
CODECS: Final = (MSGPACK, PICKLE, FILE)
_PLAIN_LEAVES: Final = (type(None), bool, int, float, str, bytes)


def task_id_of(text: str, field: str = "task_id") -> bytes:
    """Return the bytes of a task id, or raise Invalid."""
    try:
        return parse_id(text, TASK)
    except ValueError as error:
        raise Invalid("invalid_task", str(error), field=field) from error


class Alike(NamedTuple):
    """What the tasks of one function mostly have in common, as it was sent."""

    func_name: str
    task_type: str
    resources: tuple[tuple[str, float, type], ...]
    outputs: tuple[str, ...]
    data_types: tuple[tuple[str, str], ...]
    strict_outputs: bool
    policy: tuple[Any, ...]


class Checked(NamedTuple):
    """The same, checked and in the core's words."""

    request: Request
    outputs: tuple[OutputDecl, ...]
    data_types: dict[str, str]
    resources: dict[str, float]
    policy: Policy


def spec_of(body: TaskBody, code_of: CodeOf) -> TaskSpec:
    """Check a task on its own and put it into the core's words.

    Raises:
        Invalid: a name, a resource, a data type, a literal, a reference or the code is not right.
    """
    named(body.name, "the task's name", "name")
    alike = _alike(body)
    few = len(body.outputs) + len(body.data_types) <= REMEMBERED_NAMES
    checked = _remembered(alike) if few else _check(Alike._make(alike))
    code, python = _code(body.code, code_of)
    return TaskSpec(
        task_id_of(body.task_id),
        body.name,
        checked.request,
        python,
        code,
        inputs_of(body.inputs),
        checked.outputs,
        body.strict_outputs,
        body.keep,
        body.func_name,
        body.task_type,
        checked.data_types,
        checked.resources,
        *checked.policy,
        _terms(body),
        task_id_of(body.same_node_as, "same_node_as") if body.same_node_as else b"",
        body.sandbox,
    )


def _alike(body: TaskBody) -> tuple[object, ...]:
    """Return the fields of an Alike: a plain tuple costs a third, and mostly nobody looks into it."""
    resources = body.resources
    return (
        body.func_name,
        body.task_type,
        tuple((name, amount, type(amount)) for name, amount in resources.items()) if resources else (),
        tuple(body.outputs),
        tuple(body.data_types.items()) if body.data_types else (),
        body.strict_outputs,
        (body.retries, body.retry_backoff, tuple(body.retry_on), body.timeout, body.idle_timeout, body.at_most_once),
    )


@lru_cache(maxsize=256)
def _remembered(given: tuple[object, ...]) -> Checked:
    """Check what many tasks say word for word the same, once."""
    return _check(Alike._make(given))


def _check(given: Alike) -> Checked:
    if given.task_type not in TASK_TYPES:
        raise Invalid("unknown_task_type", f"unknown task_type {given.task_type!r}", field="task_type")
    named(given.func_name or "-", "the function's name", "func_name")
    resources = {name: amount for name, amount, _ in given.resources}
    declared: Declared = _checked("resources", normalise_resources, resources)
    return Checked(
        Request.of(declared),
        _outputs(given),
        dict(given.data_types),
        {name: float(amount) for name, amount in resources.items()},
        _policy(Policy._make(given.policy)),
    )


def _policy(given: Policy) -> Policy:
    if given == NO_POLICY:
        return given
    try:
        return check_policy(given)
    except PolicyError as error:
        raise Invalid("invalid_task", str(error), field=error.field) from error


def _terms(body: TaskBody) -> Terms:
    if not (body.require or body.prefer or body.limits or body.apart) and body.nodes == 1:
        return NO_TERMS
    try:
        terms = make_terms(body.require, body.prefer, body.limits, body.apart, body.nodes)
        if body.same_node_as:
            check_same_node(terms)
        return terms
    except TermsError as error:
        code = BAD_NAME if isinstance(error.__cause__, BadName) else "invalid_task"
        raise Invalid(code, str(error), field=error.field) from error


def _checked(field: str, check: Callable[..., Any], *arguments: object) -> Any:
    try:
        return check(*arguments)
    except (ValueError, TypeError) as error:
        raise Invalid("invalid_task", str(error), field=field) from error


def _code(text: str, code_of: CodeOf) -> tuple[bytes, tuple[int, int]]:
    if not text:
        return b"", (0, 0)
    digest = _digest(text)
    facts = code_of(digest)
    if facts is None:
        raise Invalid("unknown_code", f"no code with hash {text[:40]!r} was sent", field="code")
    return digest, facts.python


@lru_cache(maxsize=1024)
def _digest(text: str) -> bytes:
    digest: bytes = _checked("code", bytes.fromhex, text)
    return digest


def _outputs(given: Alike) -> tuple[OutputDecl, ...]:
    types = dict(given.data_types)
    for name, data_type in types.items():
        if given.strict_outputs and data_type not in DATA_TYPES:
            allowed = ", ".join(DATA_TYPES)
            message = f"unknown data type {data_type[:40]!r} of {name[:80]!r}: allowed are {allowed}"
            raise Invalid("invalid_task", message, field=f"data_types.{name[:80]}")
    if len(set(given.outputs)) != len(given.outputs):
        raise Invalid("invalid_task", "an output is declared twice", field="outputs")
    for key in given.outputs:
        named(key, "the name of an output", "outputs")
    return tuple(OutputDecl(key, types.get(key, "") if given.strict_outputs else "") for key in given.outputs)


def inputs_of(bodies: Mapping[str, InputBody]) -> tuple[InputSpec, ...]:
    """Take in the inputs of a task, or raise Invalid."""
    inputs: list[InputSpec] = []
    size = 0
    for name, body in bodies.items():
        try:
            entry = _input(name, body)
        except Invalid as error:
            error.field = f"inputs.{name[:80]}{error.field}"
            raise
        size += len(entry.body)
        inputs.append(entry)
    if size > MAX_TASK_VALUES:
        message = f"the inputs hold {size} bytes, one task takes at most {MAX_TASK_VALUES}"
        raise Invalid("too_large", message, hint="pass a path, or produce the value in a task", field="inputs")
    return tuple(inputs)


def _input(name: str, body: InputBody) -> InputSpec:
    """Take in one input; the field of a refusal is what stands below it."""
    named(name, "the name of an input", "")
    encoded = body.encoded
    if encoded is not UNSET and body.value is UNSET and body.source is UNSET and body.upload is UNSET:
        return _encoded(name, encoded, _references(body.refs) if body.refs else ())
    forms = [form for form in (body.value, body.source, body.encoded, body.upload) if form is not UNSET]
    if len(forms) != 1 or (body.refs and body.upload is UNSET):
        raise Invalid("invalid_task", "give exactly one of value, source, encoded, upload (with refs)")
    if body.source is not UNSET:
        return InputSpec(name, SOURCE, 0, b"", (_reference(body.source),))
    if body.upload is not UNSET:
        return _uploaded(name, body.upload, _references(body.refs))
    return InputSpec(name, VALUE, MSGPACK, encode_literal(body.value, ""))


def _encoded(name: str, value: EncodedValue, refs: tuple[tuple[bytes, str], ...]) -> InputSpec:
    if value.codec not in CODECS:
        raise Invalid("invalid_task", f"unknown codec {value.codec}", field=".encoded.codec")
    return InputSpec(name, ENCODED, value.codec, value.data, refs)


def _uploaded(name: str, value: UploadedValue, refs: tuple[tuple[bytes, str], ...]) -> InputSpec:
    """Take in a body that was uploaded before; whether it really was is asked where the disk is (api/uploads.py)."""
    if value.codec not in CODECS:
        raise Invalid("invalid_task", f"unknown codec {value.codec}", field=".upload.codec")
    if not 0 <= value.size <= MAX_OBJECT:
        raise Invalid("invalid_task", f"impossible size {value.size}", field=".upload.size")
    hash_: bytes = _checked(".upload.hash", bytes.fromhex, value.hash)
    if len(hash_) != HASH_BYTES:
        raise Invalid("invalid_task", "the hash of an upload has 64 hex digits", field=".upload.hash")
    return InputSpec(name, UPLOADED, value.codec, b"", refs, hash_, value.size)


def _references(texts: list[str]) -> tuple[tuple[bytes, str], ...]:
    return tuple([_reference(text) for text in texts])


def _reference(text: str) -> tuple[bytes, str]:
    try:
        task_text, key = parse_reference(text)
        return parse_id(task_text, TASK), key
    except ValueError as error:
        raise Invalid("invalid_task", str(error)) from error


def encode_literal(value: object, field: str = "value") -> bytes:
    """Return a literal of JSON types as MessagePack.

    Raises:
        Invalid: another type, an integer beyond 64 bits, or nested deeper than LITERAL_DEPTH.
    """
    _check_plain(value, field)
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, ValueError) as error:
        message = "an integer does not fit 64 bits" if isinstance(error, OverflowError) else str(error)
        raise Invalid("invalid_value", message, field=field) from error


def _check_plain(value: object, field: str) -> None:
    # Level by level instead of recursion: the depth of a request is the client's choice.
    level = [value]
    for _ in range(LITERAL_DEPTH):
        if not level:
            return
        level = [inner for entry in level for inner in _children(entry, field)]
    raise Invalid("invalid_value", f"a literal is nested deeper than {LITERAL_DEPTH} levels", field=field)


def _children(value: object, field: str) -> list[object]:
    kind = type(value)
    if kind in _PLAIN_LEAVES:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return list(value.values())
    raise Invalid("invalid_value", f"a literal holds a {kind.__name__}: only JSON types are allowed", field=field)


def body_of_spec(spec: TaskSpec) -> TaskBody:
    """Return a task as it was authored."""
    return TaskBody(
        task_id=format_id(spec.task_id, TASK),
        name=spec.name,
        func_name=spec.func_name,
        code=spec.code.hex(),
        inputs={entry.name: _input_body(entry) for entry in spec.inputs},
        outputs=[declared.key for declared in spec.outputs],
        data_types=spec.data_types,
        resources=spec.resources,
        strict_outputs=spec.strict_outputs,
        keep=spec.keep,
        task_type=spec.task_type,
        retries=spec.retries,
        retry_backoff=spec.retry_backoff,
        retry_on=list(spec.retry_on),
        timeout=spec.timeout,
        idle_timeout=spec.idle_timeout,
        at_most_once=spec.at_most_once,
        require=dict(spec.terms.require),
        prefer=dict(spec.terms.prefer),
        limits=dict(spec.terms.limits),
        apart=spec.terms.apart,
        nodes=spec.terms.nodes,
        same_node_as=format_id(spec.same_node_as, TASK) if spec.same_node_as else "",
        sandbox=spec.sandbox,
    )


def _input_body(entry: InputSpec) -> InputBody:
    refs = [format_reference(format_id(task_id, TASK), key) for task_id, key in entry.refs]
    if entry.form == VALUE:
        return InputBody(value=msgspec.msgpack.decode(entry.body))
    if entry.form == SOURCE:
        return InputBody(source=refs[0])
    if entry.form == UPLOADED:
        return InputBody(upload=UploadedValue(entry.codec, entry.upload.hex(), entry.size), refs=refs)
    return InputBody(encoded=EncodedValue(entry.codec, entry.body), refs=refs)
