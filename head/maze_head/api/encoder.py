"""Committed segments encoded for readers: once per segment and format, shared by all of them.

A thousand readers that a commit wakes find one encoding, which the first of them makes. The cache is bounded in
bytes; what it drops is made again from the log. Segments never change, so entries never go stale.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import msgspec

from maze_head.api.frames import FRAME_BYTES
from maze_head.api.log_parts import RETURNING, Outputs, parts
from maze_head.api.render import AS_IT_IS, STORY, GraphNames, encoded
from maze_head.api.services import RunReading
from maze_head.cache import ByteCache
from maze_head.core.graph import Graph, load_graph
from maze_head.facts import RunPlace
from maze_protocol.events import SEALING, Segment, TaskFinished, TaskReused
from maze_protocol.ids import RUN, WORKFLOW, format_id
from maze_protocol.limits import KIB, MIB
from maze_protocol.values import OutputValue

__all__ = ["Encoded", "EventEncoder", "OpenRun"]

P = ParamSpec("P")
T = TypeVar("T")
Live = Callable[[bytes, int], Graph | None]
"""Looks a graph up by workflow and version among those that have live runs: it is read already."""
CACHE_BYTES: Final = 64 * MIB
CACHE_TASKS: Final = 200_000
GRAPH_TASKS: Final = 20
"""What a graph takes without its tasks, as a number of tasks."""
ENCODED_BYTES: Final = 500
PIECE_BYTES: Final = 50
"""What entry and objects take beside the bytes of events."""
THREAD_FROM: Final = 256 * KIB


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that a reader looks at."""

    run_id: bytes
    place: RunPlace
    names: GraphNames


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """One segment, encoded in pieces so that readers can begin anywhere: one for each event, or parts of the log."""

    starts: Sequence[int]
    """The number of the first event of each piece."""
    pieces: Sequence[bytes]
    last_seq: int
    sealed: bool

    @property
    def size(self) -> int:
        """Return the bytes that it takes, of small events mostly those around them."""
        return ENCODED_BYTES + sum(map(len, self.pieces)) + PIECE_BYTES * len(self.pieces)

    def since(self, after: int) -> Sequence[bytes]:
        """Return the pieces that hold events after that number; a part of the log may hold some before it, too."""
        if after >= self.last_seq:
            return ()
        return self.pieces[max(0, bisect_right(self.starts, after + 1) - 1) :]


class EventEncoder:
    """Encodes segments and opens graphs, each once for all readers."""

    def __init__(self, hub: RunReading, cache_bytes: int = CACHE_BYTES, live: Live | None = None) -> None:
        self._hub = hub
        self._live = live
        self._cache: ByteCache[tuple[int, int, str], Encoded] = ByteCache(cache_bytes)
        self._making: dict[tuple[int, int, str], asyncio.Task[Encoded]] = {}
        self._graphs: ByteCache[tuple[bytes, int], Graph] = ByteCache(CACHE_TASKS)
        self.made = 0
        """Segments encoded so far; a thousand readers of one segment count once."""

    async def open(self, run_id: bytes) -> OpenRun | None:
        """Return the run with its names, or None if the head does not know it."""
        place = await self._hub.find(run_id)
        if place is None:
            return None
        names = GraphNames(format_id(run_id, RUN), format_id(place.workflow_id, WORKFLOW), await self.graph(place))
        return OpenRun(run_id, place, names)

    async def graph(self, place: RunPlace) -> Graph:
        """Return the graph that a run is a snapshot of."""
        key = (place.workflow_id, place.version)
        graph = self._graphs.get(key)
        if graph is None and self._live is not None:
            graph = self._live(*key)
        if graph is None:
            body = await self._hub.graph(*key)
            graph = await _maybe_threaded(len(body), load_graph, *key, body)
            self._graphs.put(key, graph, min(CACHE_TASKS, GRAPH_TASKS + len(graph)))
        return graph

    async def encode(self, run: OpenRun, segment: Segment, fmt: str) -> Encoded:
        """Return the events of a segment as readers of that format get them."""
        key = (run.place.run_no, segment.first_seq, fmt)
        found = self._cache.get(key)
        if found is not None:
            return found
        task = self._making.get(key)
        if task is None:
            at_once = self._make_at_once(key, run, segment)
            if at_once is not None:
                return at_once
            task = self._making[key] = asyncio.create_task(self._make(key, run, segment))
        # A reader that leaves must not take the encoding from the others that wait for it.
        return await asyncio.shield(task)

    def _make_at_once(self, key: tuple[int, int, str], run: OpenRun, segment: Segment) -> Encoded | None:
        """Encode a segment here, if nothing has to be read for it and it is small: no task, no turn of the loop."""
        outputs: dict[int, tuple[OutputValue, ...]] = {}
        run_no, peek = run.place.run_no, self._hub.peek_outputs
        ended = [each.task for each in segment.events if type(each) in RETURNING]  # type: ignore[union-attr]  # all have one
        for task in ended:
            found = peek(run_no, task)
            if found is None:
                return None
            outputs[task] = found
        if sum([len(output.value.body) for found in outputs.values() for output in found]) >= THREAD_FROM:
            return None
        return self._keep(key, encode_segment(segment, run.names, outputs, key[2]))

    async def _make(self, key: tuple[int, int, str], run: OpenRun, segment: Segment) -> Encoded:
        try:
            outputs = {
                event.task: await self._hub.outputs(run.place.run_no, event.task)
                for event in segment.events
                if isinstance(event, (TaskFinished, TaskReused))
            }
            size = sum(len(output.value.body) for values in outputs.values() for output in values)
            encoded = await _maybe_threaded(size, encode_segment, segment, run.names, outputs, key[2])
            return self._keep(key, encoded)
        finally:
            del self._making[key]

    def _keep(self, key: tuple[int, int, str], encoded: Encoded) -> Encoded:
        self.made += 1
        self._cache.put(key, encoded, encoded.size)
        return encoded


def encode_segment(segment: Segment, names: GraphNames, outputs: Outputs, fmt: str) -> Encoded:
    """Encode a segment for readers of a format."""
    starts: Sequence[int]
    pieces: Sequence[bytes]
    if fmt in AS_IT_IS:
        starts, pieces = parts(segment, names.graph, outputs, FRAME_BYTES, leases=fmt != STORY)
    else:
        pieces = encoded(segment, names, outputs, fmt)
        starts = range(segment.first_seq, segment.first_seq + len(pieces))
    last_seq = segment.first_seq + len(segment.events) - 1
    return Encoded(starts, pieces, last_seq, isinstance(segment.events[-1], SEALING))


async def _maybe_threaded(size: int, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `make` here if the work is small, else in a thread: no turn of the loop may take long."""
    if size < THREAD_FROM:
        return make(*args, **kwargs)
    return await asyncio.to_thread(make, *args, **kwargs)
