"""What tasks returned, one value at a time: the encoded bytes of any output, whole or in ranges.

An output that the log says is there is served: an inline one from its accepted row, an object from the blob directory,
into which it is first fetched if nodes alone hold it. One that nobody holds any more is answered 410 `value_expired`,
or 503 `value_away` while its run goes on.
"""

from __future__ import annotations

import asyncio
from typing import BinaryIO, Final
from urllib.parse import quote

from aiohttp import web

from maze_head.api.call import Call
from maze_head.api.encoder import OpenRun
from maze_head.api.events import open_run
from maze_head.api.pieces import FileBody, MemoryBody, Sent, send
from maze_head.blobfile import BlobError, BlobMissing, NoRoomForBlob
from maze_head.core.effects import ObjectPlace
from maze_head.core.errors import Conflict, Gone, NotFound, Unavailable
from maze_head.core.events import DescribeRun, LocateObject
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, TASK
from maze_protocol.values import OutputValue

__all__ = ["open_output", "output"]

_KEPT: Final = (
    "outputs of tasks that no other uses stay, others with @task(..., keep=True); or: maze retry --from-failed"
)
_OPEN: Final = ("waiting", "ready", "leased", "running")


async def output(call: Call) -> web.StreamResponse:
    """Send the bytes of an output."""
    run = await open_run(call, call.id("run_id", RUN))
    task = run.names.graph.index.get(call.id("task_id", TASK))
    if task is None:
        raise NotFound("unknown_task", f"no task {call.path('task_id')} in {call.path('run_id')}")
    found = await _find(call, run, task)
    body = await open_output(call, run, task, found)
    try:
        return await send(call.request, body, _headers(found), call.services.shutting_down)
    finally:
        body.close()


async def open_output(call: Call, run: OpenRun, task: int, found: OutputValue) -> Sent:
    """Return an accepted output as something to read; whoever asks closes it.

    Raises:
        Gone: nobody has it any more.
    """
    value = found.value
    if value.ref is None:
        return MemoryBody(value.body)
    try:
        file = await _open(call, run, task, value.ref.output)
    except BlobMissing as error:
        raise await _missing(call, run, found.key) from error
    except NoRoomForBlob as error:
        raise Unavailable("disk_full", f"the value cannot be brought here: {error}") from error
    except BlobError as error:
        raise Unavailable("disk_refuses", f"the value cannot be read: {error}") from error
    if file is None:
        raise await _missing(call, run, found.key)
    return FileBody(file)


async def _open(call: Call, run: OpenRun, task: int, number: int) -> BinaryIO | None:
    """Open an output on the head's disk, to which it is brought first by a node that holds it."""
    where = run.place.run_no, task, number
    file = await asyncio.to_thread(call.services.blobs.open_output, *where)
    if file is None:
        place: ObjectPlace = await call.ask(lambda ticket: LocateObject(ticket, run.run_id, task, number))
        await call.services.bringing.ensure_output(place)
        file = await asyncio.to_thread(call.services.blobs.open_output, *where)
    return file


async def _missing(call: Call, run: OpenRun, key: str) -> Gone | Unavailable:
    """Say that nobody has an output: for now, as long as its run goes on and a node may come back or make it anew."""
    about: RunBody = await call.ask(lambda ticket: DescribeRun(ticket, run.run_id))
    if about.sealed:
        return Gone("value_expired", f"output {key[:80]!a} is not kept any more", hint=_KEPT)
    return Unavailable("value_away", f"no node that holds output {key[:80]!a} answers at the moment")


async def _find(call: Call, run: OpenRun, task: int) -> OutputValue:
    key = call.path("key")
    try:
        outputs = await call.services.hub.outputs(run.place.run_no, task)
    except LookupError:
        raise await _none(call, run, task) from None
    for found in outputs:
        if found.key == key:
            return found
    returned = ", ".join(each.key for each in outputs) or "none"
    raise NotFound("no_such_output", f"the task returned no {key[:80]!a}; it returned: {returned[:400]}")


async def _none(call: Call, run: OpenRun, task: int) -> Conflict | NotFound:
    """Say why a task has no outputs."""
    status = (await call.views.current(run)).task(task).status
    if status in _OPEN:
        return Conflict(
            "task_not_over", f"the task has not finished yet, it is {status}", hint="follow the run's events"
        )
    return NotFound("no_outputs", f"the task has no outputs: it is {status}")


def _headers(found: OutputValue) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
        "Maze-Codec": str(found.value.codec),
        "Maze-Type": quote(found.type, safe="."),
    }
