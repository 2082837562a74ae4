"""Values that clients bring by their content: `PUT /api/v1/values/{hash}`, once per content, in one part or several.

The hash is checked when the last byte is there; until then HEAD tells how much is. A part says where it begins
(`Content-Range`, or `?offset=`) and is refused unless it goes on exactly there; what came of a part whose client went
away stays for an hour. Clients that bring the same at the same time do not disturb each other. What no workflow has as
an input after a day is swept (uploads.py of the head).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, NamedTuple

from aiohttp import web
from msgspec import UNSET

from maze_head.api.bodies import BODY_TIMEOUT, respond
from maze_head.api.call import Call
from maze_head.api.errors import Malformed, TooLarge, TooSlow, WrongOffset
from maze_head.blobfile import BlobError, NoRoomForBlob, Upload, WrongUpload
from maze_head.core.errors import Invalid, NotFound, Unavailable
from maze_protocol.http import AddAlike, AddTask, InputBody, Op, SaveTask, UploadBody, UploadedValue
from maze_protocol.limits import MAX_OBJECT, MIB

__all__ = ["check_uploads", "look", "put"]

PIECE: Final = 1 * MIB
"""So much is gathered before a thread writes it."""
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


class _Part(NamedTuple):
    """Where the body of a request belongs."""

    start: int
    stop: int
    total: int


async def look(call: Call) -> web.StreamResponse:
    """Tell how much of a value is there: `Upload-Offset`, and whether that is all: `Upload-Complete`."""
    hash_, blobs = _hash(call), call.services.blobs
    size = await asyncio.to_thread(blobs.touch_upload, hash_)
    offset = blobs.paused_offset(hash_) if size is None else size
    if offset is None:
        raise NotFound("unknown_value", f"nothing of value {call.path('hash')} is here")
    return web.Response(headers={"Upload-Offset": str(offset), "Upload-Complete": "false" if size is None else "true"})


async def put(call: Call) -> web.StreamResponse:
    """Take a part of a value, usually all of it: 201 once the value is complete, 202 if more is to come."""
    hash_, part, blobs = _hash(call), _part(call), call.services.blobs
    size = await asyncio.to_thread(blobs.touch_upload, hash_)
    if size is not None:
        return _answer(call, size, complete=True)
    try:
        return await _take(call, await asyncio.to_thread(blobs.begin_upload, hash_, part.total), part)
    except WrongUpload as error:
        message = "the bytes that came have another hash, and were dropped"
        raise Invalid("wrong_hash", message, hint="send all of it again") from error
    except NoRoomForBlob as error:
        raise Unavailable("disk_full", f"the value was not taken: {error}") from error
    except BlobError as error:
        raise Unavailable("disk_refuses", f"the value was not taken: {error}") from error


async def check_uploads(call: Call, ops: Sequence[Op]) -> None:
    """Make sure that the uploads which operations name are here; they stay then until a workflow has them.

    Raises:
        Invalid: one is not, or has another size; `op` and `field` say which.
    """
    known: dict[str, int | None] = {}
    for index in _with_uploads(ops):
        inputs, where = _inputs(ops[index])
        for name, entry in inputs.items():
            if (value := entry.upload) is not UNSET:
                if value.hash not in known:
                    known[value.hash] = await _size(call, value.hash)
                if known[value.hash] != value.size:
                    raise _absent(value, index, f"{where}.{name[:80]}", name)


def _with_uploads(ops: Sequence[Op]) -> list[int]:
    """Return the numbers of the operations that name uploads: mostly none of very many."""
    found = []
    for index, op in enumerate(ops):
        inputs = op.inputs if isinstance(op, AddAlike) else _inputs(op)[0]
        for entry in inputs.values():
            if entry.upload is not UNSET:
                found.append(index)
                break
    return found


def _inputs(op: Op) -> tuple[Mapping[str, InputBody], str]:
    """Return the inputs of a task that an operation brings, and where they stand in it."""
    if isinstance(op, AddAlike):
        return op.inputs, "inputs"
    if isinstance(op, (AddTask, SaveTask)):
        return op.task.inputs, "task.inputs"
    return {}, ""


async def _size(call: Call, text: str) -> int | None:
    if _HASH.fullmatch(text) is None:
        return None
    return await asyncio.to_thread(call.services.blobs.touch_upload, bytes.fromhex(text))


def _absent(value: UploadedValue, index: int, where: str, name: str) -> Invalid:
    message = f"input {name[:80]!a}: no value of {value.size} bytes with hash {value.hash[:80]!a} was uploaded"
    field = f"$.ops[{index}].{where}.upload"
    return Invalid("unknown_upload", message, hint="PUT it to /api/v1/values/{hash} first", field=field, op=index)


def _hash(call: Call) -> bytes:
    text = call.path("hash")
    if _HASH.fullmatch(text) is None:
        raise Malformed("bad_hash", f"a blake2b hash of 32 bytes is 64 lower-case hex digits, not {text[:80]!a}")
    return bytes.fromhex(text)


def _part(call: Call) -> _Part:
    request = call.request
    length = request.content_length
    if length is None:
        raise Malformed("length_required", "Content-Length is required")
    text = request.headers.get("Content-Range")
    if text is None:
        start = call.number("offset", 0, 0, MAX_OBJECT)
        part = _Part(start, start + length, start + length)
    else:
        part = _ranged(text, length)
    if part.total > MAX_OBJECT:
        raise TooLarge("too_large", f"the value has {part.total} bytes, at most {MAX_OBJECT} are taken")
    return part


def _ranged(text: str, length: int) -> _Part:
    found = _CONTENT_RANGE.fullmatch(text.strip())
    start, last, total = map(int, found.groups()) if found else (1, 0, 0)
    if not start <= last < total or last + 1 - start != length:
        raise Malformed("bad_range", f"Content-Range {text[:80]!a} does not describe {length} bytes")
    return _Part(start, last + 1, total)


async def _take(call: Call, upload: Upload, part: _Part) -> web.StreamResponse:
    """Write a part; what has come stays unless the value is complete or the disk refused it."""
    try:
        if part.start != upload.offset:
            message = f"{upload.offset} bytes of the value are here, and the part begins at {part.start}"
            raise WrongOffset("wrong_offset", message, upload.offset)
        await _receive(call.request, upload)
    except BlobError:
        upload.abort()
        raise
    except BaseException:
        upload.pause()
        raise
    if upload.offset < upload.size:
        upload.pause()
        return _answer(call, upload.offset, complete=False)
    await asyncio.to_thread(upload.finish)
    return _answer(call, upload.size, complete=True)


async def _receive(request: web.Request, upload: Upload) -> None:
    """Write the body, one piece while the next one comes."""
    gathered = bytearray()
    writing: asyncio.Future[None] | None = None
    try:
        async for data in _body(request):
            gathered += data
            if len(gathered) >= PIECE:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(asyncio.to_thread(upload.write, gathered))
                gathered = bytearray()
    finally:
        if writing is not None:
            await writing
        upload.write(gathered)


async def _body(request: web.Request) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes."""
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT):
                data = await request.content.readany()
            if not data:
                return
            yield data
    except TimeoutError as error:
        raise TooSlow("body_timeout", f"nothing of the body came for {BODY_TIMEOUT:.0f} s") from error
    except web.RequestPayloadError as error:
        raise ConnectionAbortedError("the client went away") from error


def _answer(call: Call, offset: int, *, complete: bool) -> web.Response:
    return respond(call.request, UploadBody(call.path("hash"), offset, complete), 201 if complete else 202)
