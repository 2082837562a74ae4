"""Bytes of a known size as an answer: all of them or one range (RFC 9110, section 14), from memory or an open file.

One range is served. Of several, or of a unit that is not bytes, nothing is understood and all is sent, as the RFC
allows. A file is read in pieces, by a thread: neither the loop nor the memory of the head knows how large it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from typing import BinaryIO, Final, Protocol

from aiohttp import web

from maze_head.api.errors import NotSatisfiable
from maze_protocol.limits import MIB

__all__ = ["FileBody", "MemoryBody", "Sent", "range_of", "send"]

PIECE: Final = 1 * MIB
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class Sent(Protocol):
    """What is sent: immutable bytes of a known size, and what tells them from others (an entity tag)."""

    size: int
    tag: str

    async def read(self, offset: int, length: int) -> bytes:
        """Return exactly so many bytes from there."""

    def close(self) -> None:
        """Let go of them."""


class MemoryBody:
    """Bytes that are there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.tag = hashlib.blake2b(data, digest_size=16).hexdigest()

    async def read(self, offset: int, length: int) -> bytes:
        """Return a piece."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Let go of nothing."""


class FileBody:
    """A file that does not change any more; closing it is ours."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        found = os.fstat(file.fileno())
        self.size = found.st_size
        self.tag = f"{found.st_mtime_ns:x}-{found.st_size:x}"

    async def read(self, offset: int, length: int) -> bytes:
        """Read a piece in a thread."""
        data = await asyncio.to_thread(os.pread, self._file.fileno(), length, offset)
        if len(data) != length:
            raise OSError(f"a file of {self.size} bytes ended at {offset + len(data)}")
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def range_of(text: str, size: int) -> range | None:
    """Return which bytes of so many a Range header asks for; None: all of them.

    Raises:
        NotSatisfiable: none of those exist.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        wanted = range(max(0, size - int(last)), size)
    elif last and int(last) < int(first):
        return None  # not a range at all: the RFC has it ignored
    else:
        wanted = range(int(first), min(size, int(last) + 1) if last else size)
    if not wanted:
        raise NotSatisfiable("range_not_satisfiable", f"no byte of {text[:80]!a} exists: there are {size}", size)
    return wanted


async def send(request: web.Request, body: Sent, headers: Mapping[str, str], stop: asyncio.Event) -> web.StreamResponse:
    """Answer with a body or the part of it that the request wants; HEAD gets the headers of the same answer.

    Args:
        request: GET or HEAD; `Range` counts unless `If-Range` names another body.
        body: what to send; it stays open.
        headers: what is to be said of it.
        stop: set when the head stops: the reader comes again for the rest.
    """
    tag = f'"{body.tag}"'
    wanted = None
    if "Range" in request.headers and request.headers.get("If-Range", tag) == tag:
        wanted = range_of(request.headers["Range"], body.size)
    part = range(body.size) if wanted is None else wanted
    response = web.StreamResponse(status=200 if wanted is None else 206, headers={**headers, "ETag": tag})
    response.headers["Accept-Ranges"] = "bytes"
    if wanted is not None:
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{body.size}"
    response.content_length = len(part)
    await response.prepare(request)
    if request.method != "HEAD":
        await _write(request, response, body, part, stop)
    await response.write_eof()
    return response


async def _write(
    request: web.Request, response: web.StreamResponse, body: Sent, part: range, stop: asyncio.Event
) -> None:
    for offset in range(part.start, part.stop, PIECE):
        if stop.is_set():
            raise ConnectionAbortedError("the head stops")
        try:
            data = await body.read(offset, min(PIECE, part.stop - offset))
        except OSError as error:
            # The status is on its way already: that something is missing can be told by the connection alone.
            raise ConnectionAbortedError("the answer could not be completed") from error
        await response.write(data)
