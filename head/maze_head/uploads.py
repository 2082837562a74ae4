"""How uploads go that no workflow has as an input: some time each hour, if nobody asked for them for a day.

What is needed the core says, from its workflows; how old a file is the disk says. An upload is touched whenever a
client asks for it or an edit names it, so none goes between its arrival and the edit that needs it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from maze_head.blobdir import BlobDirectory
from maze_head.core.events import ListUploads
from maze_head.driver import Driver

__all__ = ["UploadSweep"]

EVERY: Final = 3_600.0
KEPT: Final = 86_400.0
log = logging.getLogger(__name__)


class UploadSweep:
    """Sweeps the uploads of one head. Made and used on the event loop."""

    def __init__(self, driver: Driver, blobs: BlobDirectory) -> None:
        self._driver = driver
        self._blobs = blobs
        self._next = 0.0
        self._running: asyncio.Task[None] | None = None

    def tick(self, wall: float) -> None:
        """Sweep if it is time to."""
        if wall >= self._next and (self._running is None or self._running.done()):
            self._next = wall + EVERY
            self._running = asyncio.create_task(self.sweep(wall))

    async def sweep(self, wall: float) -> None:
        """Remove what nobody needs."""
        needed: frozenset[bytes] = await self._driver.ask(ListUploads)
        try:
            removed = await asyncio.to_thread(self._blobs.sweep_uploads, needed, wall - KEPT)
        except OSError as error:
            log.warning("uploads could not be swept: %s", error)
            return
        if removed:
            log.info("swept", extra={"uploads": removed})

    async def close(self) -> None:
        """Stop sweeping."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
