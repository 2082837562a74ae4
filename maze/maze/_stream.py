"""The events of a run from WebSockets, as many as it takes.

It asks for what comes after the last event it has seen, and drops what it has seen already, so it survives a lost
connection, being cut off for slowness (4408), and a restarted head. Resuming begins with the last event itself: if
another one stands there, a power cut took the end of the log, and the reader is told instead of misled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from maze._feed import EventFeed
from maze.errors import HeadUnavailableError, NotAMazeHeadError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["EventStream"]


class EventStream(EventFeed):
    """The events of one run after a number, each once, in order. Runs on the loop thread."""

    def __init__(self, url: str, run_id: str, after: int = 0) -> None:
        super().__init__(url, run_id, after)
        self._epoch = 0
        """The epoch that committed the last event that was read; 0 if none was."""
        self._pause = 0.0

    async def _read(self) -> None:
        while not self.sealed:
            socket = await self._connect()
            self._lost_at = None
            try:
                await self._receive(socket)
            finally:
                await socket.close()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        import aiohttp

        while not self.sealed:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                # 1000 comes after the last event of the log; anything else is to be resumed.
                self.sealed = socket.close_code == 1000
                return
            self._take(message.data)
            await self._make_room()

    def _take(self, frame: bytes) -> None:
        import msgspec

        from maze_protocol.events import SEALING_NAMES
        from maze_protocol.http import ClientEvent

        self._pause = 0.0
        new = []
        for event in msgspec.msgpack.decode(frame, type=list[ClientEvent]):
            if event.seq > self._after:
                new.append(event)
            elif event.seq == self._after and self._epoch not in (0, event.epoch):
                raise self._rewritten(f"another event {event.seq} stands there")
        if new:
            self._epoch = new[-1].epoch
            self._put(new, last=new[-1].type in SEALING_NAMES)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        import aiohttp

        from maze._http import connection, path

        known, where = connection(self.url), path("runs", self.run_id, "events")
        after = self._after - bool(self._epoch)
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(1.0, self._pause * 2 or 0.05)
            try:
                return await known.websocket(where, after=str(after), format="msgpack")
            except aiohttp.WSServerHandshakeError as error:
                self._refused(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._lost(known.unreachable(error), error)

    def _refused(self, error: aiohttp.WSServerHandshakeError) -> None:
        if error.status in {404, 410}:
            raise self._removed() from error
        if error.status not in {429, 503}:
            raise NotAMazeHeadError(f"{self.url} refuses the event stream: HTTP {error.status}") from error
        self._lost(HeadUnavailableError(f"the head at {self.url} takes no readers: HTTP {error.status}"), error)
