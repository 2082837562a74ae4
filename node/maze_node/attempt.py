"""One attempt inside a worker: inputs, function, outputs, and a report that always comes.

Order: name the attempt in the environment, load the function, decode the inputs, call it, check what it returned,
encode the outputs, put the process back in order. Only the call itself is timed. Whatever user code raises, SystemExit
included, becomes a report.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from maze._values import ValueDecodeError, ValueEncodeError, decode, decode_input, encode_pieces
from maze_node.beside import Beside
from maze_node.errors import TaskFault
from maze_node.frames import ReportFrame, TaskFrame
from maze_node.meter import Meter
from maze_node.surroundings import Surroundings
from maze_node.tracebacks import describe
from maze_node.workspace import Workspace
from maze_protocol.ids import RUN, TASK, format_id
from maze_protocol.limits import INLINE_TASK, INLINE_VALUE, MAX_TASK_VALUES, NAME_LENGTH
from maze_protocol.messages import FAILED, OK, OutputDecl
from maze_protocol.values import FILE, Input, ObjectRef, OutputValue, Value

__all__ = ["run_attempt"]

MAX_OUTPUTS: Final = 1_000
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "list": (list,), "dict": (dict,),
}  # fmt: skip


def run_attempt(
    frame: TaskFrame,
    load: Callable[[], Callable[..., Any]],
    surroundings: Surroundings,
    meter: Meter,
    written: Callable[[], tuple[int, int]] = lambda: (0, 0),
    beside: Beside | None = None,
) -> ReportFrame:
    """Run one attempt and report how it ended.

    Args:
        frame: the attempt.
        load: returns the function.
        surroundings: of the process, restored in the end.
        meter: measures the call.
        written: returns how many bytes have been written to standard output and to standard error so far.
        beside: where its objects come from and go.
    """
    beside = beside or Beside()
    started_at = time.time()
    surroundings.enter(_identity(frame))
    if surroundings.reaped:
        meter.reset()
    called = False
    outputs: tuple[OutputValue, ...] = ()
    on_disk: tuple[int, ...] = ()
    warnings: list[str] = []
    fault: TaskFault | None = None
    workspace: Workspace | None = None
    try:
        function = load()
        workspace = Workspace(frame)
        params = _decode_inputs(frame.inputs, workspace, beside)
        called = True
        meter.start()
        try:
            returned = _call(function, params)
        finally:
            meter.stop()
        outputs, on_disk = _encode_outputs(
            workspace.given(_checked(returned, frame, warnings), warnings), frame, beside
        )
    except TaskFault as error:
        fault = error
    except BaseException as error:  # noqa: BLE001 -- user code: SystemExit and KeyboardInterrupt are its failures too
        fault = TaskFault("user", *describe(error))
    if fault is not None:
        outputs, on_disk = (), ()
        beside.undo()
    # Nothing of the attempt may stay alive through our frames: the next one would pay for it.
    function = params = returned = None  # type: ignore[assignment]  # dropped, never used again
    unclean = surroundings.restore()
    if workspace is not None:
        workspace.remove()
    return ReportFrame(
        frame.lease,
        OK if fault is None else FAILED,
        meter.wall_ms if called else 0.0,
        outputs,
        fault.info if fault is not None else None,
        meter.cpu_ms if called else 0.0,
        meter.peak_kib if called else 0,
        tuple(warnings),
        unclean,
        started_at,
        False,
        *written(),
        sum([each.value.ref is not None for each in outputs]),
        on_disk,
    )


def _identity(frame: TaskFrame) -> dict[str, str]:
    """Return what task code may know itself by, for keys that make its side effects happen once, and its nodes."""
    named = {
        "MAZE_RUN_ID": format_id(frame.run, RUN),
        "MAZE_TASK_ID": format_id(frame.task, TASK),
        "MAZE_ATTEMPT": str(frame.attempt),
        "MAZE_LEASE": str(frame.lease),
    }
    return named | _gang(frame.gang) if frame.gang else named


def _gang(addresses: tuple[str, ...]) -> dict[str, str]:
    """Return which nodes an attempt has; its code runs on the first, and starts on the others what it needs there."""
    return {"MAZE_GANG_SIZE": str(len(addresses)), "MAZE_GANG_NODES": ",".join(addresses), "MAZE_GANG_RANK": "0"}


def _call(function: Callable[..., Any], params: dict[str, Any]) -> Any:
    returned = function(params)
    if type(returned) is not dict and inspect.iscoroutine(returned):
        return _run_coroutine(returned)
    return returned


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio  # only attempts of `async def` tasks pay for it

    return asyncio.run(coroutine)


def _decode_inputs(inputs: tuple[Input, ...], workspace: Workspace, beside: Beside) -> dict[str, Any]:
    return {each.name: _decode_one(each, workspace, beside) for each in inputs}


def _decode_one(each: Input, workspace: Workspace, beside: Beside) -> Any:
    try:
        # Arrays of an object are views of it, which nobody may write in; those of other values are copies.
        parts = [
            workspace.received(decode(part.codec, beside.body(part), copy=part.ref is None)) for part in each.parts
        ]
        template = each.template
        if template is None:
            return parts[0]
        return workspace.received(decode_input(template.codec, beside.body(template), parts, copy=template.ref is None))
    except ValueDecodeError as error:
        raise TaskFault("bad_input", "InputError", f"input {each.name!r}: {error}") from error


def _checked(returned: Any, frame: TaskFrame, warnings: list[str]) -> dict[str, Any]:
    """Return the outputs by key, or say what is wrong with them."""
    if not frame.strict:
        # The original's wire takes whatever comes; what is no dictionary of names travels under the empty key.
        named = isinstance(returned, dict) and all(isinstance(key, str) for key in returned)
        return {key: _listed(value) for key, value in (returned if named else {"": returned}).items()}
    if not isinstance(returned, dict):
        keys = ", ".join(repr(declared.key) for declared in frame.outputs) or "no keys"
        raise _bad_return(f"the task must return a dict with {keys:.400}, not {type(returned).__name__}")
    for key in returned:
        if not isinstance(key, str) or not 0 < len(key) <= NAME_LENGTH or not key.isprintable():
            what = f"strings of 1 to {NAME_LENGTH} printable characters"
            raise _bad_return(f"output names must be {what}, not {_short(key)}")
    for declared in frame.outputs:
        _check_output(returned, declared)
    if len(returned) > len(frame.outputs):
        extra = returned.keys() - {declared.key for declared in frame.outputs}
        warnings.extend(f"undeclared output {key!r} was kept" for key in sorted(extra)[:20])
    return returned


def _short(key: object) -> str:
    """Return a key as text of a bounded length, without running the user's `__repr__`."""
    return repr(key[:80]) if type(key) is str else f"a key of type {type(key).__name__}"


