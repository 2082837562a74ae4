"""The event stream of a run, over as many connections as it takes.

It asks for what comes after the last event it has seen, and drops what it has seen already, so it survives a lost
connection and a restarted head. It does not know what events mean, save which ones end a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from maze.errors import HeadUnavailableError, NotAMazeHeadError, UnknownRunError

if TYPE_CHECKING:
    import aiohttp

    from maze_protocol.http import ClientEvent

__all__ = ["EventStream"]

RECONNECT_SECONDS: Final = 60.0
READ_AHEAD: Final = 10_000
GATHER_SECONDS: Final = 0.01
_SEALING: Final = ("finish_workflow", "cancel_workflow")


class EventStream:
    """The events of one run from the beginning, each once, in order. Runs on the loop thread.

    A task reads ahead, and a busy stream is handed over at most a hundred times a second: waking another thread costs
    more than decoding an event. The last events are never held back.
    """

    def __init__(self, url: str, run_id: str) -> None:
        self.url = url
        self.run_id = run_id
        self.sealed = False
        self._after = 0
        self._events: list[ClientEvent] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._returned_at = 0.0
        self._reader: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._pause = 0.0

    async def next(self, seconds: float | None = None) -> list[ClientEvent] | None:
        """Return the next events, at least one; an empty list after `seconds`; None once all were returned.

        Raises:
            HeadUnavailableError: the head went away and did not come back for a minute.
            UnknownRunError: the run has been removed.
        """
        if self._reader is None:
            self._reader = asyncio.ensure_future(self._read())
        await _wait(self._news, seconds)
        if self._events:
            await _wait(self._over, self._returned_at + GATHER_SECONDS - time.monotonic())
            self._returned_at = time.monotonic()
            events, self._events = self._events, []
            self._room.set()
            if not self._reader.done():
                self._news.clear()
            return events
        if not self._reader.done():
            return []
        self._reader.result()
        return None

    async def close(self) -> None:
        """Leave the stream; the run does not care."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            # A reader that was cancelled before its first step could not tell a `next` that an interrupt left waiting.
            self._news.set()

    async def _read(self) -> None:
        """Read to the end of the log, over as many connections as it takes."""
        try:
            while not self.sealed:
                socket = await self._connect()
                try:
                    await self._receive(socket)
                finally:
                    await socket.close()
        finally:
            self._news.set()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        import aiohttp

        while not self.sealed:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                # 1000 comes after the last event of the log; anything else is to be resumed.
                self.sealed = socket.close_code == 1000
                return
            self._take(message.data)
            if len(self._events) >= READ_AHEAD:
                self._room.clear()
                await self._room.wait()

    def _take(self, frame: bytes) -> None:
        import msgspec

        from maze_protocol.http import ClientEvent

        self._lost_at, self._pause = None, 0.0
        new = [event for event in msgspec.msgpack.decode(frame, type=list[ClientEvent]) if event.seq > self._after]
        if new:
            self._after = new[-1].seq
            self.sealed = new[-1].type in _SEALING
            self._events += new
            self._news.set()
            if self.sealed:
                self._over.set()

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        import aiohttp

        from maze._http import connection, path

        known, where = connection(self.url), path("runs", self.run_id, "events")
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(1.0, self._pause * 2 or 0.05)
            try:
                return await known.websocket(where, after=str(self._after), format="msgpack")
            except aiohttp.WSServerHandshakeError as error:
                self._refused(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._lost(known.unreachable(error), error)

    def _refused(self, error: aiohttp.WSServerHandshakeError) -> None:
        if error.status in {404, 410}:
            raise UnknownRunError(
                f"no run {self.run_id!r} any more", code="run_not_found", run_id=self.run_id
            ) from error
        if error.status not in {429, 503}:
            raise NotAMazeHeadError(f"{self.url} refuses the event stream: HTTP {error.status}") from error
        self._lost(HeadUnavailableError(f"the head at {self.url} takes no readers: HTTP {error.status}"), error)

    def _lost(self, final: HeadUnavailableError, error: Exception) -> None:
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if now - self._lost_at > RECONNECT_SECONDS:
            raise final from error


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
