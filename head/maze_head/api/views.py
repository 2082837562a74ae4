"""The tasks of runs, read from their logs: one view per run that is asked about, brought up to date on each request.

Views are shared, continue where they stopped, and are dropped oldest first; the log has everything they know.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from maze_head.api.encoder import OpenRun
from maze_head.api.services import RunReading
from maze_head.core.fold import RunView
from maze_protocol.events import Segment

__all__ = ["RunViews"]

CACHE_TASKS: Final = 500_000
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
        self._limit = cache_tasks
        self._shared: OrderedDict[int, _Shared] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shared)

    async def current(self, run: OpenRun) -> RunView:
        """Return the run as all that is committed tells it."""
        shared = self._shared.setdefault(run.place.run_no, _Shared())
        self._shared.move_to_end(run.place.run_no)
        async with shared.lock:
            while segments := await self._hub.read(run.place.run_no, _position(shared.view)):
                if sum(len(segment.events) for segment in segments) < THREAD_FROM:
                    shared.view = _advance(shared.view, segments, run)
                else:
                    shared.view = await asyncio.to_thread(_advance, shared.view, segments, run)
        self._forget()
        assert shared.view is not None, "a committed run has a first segment"
        return shared.view

    def _forget(self) -> None:
        while len(self._shared) > 1 and sum(map(_weight, self._shared.values())) > self._limit:
            self._shared.popitem(last=False)


def _position(view: RunView | None) -> int:
    return 0 if view is None else view.run.next_seq - 1


def _advance(view: RunView | None, segments: list[Segment], run: OpenRun) -> RunView:
    view = view or RunView(segments[0], run.names.graph)
    for segment in segments:
        view.add(segment)
    return view


def _weight(shared: _Shared) -> int:
    return 0 if shared.view is None else len(shared.view.run.graph)
