"""The log of a run for readers, live and replayed alike: as a WebSocket, or page by page with a long poll.

Every reader reads committed segments from the hub, from any point and any number of times; nothing is kept per
reader but its place. One frame per commit; with many streams open, commits of one pause share a frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

import msgspec
from aiohttp import WSMsgType, web

from maze_head.api.call import Call
from maze_head.api.encoder import EventEncoder, OpenRun
from maze_head.api.errors import wants_msgpack
from maze_head.api.frames import FRAME_BYTES, framed
from maze_head.api.render import JSON, PACKED
from maze_head.api.schemas import EventPage
from maze_head.api.websocket import stream, wants_upgrade
from maze_head.core.errors import NotFound
from maze_head.core.events import DescribeRun
from maze_protocol.events import Segment
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, format_id
from maze_protocol.streams import MAX_SEQ

__all__ = ["CROWD", "PACE", "events", "frames", "nothing_more", "open_run", "over", "publication"]

CROWD: Final = 64
PACE: Final = 0.05
"""With more than CROWD streams open, each gets at most one frame in PACE seconds."""
PATIENCE: Final = 60.0
Frame = tuple[bytes, bool]
"""An array of events, and whether the last event of the run is among them."""
PAGE_EVENTS: Final = 1000


async def events(call: Call) -> EventPage | web.StreamResponse:
    """Stream the events of a run after `after`, or return the next page of them."""
    run_id = call.id("run_id", RUN)
    after = call.number("after", 0, 0, MAX_SEQ)
    if wants_upgrade(call.request):
        fmt = call.choice("format", (JSON, PACKED))
        kind = WSMsgType.BINARY if fmt == PACKED else WSMsgType.TEXT
        run = await open_run(call, run_id)
        return await stream(call, _arrays(frames(call, run, after, fmt)), kind)
    return await _page(call, run_id, after)


async def _arrays(marked: AsyncGenerator[Frame, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(marked):
        async for array, _ in marked:
            yield array


async def open_run(call: Call, run_id: bytes) -> OpenRun:
    """Return a run to read.

    Raises:
        NotFound: no such run.
        Gone: it was removed; the core is asked, which knows that, too.
    """
    run = await call.encoder.open(run_id)
    if run is None:
        await call.ask(lambda ticket: DescribeRun(ticket, run_id))
        run = await call.encoder.open(run_id)
    if run is None:
        raise NotFound("unknown_run", f"no run {format_id(run_id, RUN)}")
    return run


async def over(call: Call, run: OpenRun, after: int) -> bool:
    """Tell whether no event after that number will ever come."""
    body: RunBody = await call.ask(lambda ticket: DescribeRun(ticket, run.run_id))
    return body.sealed and after >= body.last_seq


async def nothing_more(call: Call, run: OpenRun, after: int) -> bool:
    """Wait for events after that number; return True if there will never be any.

    Raises:
        Gone: the run was removed meanwhile.
    """
    if await call.services.hub.wait(run.place.run_no, after, PATIENCE):
        return False
    # Nothing came for long, or never will: the core knows.
    return await over(call, run, after)


async def frames(call: Call, run: OpenRun, after: int, fmt: str, pause: float = 0.0) -> AsyncGenerator[Frame, None]:
    """Yield arrays of encoded events until the log is sealed; resume wherever the last one ended.

    Args:
        call: the request.
        run: whose log.
        after: the number of the event before the first one.
        fmt: JSON, PACKED, LOG or STORY; who reads the last two may get events again that it has.
        pause: seconds that events wait for more, unless the last one is among them.

    Raises:
        Gone: the run was removed meanwhile.
    """
    hub = call.services.hub
    run_no = run.place.run_no
    sealed = hub.ended(run_no, after)
    while not sealed:
        pending: list[bytes] = []
        waits = pause
        # What is there is encoded while more may come: the last event of a short run then waits for nothing else.
        while True:
            segments = await hub.read(run_no, after)
            for segment in segments:
                encoded = await call.encoder.encode(run, segment, fmt)
                pending += encoded.since(after)
                after, sealed = max(after, encoded.last_seq), encoded.sealed
                apart = not pause and call.traffic.streams_open <= CROWD
                if apart or sum(map(len, pending)) > FRAME_BYTES:
                    for frame in _marked(framed(pending, fmt), sealed=sealed):
                        yield frame
                    pending = []
            if sealed or not waits:
                break
            await hub.wait(run_no, MAX_SEQ, waits)
            waits = 0.0
        for frame in _marked(framed(pending, fmt), sealed=sealed):
            yield frame
        if not segments:
            sealed = await nothing_more(call, run, after)
        elif call.traffic.streams_open > CROWD:
            await asyncio.sleep(PACE)


def _marked(arrays: list[bytes], *, sealed: bool) -> Iterator[Frame]:
    last = len(arrays) - 1
    return ((array, sealed and number == last) for number, array in enumerate(arrays))


async def publication(encoder: EventEncoder, run_id: bytes, segment: Segment, limit: int) -> list[bytes]:
    """Return a segment as its subscribers get it: the frames of a WebSocket, of about `limit` bytes at most."""
    run = await encoder.open(run_id)
    if run is None:
        return []
    return framed((await encoder.encode(run, segment, PACKED)).pieces, PACKED, limit)


async def _page(call: Call, run_id: bytes, after: int) -> EventPage:
    """Return committed events after a point, waiting up to `wait` seconds for the first."""
    wait = call.number("wait", 0, 0, int(PATIENCE))
    limit = call.number("limit", PAGE_EVENTS, 1, PAGE_EVENTS)
    run = await open_run(call, run_id)
    page = await _collect(call, run, after, limit)
    if page.events or await over(call, run, after):
        page.sealed = page.sealed or not page.events
        return page
    if wait and await call.services.hub.wait(run.place.run_no, after, wait):
        page = await _collect(call, run, after, limit)
    return page


async def _collect(call: Call, run: OpenRun, after: int, limit: int) -> EventPage:
    """Gather what is committed, up to the limit and about FRAME_BYTES."""
    fmt = PACKED if wants_msgpack(call.request) else JSON
    page = EventPage([], after, sealed=False)
    size = 0
    for segment in await call.services.hub.read(run.place.run_no, after):
        encoded = await call.encoder.encode(run, segment, fmt)
        fresh = encoded.since(page.last_seq)[: limit - len(page.events)]
        page.events += [msgspec.Raw(event) for event in fresh]
        page.last_seq += len(fresh)
        page.sealed = encoded.sealed and page.last_seq >= encoded.last_seq
        size += sum(map(len, fresh))
        if len(page.events) >= limit or size > FRAME_BYTES:
            break
    return page
