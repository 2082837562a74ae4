"""The tasks of runs, read from their logs: one view per run that is asked about, brought up to date on each request.

Views are shared, continue where they stopped, and are dropped oldest first; the log has everything they know.
"""

from __future__ import annotations

import asyncio
from typing import Final

from maze_head.api.encoder import OpenRun
from maze_head.api.services import RunReading
from maze_head.cache import ByteCache
from maze_head.core.fold import RunView
from maze_protocol.events import Segment

__all__ = ["RunViews"]

CACHE_TASKS: Final = 500_000
VIEW_TASKS: Final = 250
"""What a view takes without its tasks (some 18 KB), as a number of tasks: of tiny runs 2,000 are kept."""
THREAD_FROM: Final = 2_000
"""Events that are folded in a thread: about five milliseconds of work."""


class _Shared:
    """A view, and the lock under which it is moved on."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.view: RunView | None = None


class RunViews:
    """Views by run number."""

    def __init__(self, hub: RunReading, cache_tasks: int = CACHE_TASKS) -> None:
        self._hub = hub
        self._shared: ByteCache[int, _Shared] = ByteCache(cache_tasks)

    def __len__(self) -> int:
        return len(self._shared)

    async def current(self, run: OpenRun) -> RunView:
        """Return the run as all that is committed tells it."""
        number = run.place.run_no
        shared = self._shared.get(number) or _Shared()
        self._shared.put(number, shared, min(self._shared.limit, VIEW_TASKS + len(run.names.graph)))
        async with shared.lock:
            while segments := await self._hub.read(number, _position(shared.view)):
                if sum(len(segment.events) for segment in segments) < THREAD_FROM:
                    shared.view = _advance(shared.view, segments, run)
                else:
                    shared.view = await asyncio.to_thread(_advance, shared.view, segments, run)
        assert shared.view is not None, "a committed run has a first segment"
        return shared.view


def _position(view: RunView | None) -> int:
    return 0 if view is None else view.run.next_seq - 1


def _advance(view: RunView | None, segments: list[Segment], run: OpenRun) -> RunView:
    view = view or RunView(segments[0], run.names.graph)
    for segment in segments:
        view.add(segment)
    return view
