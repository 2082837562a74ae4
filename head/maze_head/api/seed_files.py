"""The three endpoints for files that the original's front client calls, and no server of its time had.

An upload is a file on the head's machine, which tasks there, or with the same file system, open by its path. What can
be downloaded is such a file, or one that a task returned: its `file_path` is what the result stream shows of it.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote, unquote

from aiohttp import BodyPartReader, web

from maze_head.api.bodies import BODY_TIMEOUT
from maze_head.api.call import Call
from maze_head.api.errors import Malformed, TooSlow
from maze_head.api.events import open_run
from maze_head.api.outputs import open_output
from maze_head.api.pieces import FileBody, Sent, send
from maze_head.api.seed_forms import Done, FileMade
from maze_head.core.errors import NotFound, Unavailable
from maze_head.core.events import DescribeWorkflow
from maze_protocol.files import HEADER_BYTES, parse_header
from maze_protocol.ids import RUN, TASK, WORKFLOW, parse_id
from maze_protocol.limits import MIB
from maze_protocol.values import FILE

__all__ = ["cleanup_workflow", "download_file", "output_path", "upload_file"]

OUTPUTS: Final = "outputs"
"""First word of the path of what a task returned."""


def output_path(run_id: str, task_id: str, key: str, name: str) -> str:
    """Return the `file_path` of a file that a task returned."""
    return "/".join([OUTPUTS, run_id, task_id, quote(key, safe=""), name])


async def upload_file(call: Call) -> FileMade:
    """Take the field `file` of a form; its bytes go to the disk as they come."""
    workflow = await _workflow(call)
    part = await _file_field(call.request)
    store = call.services.seed_files
    try:
        file, path = await asyncio.to_thread(store.create, workflow, part.filename or "file")
        with file:
            while data := await _chunk(part):
                await asyncio.to_thread(file.write, data)
    except OSError as error:
        raise Unavailable("disk_refuses", f"the file was not taken: {error.strerror}") from error
    return FileMade(str(path))


async def download_file(call: Call) -> web.StreamResponse:
    """Send the bytes of an uploaded file, or of one that a task returned."""
    workflow, path = await _workflow(call), call.request.query.get("file_path", "")
    body, name = await _open(call, workflow, path)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
    }
    try:
        return await send(call.request, body, headers, call.services.shutting_down)
    finally:
        body.close()


async def cleanup_workflow(call: Call) -> Done:
    """Remove what was uploaded for a workflow."""
    workflow = await _workflow(call)
    await asyncio.to_thread(call.services.seed_files.remove, workflow)
    return Done()


async def _workflow(call: Call) -> bytes:
    text = call.path("workflow_id")
    try:
        raw = parse_id(text, WORKFLOW)
    except ValueError as error:
        raise NotFound("unknown_workflow", f"no workflow {text[:80]!a}") from error
    await call.ask(lambda ticket: DescribeWorkflow(ticket, raw))
    return raw


async def _file_field(request: web.Request) -> BodyPartReader:
    if not request.content_type.startswith("multipart/"):
        raise Malformed("bad_form", "a multipart/form-data body with a field `file` is needed")
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name == "file":
                return part
    except (AssertionError, ValueError) as error:
        raise Malformed("bad_form", "a multipart/form-data body with a field `file` is needed") from error
    raise Malformed("bad_form", "the form has no field `file`")


async def _chunk(part: BodyPartReader) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return bytes(await part.read_chunk(MIB))
    except TimeoutError as error:
        raise TooSlow("body_timeout", f"nothing of the body came for {BODY_TIMEOUT:.0f} s") from error


async def _open(call: Call, workflow: bytes, path: str) -> tuple[Sent, str]:
    words = path.split("/")
    if words[0] == OUTPUTS and len(words) == 5:
        return await _open_output(call, words)
    file = await asyncio.to_thread(call.services.seed_files.open, workflow, path)
    if file is None:
        raise _unknown(path)
    return FileBody(file), words[-1]


async def _open_output(call: Call, words: list[str]) -> tuple[Sent, str]:
    try:
        run_id, task_id = parse_id(words[1], RUN), parse_id(words[2], TASK)
    except ValueError as error:
        raise _unknown("/".join(words)) from error
    run = await open_run(call, run_id)
    task = run.names.graph.index.get(task_id)
    if task is None:
        raise _unknown("/".join(words))
    try:
        outputs = await call.services.hub.outputs(run.place.run_no, task)
    except LookupError:
        raise _unknown("/".join(words)) from None
    for found in outputs:
        if found.key == unquote(words[3]) and found.value.codec == FILE:
            whole = await open_output(call, run, task, found)
            try:
                header = parse_header(await whole.read(0, min(HEADER_BYTES, whole.size)))
            except ValueError as error:  # a node may lie
                whole.close()
                raise _unknown("/".join(words)) from error
            return _Content(whole, header.length), header.name
    raise _unknown("/".join(words))


class _Content:
    """A body without its header."""

    def __init__(self, whole: Sent, start: int) -> None:
        self._whole = whole
        self._start = start
        self.size = whole.size - start
        self.tag = whole.tag

    async def read(self, offset: int, length: int) -> bytes:
        """Return a piece."""
        return await self._whole.read(self._start + offset, length)

    def close(self) -> None:
        """Let go of it."""
        self._whole.close()


def _unknown(path: str) -> NotFound:
    return NotFound("unknown_file", f"no file {path[:200]!a} of this workflow")
