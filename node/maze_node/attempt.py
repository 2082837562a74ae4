"""One attempt inside a worker: inputs, function, outputs, and a report that always comes.

Order: name the attempt in the environment, load the function, decode the inputs, call it, check what it returned,
encode the outputs, put the process back in order. Only the call itself is timed. Whatever user code raises, SystemExit
included, becomes a report.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from maze._values import ValueDecodeError, ValueEncodeError, decode, decode_input, encode
from maze_node.errors import TaskFault
from maze_node.frames import ReportFrame, TaskFrame
from maze_node.meter import Meter
from maze_node.surroundings import Surroundings
from maze_node.tracebacks import describe
from maze_node.workspace import Workspace
from maze_protocol.ids import RUN, TASK, format_id
from maze_protocol.limits import MAX_TASK_VALUES, NAME_LENGTH
from maze_protocol.messages import FAILED, OK, OutputDecl
from maze_protocol.values import Input, OutputValue, Value

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
) -> ReportFrame:
    """Run one attempt and report how it ended.

    Args:
        frame: the attempt.
        load: returns the function.
        surroundings: of the process, restored in the end.
        meter: measures the call.
        written: returns how many bytes have been written to standard output and to standard error so far.
    """
    started_at = time.time()
    surroundings.enter(_identity(frame))
    if surroundings.reaped:
        meter.reset()
    called = False
    outputs: tuple[OutputValue, ...] = ()
    warnings: list[str] = []
    fault: TaskFault | None = None
    workspace: Workspace | None = None
    try:
        function = load()
        workspace = Workspace(frame)
        params = _decode_inputs(frame.inputs, workspace)
        called = True
        meter.start()
        try:
            returned = _call(function, params)
        finally:
            meter.stop()
        outputs = _encode_outputs(workspace.given(_checked(returned, frame, warnings)))
    except TaskFault as error:
        fault = error
    except BaseException as error:  # noqa: BLE001 -- user code: SystemExit and KeyboardInterrupt are its failures too
        fault = TaskFault("user", *describe(error))
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


def _decode_inputs(inputs: tuple[Input, ...], workspace: Workspace) -> dict[str, Any]:
    return {each.name: _decode_one(each, workspace) for each in inputs}


def _decode_one(each: Input, workspace: Workspace) -> Any:
    try:
        parts = [workspace.received(decode(part.codec, part.body)) for part in each.parts]
        if each.template is None:
            return parts[0]
        return workspace.received(decode_input(each.template.codec, each.template.body, parts))
    except ValueDecodeError as error:
        raise TaskFault("bad_input", "InputError", f"input {each.name!r}: {error}") from error


def _checked(returned: Any, frame: TaskFrame, warnings: list[str]) -> dict[str, Any]:
    """Return the outputs by key, or say what is wrong with them."""
    if not frame.strict:
        # The original's wire takes whatever comes; what is no dictionary of names travels under the empty key.
        named = isinstance(returned, dict) and all(isinstance(key, str) for key in returned)
        return {key: _listed(value) for key, value in (returned if named else {"": returned}).items()}
    if not isinstance(returned, dict):
        raise _bad_return(f"the task must return a dict with its outputs, not {type(returned).__name__}")
    for key in returned:
        if not isinstance(key, str) or not 0 < len(key) <= NAME_LENGTH:
            raise _bad_return(f"output names must be strings of 1 to {NAME_LENGTH} characters, not {key!r:.80}")
    for declared in frame.outputs:
        _check_output(returned, declared)
    if len(returned) > len(frame.outputs):
        extra = returned.keys() - {declared.key for declared in frame.outputs}
        warnings.extend(f"undeclared output {key!r} was kept" for key in sorted(extra)[:20])
    return returned


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


def _encode_outputs(outputs: dict[str, Any]) -> tuple[OutputValue, ...]:
    if len(outputs) > MAX_OUTPUTS:
        raise _bad_return(f"{len(outputs)} outputs, at most {MAX_OUTPUTS}")
    encoded = tuple(_encode_output(key, value) for key, value in outputs.items())
    total = sum(each.value.size for each in encoded)
    if total > MAX_TASK_VALUES:
        largest = max(encoded, key=lambda each: each.value.size)
        raise TaskFault(
            "too_large",
            "OutputTooLarge",
            f"the outputs are {total:,} bytes together, at most {MAX_TASK_VALUES:,} are allowed"
            f" (the largest is {largest.key!r} with {largest.value.size:,})",
        )
    return encoded


def _encode_output(key: str, value: Any) -> OutputValue:
    try:
        codec, body = encode(value)
    except ValueEncodeError as error:
        where = f"output {key!r}{error.path}"
        raise _bad_return(f"{where}: an object of type {error.type_name} cannot be sent: {error.reason}") from error
    return OutputValue(key, Value(codec, len(body), body))
