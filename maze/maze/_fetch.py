"""The bytes of outputs from the head, however often the connection or the head goes away: on the loop thread.

A download that breaks off is taken up where it stopped (`Range`, `If-Range`); if the head has other bytes there by now,
it begins again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from maze._feed import RECONNECT_SECONDS
from maze.errors import HeadUnavailableError, MazeError, RequestError, ValueExpiredError

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from maze._http import Connection

__all__ = ["ANSWER_SECONDS", "PASSING", "Patience", "Place", "Sink", "fetch", "fetch_bytes"]

READ_BYTES: Final = 1 << 20
ANSWER_SECONDS: Final = 300.0
"""How long the head may be silent: it may have to fetch the value itself."""
PASSING: Final = (408, 425, 429, 502, 503, 504)
"""Answers of a head that may soon give another one."""


class Place(NamedTuple):
    """Which output, of which run, at which head."""

    url: str
    run_id: str
    task_id: str
    key: str

    @property
    def path(self) -> str:
        """Return the path of its bytes."""
        from maze._http import path

        return path("runs", self.run_id, "tasks", self.task_id, "outputs", self.key)


class Patience:
    """Waits a little longer each time, and gives up after some seconds in which nothing moved."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = RECONNECT_SECONDS if seconds is None else seconds
        self._lost_at: float | None = None
        self._pause = 0.0

    def reset(self) -> None:
        """Note that something moved."""
        self._lost_at, self._pause = None, 0.0

    async def wait(self, final: HeadUnavailableError, error: Exception) -> None:
        """Wait, or raise `final`."""
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if now - self._lost_at > self._seconds:
            raise final from error
        await asyncio.sleep(self._pause)
        self._pause = min(1.0, self._pause * 2 or 0.05)


class Sink(Protocol):
    """Where bytes go."""

    async def begin(self, size: int) -> None:
        """Expect so many, from the first on; what came before is not true any more."""

    async def write(self, data: bytes) -> None:
        """Take the next ones."""


class Memory:
    """A sink that keeps them."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def begin(self, size: int) -> None:
        """Start anew."""
        self.data.clear()

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        self.data += data


async def fetch_bytes(place: Place, away: float | None = None) -> bytes:
    """Return all bytes of a value that is not large; `away`: how many seconds the head may say 'not now'."""
    sink = Memory()
    await _Download(place, sink, range(1 << 62), away).run()
    return bytes(sink.data)


async def fetch(place: Place, sink: Sink, span: range | None = None) -> None:
    """Send the bytes of an output into a sink.

    Args:
        place: the output.
        sink: gets all of them, in order, or from the first again after another `begin`.
        span: only these; its end may lie beyond the last one.

    Raises:
        ValueExpiredError: nobody has them any more.
        HeadUnavailableError: the head went away and did not come back for a minute.
        MazeError: the head refuses.
    """
    await _Download(place, sink, span or range(1 << 62)).run()


class _Download:
    """One download, over as many connections as it takes."""

    def __init__(self, place: Place, sink: Sink, span: range, away: float | None = None) -> None:
        from maze._http import connection

        self._known: Connection = connection(place.url)
        self._place = place
        self._sink = sink
        self._first, self._last = span.start, span.stop - 1
        self._done = 0
        self._size = -1
        self._tag = ""
        self._lost, self._away = Patience(), Patience(away)

    async def run(self) -> None:
        import aiohttp

        await self._known.probe()
        while True:
            try:
                if await self._attempt():
                    return
            except (aiohttp.ClientError, TimeoutError) as error:
                if self._done == self._size:
                    return
                await self._lost.wait(self._known.unreachable(error), error)

    async def _attempt(self) -> bool:
        """Read on from where the last attempt stopped; False: try again."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=ANSWER_SECONDS)
        asked = self._known.exchange(
            "GET", self._place.path, headers=self._headers(), timeout=timeout, read_bufsize=READ_BYTES
        )
        async with asked as response:
            if response.status in (200, 206):
                return await self._receive(response)
            error = self._refusal(response.status, await response.read())
            if response.status not in PASSING:
                raise error
        await self._away.wait(HeadUnavailableError(str(error)), error)
        return False

    def _headers(self) -> Mapping[str, str]:
        from maze_protocol.http import MSGPACK_TYPE

        headers = {"Accept": MSGPACK_TYPE}
        if self._first or self._done or self._last < 1 << 61:
            headers["Range"] = f"bytes={self._first + self._done}-{self._last}"
        if self._tag:
            headers["If-Range"] = self._tag
        return headers

    async def _receive(self, response: ClientResponse) -> bool:
        if response.status == 200 and self._first:
            self._tag, self._done = "", 0  # other bytes than those of before: all that was wanted of them, anew
            return False
        if not self._done or response.status == 200:
            self._done, self._size = 0, response.content_length or 0
            self._tag = response.headers.get("ETag", "")
            await self._sink.begin(self._size)
        async for data in response.content.iter_any():
            await self._sink.write(data)
            self._done += len(data)
            self._lost.reset()
            self._away.reset()
        return True

    def _refusal(self, status: int, answer: bytes) -> MazeError:
        from maze._remote import no_run

        error = self._known.refusal(status, answer)
        if not isinstance(error, RequestError):
            return error
        if error.code == "value_expired":
            return ValueExpiredError(
                f"{self._place.key!r} of {self._place.task_id}: {error.message}",
                code=error.code, hint=error.hint, run_id=self._place.run_id, task_id=self._place.task_id,
            )  # fmt: skip
        gone = error.code in ("unknown_run", "run_expired", "run_removed")
        return no_run(error, self._place.run_id) if gone else error
