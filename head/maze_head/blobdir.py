"""The blob directory: the bytes of objects that runs keep, and of what clients upload, as plain files.

    <state directory>/blobs/<run_no>/<task_no>-<output>    outputs, for as long as their run is kept
    <state directory>/blobs/values/<hash, hex>             uploads

At the start everything unfinished goes, and every run that the journal does not know. Nothing is begun that would leave
the journal less space than `reserve`: outputs can wait for room, commits cannot. Safe to call from several threads;
every call may wait for the disk (blobfile.py tells how files are written).
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Container, Iterable
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from maze_head.blobfile import PART, Incoming, Upload, blob_error, no_room, sync_directory

__all__ = ["DIRECTORY", "BlobDirectory"]

DIRECTORY: Final = "blobs"
VALUES: Final = "values"
_NO_LINK: Final = (errno.ENOENT, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""It is not there, or this file system has no (more) links of it."""
ABANDONED: Final = 3600.0
"""Seconds after which an upload that nobody goes on with is removed."""


class BlobDirectory:
    """The blob directory of one state directory."""

    def __init__(self, state_dir: Path, *, sync: bool = False, reserve: int = 0) -> None:
        """Name it.

        Args:
            state_dir: of the head.
            sync: what is kept must outlast a power cut.
            reserve: bytes of the disk that are left free.
        """
        self._root = state_dir / DIRECTORY
        self._values = self._root / VALUES
        self._sync = sync
        self._reserve = reserve
        self._lock = Lock()
        self._paused: dict[bytes, tuple[Upload, float]] = {}
        self._uploads = 0

    def prepare(self, known: Container[int]) -> None:
        """Make it, and remove what was never finished and what belongs to runs that are not among `known`.

        Raises:
            BlobUnwritable: it cannot be made or tidied.
        """
        try:
            self._values.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in list(self._root.iterdir()):
                if path != self._values and not (path.name.isdecimal() and int(path.name) in known):
                    _remove(path)
            for part in self._root.glob(f"*/*{PART}"):
                part.unlink(missing_ok=True)
        except OSError as error:
            raise blob_error(error, self._root, 0) from error

    def open_output(self, run_no: int, task_no: int, output: int) -> BinaryIO | None:
        """Open an output for reading; None if it is not here. It stays readable though its run be removed.

        Raises:
            BlobUnwritable: the disk refuses.
        """
        return _open(self._path_of(run_no, task_no, output))

    def find_output(self, run_no: int, task_no: int, output: int) -> Path | None:
        """Return where an output is, if it is here.

        Raises:
            BlobUnwritable: the disk refuses.
        """
        path = self._path_of(run_no, task_no, output)
        try:
            return path if path.exists() else None
        except OSError as error:
            raise blob_error(error, path, 0) from error

    def begin_output(self, run_no: int, task_no: int, output: int, size: int) -> Incoming:
        """Begin to write an output, which nobody else writes at the time.

        Raises:
            NoRoomForBlob, BlobUnwritable: the disk does not take it.
        """
        path = self._path_of(run_no, task_no, output)
        self._check_room(size)
        try:
            self._make_directory(path.parent)
        except OSError as error:
            raise blob_error(error, path, size) from error
        return Incoming(path, path.with_name(path.name + PART), size, sync=self._sync)

    def link_output(self, like: int, run_no: int, task_no: int, output: int) -> Path | None:
        """Give a run the same output as another one has, and return it; None if that has none, or no links are made.

        Raises:
            BlobUnwritable: the disk refuses.
        """
        path = self._path_of(run_no, task_no, output)
        try:
            self._make_directory(path.parent)
            os.link(self._path_of(like, task_no, output), path)
            if self._sync:
                sync_directory(path.parent)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno in _NO_LINK:
                return None
            raise blob_error(error, path, 0) from error
        return path

    def open_upload(self, hash_: bytes) -> BinaryIO | None:
        """Open an upload for reading; None if it is not here.

        Raises:
            BlobUnwritable: the disk refuses.
        """
        return _open(self._values / hash_.hex())

    def touch_upload(self, hash_: bytes) -> int | None:
        """Return the size of an upload and count its age from now; None if it is not here."""
        path = self._values / hash_.hex()
        try:
            os.utime(path)
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def paused_offset(self, hash_: bytes) -> int | None:
        """Return how much is here of an upload that was paused; None if nothing is."""
        with self._lock:
            paused = self._paused.get(hash_)
        return None if paused is None else paused[0].offset

    def sweep_uploads(self, needed: Container[bytes], before: float) -> int:
        """Remove uploads that nobody needs and that were last touched before a wall-clock time; return how many."""
        self._drop_abandoned()
        old = [
            path for path in self._values.iterdir() if not path.name.endswith(PART) and path.stat().st_mtime < before
        ]
        unneeded = [path for path in old if bytes.fromhex(path.name) not in needed]
        for path in unneeded:
            path.unlink(missing_ok=True)
        return len(unneeded)

    def begin_upload(self, hash_: bytes, size: int) -> Upload:
        """Begin an upload, or go on at its `offset` with one of the same content that was paused.

        Raises:
            NoRoomForBlob, BlobUnwritable: the disk does not take it.
        """
        self._drop_abandoned()
        with self._lock:
            paused = self._paused.pop(hash_, None)
            self._uploads += 1
            number = self._uploads
        if paused is not None and paused[0].size == size:
            return paused[0]
        if paused is not None:
            paused[0].abort()
        self._check_room(size)
        path = self._values / hash_.hex()
        incoming = Incoming(path, path.with_name(f"{path.name}.{number}{PART}"), size, sync=self._sync)
        return Upload(incoming, hash_, self._release)

    def drop_runs(self, run_nos: Iterable[int]) -> None:
        """Remove all that was kept of these runs."""
        for run_no in run_nos:
            _remove(self._root / str(run_no))

    def _make_directory(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700)
            if self._sync:
                sync_directory(self._root)
        except FileExistsError:
            pass

    def _path_of(self, run_no: int, task_no: int, output: int) -> Path:
        return self._root / str(run_no) / f"{task_no}-{output}"

    def _check_room(self, size: int) -> None:
        try:
            facts = os.statvfs(self._root)
        except OSError as error:
            raise blob_error(error, self._root, size) from error
        if facts.f_bavail * facts.f_frsize < size + self._reserve:
            raise no_room(self._root, size)

    def _release(self, upload: Upload, paused: bool) -> None:
        """Take note that nobody writes an upload now; the last one that was paused is the one to go on with."""
        with self._lock:
            other = self._paused.get(upload.hash)
            if paused:
                self._paused[upload.hash] = upload, time.monotonic()
            elif other is not None and other[0] is upload:
                del self._paused[upload.hash]
        if paused and other is not None:
            other[0].abort()

    def _drop_abandoned(self) -> None:
        too_old = time.monotonic() - ABANDONED
        with self._lock:
            old = [hash_ for hash_, (_, since) in self._paused.items() if since < too_old]
            abandoned = [self._paused.pop(hash_)[0] for hash_ in old]
        for upload in abandoned:
            upload.abort()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise blob_error(error, path, 0) from error


def _remove(path: Path) -> None:
    """Remove a file or a directory; what cannot be removed now goes at the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
