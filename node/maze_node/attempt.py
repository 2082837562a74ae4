"""One attempt inside a worker: inputs, function, outputs, and a report that always comes.

Order: name the attempt in the environment, load the function, decode the inputs, call it, check what it returned,
encode the outputs, put the process back in order. Only the call itself is timed. Whatever user code raises, SystemExit
included, becomes a report.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutine
from time import time
from typing import Any, Final, NamedTuple

from maze._values import ValueDecodeError, ValueEncodeError, decode, decode_input, encode_pieces, encode_short
from maze_node.beside import Beside
from maze_node.declared import Declared, bad_return
from maze_node.errors import TaskFault
from maze_node.frames import LikeFrame, ReportFrame, TaskFrame
from maze_node.meter import Meter
from maze_node.surroundings import Surroundings
from maze_node.tracebacks import describe
from maze_node.workspace import Workspace
from maze_protocol.ids import RUN, TASK
from maze_protocol.limits import INLINE_TASK, INLINE_VALUE, MAX_TASK_VALUES
from maze_protocol.messages import FAILED, OK
from maze_protocol.values import FILE, MSGPACK, Input, ObjectRef, OutputValue, Value

__all__ = ["Kind", "run_attempt"]

MAX_OUTPUTS: Final = 1_000
FEW: Final = 32
"""So many short ones (encode_short) are inline in any case."""
Made = tuple[tuple[OutputValue, ...], int, tuple[int, ...]]
"""Outputs, how many of them are objects, and the numbers of those that are files."""
_NONE: Final[Made] = ((), 0, ())
_NOTHING: Final[Mapping[str, str]] = {}
_RUN: Final = f"{RUN}_".encode()
_TASK: Final = f"{TASK}_".encode()


class Kind:
    """What an attempt has in common with those before and behind it, as their first frame tells."""

    __slots__ = ("declared", "frame", "run_id")

    def __init__(self, frame: TaskFrame) -> None:
        self.frame = frame
        self.declared = Declared(frame.outputs, strict=frame.strict)
        self.run_id = _RUN + hexlify(frame.run)


def run_attempt(
    kind: Kind,
    own: TaskFrame | LikeFrame,
    load: Callable[[bytes], Callable[..., Any]],
    surroundings: Surroundings,
    meter: Meter,
    written: Callable[[], tuple[int, int]] = lambda: (0, 0),
    beside: Beside | None = None,
) -> ReportFrame:
    """Run one attempt and report how it ended.

    Args:
        kind: what it has in common with others.
        own: what it has for itself.
        load: returns a function by its hash.
        surroundings: of the process, restored in the end.
        meter: measures the call.
        written: returns how many bytes have been written to standard output and to standard error so far.
        beside: where its objects come from and go.
    """
    beside = beside or Beside()
    started_at = time()
    gang = kind.frame.gang
    surroundings.enter(_identity(kind.run_id, own), _gang(gang) if gang else _NOTHING)
    if surroundings.reaped:
        meter.reset()
    meter.clear()
    workspace = Workspace(kind.declared.files, own.lease)
    made, error = _NONE, None
    try:
        # What the attempt had goes with that call and its exception: the next attempt would pay for it.
        made = _perform(kind, own, load, meter, workspace, beside)
    except TaskFault as fault:
        error = fault.info
    except BaseException as fault:  # noqa: BLE001 -- user code: SystemExit and KeyboardInterrupt are its failures too
        error = TaskFault("user", *describe(fault)).info
    if error is not None:
        beside.undo()
    unclean = surroundings.restore()
    if workspace.made is not None:
        workspace.remove()
    outputs, objects, on_disk = made
    return ReportFrame(
        own.lease,
        OK if error is None else FAILED,
        meter.wall_ms,
        outputs,
        error,
        meter.cpu_ms,
        meter.peak_kib if meter.called else 0,
        tuple(workspace.warnings),
        unclean,
        started_at,
        False,
        *written(),
        objects,
        on_disk,
    )


def _perform(
    kind: Kind,
    own: TaskFrame | LikeFrame,
    load: Callable[[bytes], Callable[..., Any]],
    meter: Meter,
    workspace: Workspace,
    beside: Beside,
) -> Made:
    """Call the function between its inputs and its outputs.

    Raises:
        TaskFault: for whatever is at fault but the function itself, which raises what it likes.
    """
    function = load(kind.frame.code)
    if workspace.declared:
        workspace.open()
    params = _decode_inputs(own.inputs, workspace, beside)
    meter.start()
    try:
        returned = function(params)
        if type(returned) is not dict and iscoroutine(returned):
            returned = _run_coroutine(returned)
    finally:
        meter.stop()
    outputs = kind.declared.checked(returned, workspace.warnings)
    short = None if workspace.declared else _short_outputs(outputs)
    if short is not None:
        return short, 0, ()
    return _encode_outputs(workspace.given(outputs), own.lease, kind.frame, beside)


def _identity(run_id: bytes, own: TaskFrame | LikeFrame) -> dict[bytes, bytes]:
    """Return what task code may know itself by, for keys that make its side effects happen once."""
    return {
        b"MAZE_RUN_ID": run_id,
        b"MAZE_TASK_ID": _TASK + hexlify(own.task),
        b"MAZE_ATTEMPT": b"%d" % own.attempt,
        b"MAZE_LEASE": b"%d" % own.lease,
    }


def _gang(addresses: tuple[str, ...]) -> dict[str, str]:
    """Return which nodes an attempt has; its code runs on the first, and starts on the others what it needs there."""
    return {"MAZE_GANG_SIZE": str(len(addresses)), "MAZE_GANG_NODES": ",".join(addresses), "MAZE_GANG_RANK": "0"}


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio  # only attempts of `async def` tasks pay for it

    return asyncio.run(coroutine)


def _decode_inputs(inputs: tuple[Input, ...], workspace: Workspace, beside: Beside) -> dict[str, Any]:
    params = {}
    each = None
    try:
        for each in inputs:
            value = None if each.template is not None else each.parts[0]
            if value is not None and value.codec == MSGPACK and value.ref is None:
                params[each.name] = decode(MSGPACK, value.body)
            else:
                params[each.name] = _decode_one(each, workspace, beside)
    except ValueDecodeError as error:
        assert each is not None, "it is the one that could not be decoded"
        raise TaskFault("bad_input", "InputError", f"input {each.name!r}: {error}") from error
    return params


def _decode_one(each: Input, workspace: Workspace, beside: Beside) -> Any:
    # Arrays of an object are views of it, which nobody may write in; those of other values are copies.
    parts = [workspace.received(decode(part.codec, beside.body(part), copy=part.ref is None)) for part in each.parts]
    template = each.template
    if template is None:
        return parts[0]
    return workspace.received(decode_input(template.codec, beside.body(template), parts, copy=template.ref is None))


class Encoded(NamedTuple):
    """An output as bytes that are not joined yet."""

    key: str
    codec: int
    pieces: list[bytes | memoryview]
    size: int
    kind: type


def _short_outputs(outputs: dict[str, Any]) -> tuple[OutputValue, ...] | None:
    """Return outputs that are a few numbers and short texts, the usual case; None: see `_encode_outputs`."""
    found = []
    for key, value in outputs.items():
        body = encode_short(value)
        if body is None:
            return None
        found.append(OutputValue(key, Value(MSGPACK, len(body), body)))
    return tuple(found) if len(found) <= FEW else None


def _encode_outputs(outputs: dict[str, Any], lease: int, frame: TaskFrame, beside: Beside) -> Made:
    if len(outputs) > MAX_OUTPUTS:
        raise bad_return(f"{len(outputs)} outputs, at most {MAX_OUTPUTS}")
    encoded = [_encode_output(key, value) for key, value in outputs.items()]
    total = sum([each.size for each in encoded])
    if total <= INLINE_VALUE:
        return tuple(map(_inline, encoded)), 0, ()
    if frame.spool:
        return _with_objects(encoded, lease, frame, beside)
    _check_total(encoded, total)
    return tuple(map(_inline, encoded)), 0, ()


def _check_total(encoded: list[Encoded], total: int) -> None:
    if total > MAX_TASK_VALUES:
        largest = max(encoded, key=lambda each: each.size)
        raise TaskFault(
            "too_large",
            "OutputTooLarge",
            f"the outputs are {total:,} bytes together, at most {MAX_TASK_VALUES:,} are allowed"
            f" (the largest is {largest.key!r} with {largest.size:,})",
        )


def _with_objects(encoded: list[Encoded], lease: int, frame: TaskFrame, beside: Beside) -> Made:
    large = _large(encoded)
    outputs, on_disk = [], []
    for number, each in enumerate(encoded):
        if number not in large:
            outputs.append(_inline(each))
            continue
        if beside.write(each.key, each.pieces, each.size, frame, file=each.codec == FILE):
            on_disk.append(number)
        value = Value(each.codec, each.size, ref=ObjectRef(lease, number, each.size, 0))
        outputs.append(OutputValue(each.key, value, _name_of(each.kind)))
    return tuple(outputs), len(large), tuple(on_disk)


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
        raise bad_return(f"{where}: an object of type {error.type_name} cannot be sent: {error.reason}") from error
    size = sum([piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces])
    return Encoded(key, codec, pieces, size, type(value))
