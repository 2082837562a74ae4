"""`File`: a file or a directory that travels as one value.

It is made from a path, or comes from somewhere else: then its content is in a body that this process holds (`Held`), or
still at the head (`maze._remote_file`). Nothing is copied before it is asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from maze._values.container import Body
from maze._values.files import Header, pieces_of, read_header, stream_of, unpack

__all__ = ["File", "Held", "Source"]

_CHUNK: Final = 1 << 20


class Source(Protocol):
    """Where the content of a file is that came from somewhere else."""

    progress: Callable[[int], None] | None

    @property
    def header(self) -> Header:
        """Return what is known of the file."""

    @property
    def size(self) -> int:
        """Return the bytes of its content."""

    def open(self) -> BinaryIO:
        """Return its content for reading."""


class Held:
    """A body that is here."""

    def __init__(self, body: Body) -> None:
        self.header = read_header(body)
        self.size = len(body) - self.header.length
        self._body = body
        self.progress: Callable[[int], None] | None = None

    def open(self) -> BinaryIO:
        """Return its content for reading."""
        return stream_of(self._body, self.header.length)


class File:
    """A file or directory, as an input or an output of a task.

    As an input, `File("data.csv")` carries what is in that file when the task is added, and the task finds a file of
    that name in its working directory. As an output, it carries what the task left in that file.

    Args:
        path: an existing file or directory; a relative one of a task is looked up in its working directory.

    Raises:
        FileNotFoundError: nothing is there.
    """

    __slots__ = ("_path", "_sha256", "_source")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        found = Path(path).absolute()
        found.stat()
        self._path: Path | None = found
        self._source: Source | None = None
        self._sha256 = ""

    @classmethod
    def of(cls, source: Source) -> File:
        """Return a file whose content comes from elsewhere."""
        made = cls.__new__(cls)
        made._path, made._source, made._sha256 = None, source, ""
        return made

    @property
    def name(self) -> str:
        """Return its name, without any directory."""
        return self._path.name if self._source is None and self._path is not None else self._header.name

    @property
    def is_directory(self) -> bool:
        """Say whether it is a directory."""
        return self._path.is_dir() if self._source is None and self._path is not None else self._header.is_directory

    @property
    def size(self) -> int:
        """Return its size in bytes; of a directory, that of all of it while it travels."""
        if self._source is not None:
            return self._source.size
        assert self._path is not None, "what has no source has a path"
        return self._path.stat().st_size

    @property
    def path(self) -> Path:
        """Return where it is on this machine.

        What a task received is in its working directory. What a client received goes to a temporary directory when
        this is asked for, and vanishes with the process; `save` puts it elsewhere.
        """
        if self._path is None:
            import tempfile

            self.place(Path(tempfile.mkdtemp(prefix="maze-file-", dir=_temporary())))
        assert self._path is not None, "it was placed"
        return self._path

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of its content in hex: of a file its bytes, of a directory what travels of it."""
        if not self._sha256:
            import hashlib

            digest = hashlib.sha256()
            if self._source is None:
                for piece in pieces_of(self.path)[1:]:
                    digest.update(piece)
            else:
                with self._source.open() as content:
                    while chunk := content.read(_CHUNK):
                        digest.update(chunk)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def open(self) -> BinaryIO:
        """Return it opened for reading bytes.

        Raises:
            IsADirectoryError: it is a directory.
        """
        if self.is_directory:
            raise IsADirectoryError(f"{self.name!r} is a directory; look into its path")
        if self._path is not None:
            return self._path.open("rb")
        assert self._source is not None, "what has no path has a source"
        return self._source.open()

    def read_bytes(self) -> bytes:
        """Return its content."""
        with self.open() as file:
            return file.read()

    @contextlib.contextmanager
    def watched(self, progress: Callable[[int], None]) -> Iterator[None]:
        """Let `progress` hear how many bytes have come while its content is being fetched."""
        source = self._source
        if source is None:
            yield
            return
        source.progress = progress
        try:
            yield
        finally:
            source.progress = None

    def save_as(self, target: Path) -> None:
        """Save what came from elsewhere, and let `path` tell that place from now on."""
        saved = self.save(target)
        if self._source is not None:
            self._path = saved

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a path, which is there once it is complete.

        Args:
            path: what is to be made. A file that is there is replaced; into a directory that is there it goes under its
                own name.

        Returns:
            Where it is.

        Raises:
            OSError: it cannot be written, or a directory of its name is in the way.
        """
        target = Path(path)
        if target.is_dir():
            target = target / self.name
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            self._write(part)
            part.replace(target)
        except BaseException:
            _remove(part)
            raise
        return target

    def place(self, directory: Path) -> Path:
        """Put what came from elsewhere into a directory, under its name or one like it, and let `path` tell."""
        assert self._source is not None, "what is here has its place"
        target = directory / self.name
        number = 1
        while target.exists():
            number += 1
            target = directory / f"{number}-{self.name}"
        self._write(target)
        self._path = target
        return target

    def __repr__(self) -> str:
        return f"<File {self.name!r}, {self.size:,} bytes>"

    def __reduce__(self) -> str:
        raise TypeError("a File travels as an input or an output of its own, not inside another value")

    @property
    def _header(self) -> Header:
        assert self._source is not None, "what has no source is here"
        return self._source.header

    def _write(self, target: Path) -> None:
        import shutil

        if self._source is not None:
            with self._source.open() as content:
                unpack(content, self._source.header, target)
        elif self.is_directory:
            shutil.copytree(self.path, target, symlinks=True)
        else:
            shutil.copy(self.path, target)


_temporaries: list[str] = []


def _temporary() -> str:
    """Return the directory of this process for what clients look at."""
    if not _temporaries:
        import tempfile

        _temporaries.append(tempfile.mkdtemp(prefix="maze-files-"))
        atexit.register(_remove_temporary, os.getpid())
    return _temporaries[0]


def _remove_temporary(owner: int) -> None:
    import shutil

    if os.getpid() == owner:
        shutil.rmtree(_temporaries[0], ignore_errors=True)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
