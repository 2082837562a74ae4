"""Large literals on their way to the head: by their content, once, before the tasks that name them. On the loop thread.

The head says how much it has; the rest is sent, from there on again if the connection breaks. A literal that is a value
of another run is fetched into a file first, for its hash must be known before a byte of it is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

from maze._fetch import ANSWER_SECONDS, PASSING, Patience, fetch
from maze._graph import AddTask, Literal, Op, SaveTask
from maze.errors import HeadUnavailableError, NotAMazeHeadError

if TYPE_CHECKING:
    from maze._http import Connection

__all__ = ["bring", "literals_of"]

AT_A_TIME: Final = 4
PIECE: Final = 1 << 18
HASH_BYTES: Final = 32
Result = TypeVar("Result")


def literals_of(ops: Iterable[Op]) -> list[Literal]:
    """Return the large literals of operations that the head may lack, each once."""
    found: dict[int, Literal] = {}
    for op in ops:
        if isinstance(op, (AddTask, SaveTask)):
            for spec in op.task.inputs.values():
                if not isinstance(spec, bytes) and spec.literal is not None and not spec.literal.sent:
                    found[id(spec.literal)] = spec.literal
    return list(found.values())


async def bring(url: str, literals: Iterable[Literal]) -> None:
    """Send literals to a head.

    Raises:
        HeadUnavailableError: the head went away and did not come back.
        ValueExpiredError: one is a value of another run, and gone.
        MazeError: the head refuses.
    """
    gate = asyncio.Semaphore(AT_A_TIME)

    async def one(literal: Literal) -> None:
        async with gate:
            await _bring(url, literal)

    await asyncio.gather(*map(one, literals))


async def _bring(url: str, literal: Literal) -> None:
    with _open(literal) as content:
        if literal.source is not None:
            await fetch(literal.source._place, content)
            literal.size = content.size
        literal.digest = literal.digest or await _off_loop(content.digest)
        await _Sending(url, literal.digest, content).run()
    # What others of the same content need from now on is its hash.
    literal.sent, literal.body = True, b""


def _open(literal: Literal) -> _Content:
    return _Content(literal.body) if literal.source is None else _Fetched()


async def _off_loop(work: Callable[[], Result]) -> Result:
    """Work in a thread, or right here once the interpreter exits and starts none any more."""
    try:
        return await asyncio.to_thread(work)
    except RuntimeError:
        return work()


class _Content:
    """The bytes of a literal in memory."""

    def __init__(self, body: bytes | memoryview) -> None:
        self.size = len(body)
        self._view = memoryview(body)

    def __enter__(self) -> _Content:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._view.release()

    def digest(self) -> str:
        """Return the hash of all of it."""
        return hashlib.blake2b(self._view, digest_size=HASH_BYTES).hexdigest()

    def read(self, offset: int) -> bytes | memoryview:
        """Return the next piece."""
        return self._view[offset : offset + PIECE]

    async def begin(self, size: int) -> None:
        """Take no bytes from elsewhere."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Take no bytes from elsewhere."""
        raise NotImplementedError


class _Fetched(_Content):
    """The bytes of a value of another run, in a file without a name."""

    def __init__(self) -> None:
        super().__init__(b"")
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by __exit__

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    async def begin(self, size: int) -> None:
        """Start anew."""
        self._file.seek(0)
        self._file.truncate()
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        self._file.write(data)
        self.size += len(data)

    def digest(self) -> str:
        """Return the hash of all of it."""
        self._file.seek(0)
        hasher = hashlib.blake2b(digest_size=HASH_BYTES)
        while data := self._file.read(PIECE):
            hasher.update(data)
        return hasher.hexdigest()

    def read(self, offset: int) -> bytes:
        """Return the next piece."""
        return os.pread(self._file.fileno(), PIECE, offset)


class _Sending:
    """One upload, over as many connections as it takes."""

    def __init__(self, url: str, digest: str, content: _Content) -> None:
        from maze._http import connection, path

        self._known: Connection = connection(url)
        self._where = path("values", digest)
        self._content = content
        self._patience = Patience()
        self._offset = 0

    async def run(self) -> None:
        """Send what the head lacks."""
        import aiohttp

        await self._known.probe()
        while True:
            try:
                if await self._has_all() or await self._send():
                    return
            except (aiohttp.ClientError, TimeoutError) as error:
                await self._patience.wait(self._known.unreachable(error), error)

    async def _has_all(self) -> bool:
        """Ask how much the head has."""
        async with self._request("HEAD") as response:
            if response.status not in (200, 404):
                return False  # sending will tell why
            before, self._offset = self._offset, int(response.headers.get("Upload-Offset", 0))
            if self._offset > before:
                self._patience.reset()
            return str(response.headers.get("Upload-Complete")) == "true"

    async def _send(self) -> bool:
        """Send from there on; False if the head says 'not now' or 'not from there'."""
        length = {"Content-Length": str(self._content.size - self._offset)}
        start = {"offset": str(self._offset)}
        async with self._request("PUT", length, data=self._pieces(), params=start) as response:
            if response.status == 201:
                return True
            error = self._known.refusal(response.status, await response.read())
        if isinstance(error, NotAMazeHeadError) or response.status not in (*PASSING, 409, 507):
            raise error
        await self._patience.wait(HeadUnavailableError(str(error)), error)
        return False

    async def _pieces(self) -> AsyncIterator[bytes | memoryview]:
        offset = self._offset
        while offset < self._content.size:
            piece = self._content.read(offset)
            yield piece
            offset += len(piece)

    def _request(self, method: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        import aiohttp

        from maze_protocol.http import MSGPACK_TYPE

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=ANSWER_SECONDS)
        asked = {"Accept": MSGPACK_TYPE, **(headers or {})}
        return self._known.exchange(method, self._where, headers=asked, timeout=timeout, **options)