def _listed(value: Any) -> Any:
    """Replace tuples by lists, as the original's JSON did."""
    if type(value) in (list, tuple):
        return [_listed(item) for item in value]
    if type(value) is dict:
        return {key: _listed(item) for key, item in value.items()}
    return value


def _check_output(returned: dict[str, Any], declared: OutputDecl) -> None:
    if declared.key not in returned:
        keys = ", ".join(map(repr, returned)) or "none"
        raise _bad_return(f"missing output {declared.key!r} (returned keys: {keys:.400})")
    allowed = _TYPES.get(declared.data_type)
    value = returned[declared.key]
    if allowed is None:
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        kind = type(value).__name__
        raise _bad_return(f"output {declared.key!r} is declared as {declared.data_type}, the task returned {kind}")


def _bad_return(message: str) -> TaskFault:
    return TaskFault("bad_return", "BadReturn", message)


class Encoded(NamedTuple):
    """An output as bytes that are not joined yet."""

    key: str
    codec: int
    pieces: list[bytes | memoryview]
    size: int
    kind: type


def _encode_outputs(
    outputs: dict[str, Any], frame: TaskFrame, beside: Beside
) -> tuple[tuple[OutputValue, ...], tuple[int, ...]]:
    """Return the outputs, and the numbers of those that are files."""
    if len(outputs) > MAX_OUTPUTS:
        raise _bad_return(f"{len(outputs)} outputs, at most {MAX_OUTPUTS}")
    encoded = [_encode_output(key, value) for key, value in outputs.items()]
    total = sum([each.size for each in encoded])
    if total <= INLINE_VALUE:
        return tuple(map(_inline, encoded)), ()
    if frame.spool:
        return _with_objects(encoded, frame, beside)
    _check_total(encoded, total)
    return tuple(map(_inline, encoded)), ()


def _check_total(encoded: list[Encoded], total: int) -> None:
    if total > MAX_TASK_VALUES:
        largest = max(encoded, key=lambda each: each.size)
        raise TaskFault(
            "too_large",
            "OutputTooLarge",
            f"the outputs are {total:,} bytes together, at most {MAX_TASK_VALUES:,} are allowed"
            f" (the largest is {largest.key!r} with {largest.size:,})",
        )


def _with_objects(
    encoded: list[Encoded], frame: TaskFrame, beside: Beside
) -> tuple[tuple[OutputValue, ...], tuple[int, ...]]:
    large = _large(encoded)
    outputs, on_disk = [], []
    for number, each in enumerate(encoded):
        if number not in large:
            outputs.append(_inline(each))
            continue
        if beside.write(each.key, each.pieces, each.size, frame, file=each.codec == FILE):
            on_disk.append(number)
        value = Value(each.codec, each.size, ref=ObjectRef(frame.lease, number, each.size, 0))
        outputs.append(OutputValue(each.key, value, _name_of(each.kind)))
    return tuple(outputs), tuple(on_disk)


def _large(encoded: list[Encoded]) -> frozenset[int]:
    """Return the numbers of those that become objects: all that are large, and the largest until the rest fits."""
    by_size = sorted(range(len(encoded)), key=lambda number: encoded[number].size)
    inline, large = 0, []
    for number in by_size:
        inline += encoded[number].size
        if encoded[number].size > INLINE_VALUE or inline > INLINE_TASK:
            large.append(number)
    return frozenset(large)


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _inline(each: Encoded) -> OutputValue:
    return OutputValue(each.key, Value(each.codec, each.size, b"".join(each.pieces)))


def _encode_output(key: str, value: Any) -> Encoded:
    try:
        codec, pieces, _ = encode_pieces(value)
    except ValueEncodeError as error:
        where = f"output {key!r}{error.path}"
        raise _bad_return(f"{where}: an object of type {error.type_name} cannot be sent: {error.reason}") from error
    size = sum([piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces])
    return Encoded(key, codec, pieces, size, type(value))
