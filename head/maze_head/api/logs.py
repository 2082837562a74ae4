"""What a task printed: pulled from the node that runs it while that is there, else the tail kept by the head.

Bodies are the captured bytes themselves. `Maze-Log-Offset` is where they begin (later than asked for if the head of
the output is gone), `Maze-Log-End` whether nothing follows. Following is the same question asked again and again; a
node does not push, so a reader that stopped reading holds nothing up.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from maze_head.api.call import Call
from maze_head.api.events import open_run
from maze_head.api.runs import number_of
from maze_head.core.effects import LogPlace
from maze_head.core.errors import NotFound
from maze_head.core.events import LocateLog
from maze_protocol.ids import RUN, TASK
from maze_protocol.limits import KIB, MIB

__all__ = ["STREAMS", "logs"]

STREAMS: Final = ("stdout", "stderr")
POLL: Final = 0.25
PIECE: Final = 64 * KIB
MAX_OFFSET: Final = 2**53


class Piece(NamedTuple):
    """Some captured output: where it begins, and whether it is the last."""

    offset: int
    data: bytes
    end: bool

    @property
    def next(self) -> int:
        """Return where the following piece begins."""
        return self.offset + len(self.data)


class Wanted(NamedTuple):
    """Whose output, of which attempt (0: the latest), which stream."""

    run_id: bytes
    task_id: bytes
    attempt: int
    stream: int


async def logs(call: Call) -> web.StreamResponse:
    """Return captured output of an attempt from an offset on, or follow it to its end."""
    stream = STREAMS.index(call.choice("stream", STREAMS)) + 1
    wanted = Wanted(call.id("run_id", RUN), call.id("task_id", TASK), call.number("attempt", 0, 0, 10**6), stream)
    offset = call.number("offset", 0, 0, MAX_OFFSET)
    limit = call.number("limit", PIECE, 1, MIB)
    if call.choice("follow", ("0", "1")) == "1":
        return await _follow(call, wanted, offset)
    piece = await _read(call, await _locate(call, wanted), stream, offset, limit)
    return web.Response(body=piece.data, headers=_headers(piece))


def _headers(piece: Piece) -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Maze-Log-Offset": str(piece.offset),
        "Maze-Log-End": "true" if piece.end else "false",
    }


async def _locate(call: Call, wanted: Wanted) -> LogPlace:
    """Ask the core, and for a run that is over its log."""
    try:
        place: LogPlace = await call.ask(
            lambda ticket: LocateLog(ticket, wanted.run_id, wanted.task_id, wanted.attempt)
        )
    except NotFound as error:
        if error.code != "run_sealed":
            raise
        return await _locate_kept(call, wanted)
    # A task that no node has begun yet has no attempt that could be over.
    return msgspec.structs.replace(place, over=place.over and place.attempt > 0)


async def _locate_kept(call: Call, wanted: Wanted) -> LogPlace:
    run = await open_run(call, wanted.run_id)
    view = await call.views.current(run)
    number = number_of(call, view)
    last = view.run.attempt[number]
    if wanted.attempt > last:
        raise NotFound("unknown_attempt", f"the task had {last} attempts")
    return LogPlace(run.place.run_no, number, wanted.attempt or last, 0, None, over=True)


async def _read(call: Call, place: LogPlace, stream: int, offset: int, limit: int) -> Piece:
    if place.link is not None:
        chunk = await call.services.nodes.pull(place.link, place.lease, stream, offset, limit)
        if chunk is not None and chunk.known:
            return Piece(chunk.offset, chunk.data, chunk.end)
    kept = await call.services.hub.kept_log(place.run_no, place.task_no, place.attempt, stream)
    if kept is None:
        return Piece(offset, b"", place.over)
    base = kept.size - len(kept.tail)
    start = min(max(offset, base), kept.size)
    data = kept.tail[start - base :][:limit]
    return Piece(start, data, start + len(data) >= kept.size)


async def _follow(call: Call, wanted: Wanted, offset: int) -> web.StreamResponse:
    """Send output as it appears until the attempt is over, the reader leaves or the head stops."""
    place = await _locate(call, wanted)
    piece = await _read(call, place, wanted.stream, offset, PIECE)
    response = web.StreamResponse(headers=_headers(piece))
    await response.prepare(call.request)
    while True:
        if piece.data:
            await response.write(piece.data)
        if piece.end or call.services.shutting_down.is_set():
            break
        if not piece.data:
            await asyncio.sleep(POLL)
        place = await _locate(call, wanted._replace(attempt=wanted.attempt or place.attempt))
        piece = await _read(call, place, wanted.stream, piece.next, PIECE)
    await response.write_eof()
    return response
