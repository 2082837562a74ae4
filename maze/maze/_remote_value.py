"""A large value at the client: what it is, and the way to its bytes.

`get` downloads into memory of its own and decodes in the caller's thread; arrays and buffers are views of that memory,
so the value is there once. What was got is remembered as long as somebody holds it (and if its class allows that).
"""

from __future__ import annotations

import mmap
import os
import pickle
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from maze._fetch import Memory, Place, fetch
from maze._handles import Reference
from maze._loop import bridge, call
from maze.errors import UnreadableValueError

__all__ = ["RemoteValue", "size_text"]

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes of all."""
WRITE_BYTES: Final = 1 << 20
LONGEST_HEADER: Final = 5
_NOTHING: Final = object()


class RemoteValue(Reference):
    """A value of a run that is too large to come with its message; it stays where it is until it is asked for.

    Attributes:
        size: its encoded size in bytes.
        type: the qualified name of its class, as far as it is known: `numpy.ndarray`.
        run_id: the run.
        task_id: the task that returned it.
        key: the name under which it did.
    """

    __slots__ = ("__weakref__", "_codec", "_place", "_value", "size", "type")

    def __init__(self, place: Place, codec: int, size: int, type_name: str) -> None:
        self.size = size
        self.type = type_name
        self._place = place
        self._codec = codec
        self._value: weakref.ref[Any] | None = None

    @property
    def run_id(self) -> str:
        """Return the run."""
        return self._place.run_id

    @property
    def task_id(self) -> str:
        """Return the task that returned it."""
        return self._place.task_id

    @property
    def key(self) -> str:
        """Return the name under which the task returned it."""
        return self._place.key

    def get(self) -> Any:
        """Fetch the value and return it. It survives lost connections and restarts of the head.

        Raises:
            ValueExpiredError: nobody holds it any more.
            UnreadableValueError: a `ValueError`: it cannot be decoded here.
            HeadUnavailableError: the head went away and did not come back.
        """
        known = self._known()
        return self._decoded(call(self._download())) if known is _NOTHING else known

    async def aget(self) -> Any:
        """Fetch the value and return it, for async code; see `get`."""
        known = self._known()
        return self._decoded(await bridge(self._download())) if known is _NOTHING else known

    def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write the value to a file, which is there once it is complete.

        `bytes` are written as they are and a `str` as UTF-8, however large they are; any other value as a pickle, for
        `pickle.load`, by way of the memory of this process.

        Args:
            path: the file; what was there is replaced.
            progress: called with the bytes fetched so far and those of all, on another thread.

        Returns:
            The path.

        Raises:
            OSError: the file cannot be written.
            ValueExpiredError, UnreadableValueError, HeadUnavailableError: as `get`.
        """
        target = Path(path)
        with _Whole(target) as file:
            if not call(self._copy(file, progress)):
                pickle.dump(self._decoded(call(self._download(progress))), file, 5)
        return target

    async def asave(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write the value to a file, for async code; see `save`."""
        target = Path(path)
        with _Whole(target) as file:
            if not await bridge(self._copy(file, progress)):
                pickle.dump(self._decoded(await bridge(self._download(progress))), file, 5)
        return target

    def __repr__(self) -> str:
        return f"<{size_text(self.size)} {self.type or 'value'}, fetched by .get()>"

    def __eq__(self, other: object) -> bool:
        return self._place == other._place if isinstance(other, RemoteValue) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._place)

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteValue, (self._place, self._codec, self.size, self.type)

    def _known(self) -> Any:
        value = _NOTHING if self._value is None else self._value()
        return _NOTHING if value is None else value

    async def _download(self, progress: Progress | None = None) -> memoryview:
        sink = _Mapped(progress)
        await fetch(self._place, sink)
        return sink.view

    async def _copy(self, file: BinaryIO, progress: Progress | None) -> bool:
        """Write the bytes of a value that is bytes or text; False for any other."""
        from maze_protocol.values import MSGPACK

        if self._codec != MSGPACK:
            return False
        first = Memory()
        await fetch(self._place, first, range(LONGEST_HEADER))
        header = _header_of(first.data[0])
        if 0 < header < self.size:
            await fetch(self._place, _File(file, progress), range(header, 1 << 62))
        return header > 0

    def _decoded(self, body: memoryview) -> Any:
        from maze._results import allows_pickle
        from maze._values import ValueDecodeError, decode

        try:
            value = decode(self._codec, body, allow_pickle=allows_pickle(), copy=False)
        except ValueDecodeError as error:
            raise UnreadableValueError(
                f"{self.key!r} of {self.task_id} cannot be read here: {error.reason}",
                code="unreadable_value", run_id=self.run_id, task_id=self.task_id,
            ) from error  # fmt: skip
        with suppress(TypeError):  # lists, texts and some others cannot be referred to weakly
            self._value = weakref.ref(value)
        return value


def size_text(size: int) -> str:
    """Return a size as people say it: `100 MiB`, `1.5 GiB`."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    text = f"{amount:.0f}" if amount >= 100 or unit == "B" else f"{amount:.1f}".removesuffix(".0")
    return f"{text} {unit}"


def _header_of(first: int) -> int:
    """Return the length of the header of a MessagePack binary or text by its first byte; 0 if it is neither."""
    if 0xA0 <= first <= 0xBF:
        return 1
    return {0xC4: 2, 0xC5: 3, 0xC6: 5, 0xD9: 2, 0xDA: 3, 0xDB: 5}.get(first, 0)


class _Mapped:
    """A sink of memory that the value will live in, aligned to pages and given back with it."""

    def __init__(self, progress: Progress | None) -> None:
        self.view = memoryview(b"")
        self._progress = progress
        self._offset = 0

    async def begin(self, size: int) -> None:
        """Get the memory."""
        self.view = memoryview(mmap.mmap(-1, size))
        self._offset = 0

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        stop = self._offset + len(data)
        self.view[self._offset : stop] = data
        self._offset = stop
        if self._progress is not None:
            self._progress(stop, len(self.view))


class _File:
    """A sink that writes a file, not byte by byte."""

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        self._size = 0

    async def begin(self, size: int) -> None:
        """Start anew."""
        self._file.seek(0)
        self._file.truncate()
        self._size = size

    async def write(self, data: bytes) -> None:
        """Take bytes; the file gathers them."""
        self._file.write(data)
        if self._progress is not None:
            self._progress(self._file.tell(), self._size)


class _Whole:
    """A file that gets its name when everything is in it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f"{target.name}.{os.urandom(4).hex()}.part")

    def __enter__(self) -> BinaryIO:
        self._file = self._part.open("wb", buffering=WRITE_BYTES)
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._file.close()
            if kind is None:
                self._part.replace(self._target)
        finally:
            self._part.unlink(missing_ok=True)
