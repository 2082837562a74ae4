"""Files of the blob directory while they are written: whole under their name, or not there."""

from __future__ import annotations

import errno
import os
from hashlib import blake2b
from pathlib import Path

import pytest

from maze_head.blobdir import BlobDirectory
from maze_head.blobfile import BlobUnwritable, Incoming, NoRoomForBlob, Upload, WrongUpload, blob_error


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path, sync: bool) -> None:
    incoming = Incoming(tmp_path / "3-0", tmp_path / "3-0.part", 6, sync=sync)
    os.pwrite(incoming.fd, b"def", 3)
    os.pwrite(incoming.fd, b"abc", 0)
    assert not (tmp_path / "3-0").exists()
    assert incoming.commit().read_bytes() == b"abcdef"
    assert [path.name for path in tmp_path.iterdir()] == ["3-0"]


def test_given_up_it_leaves_nothing(tmp_path: Path) -> None:
    Incoming(tmp_path / "3-0", tmp_path / "3-0.part", 6, sync=False).abort()
    assert not list(tmp_path.iterdir())


def test_its_space_is_taken_before_the_first_byte(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path / "a", tmp_path / "a.part", 1 << 20, sync=False)
    assert os.fstat(incoming.fd).st_blocks * 512 >= 1 << 20
    incoming.abort()


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BlobUnwritable, match="cannot use"):
        Incoming(tmp_path / "no" / "a", tmp_path / "no" / "a.part", 1, sync=False)


def test_a_name_that_cannot_be_given_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    incoming = Incoming(tmp_path / "a", tmp_path / "a.part", 1, sync=False)
    with pytest.raises(BlobUnwritable):
        incoming.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NoRoomForBlob), (errno.EDQUOT, NoRoomForBlob), (errno.EIO, BlobUnwritable)]
)
def test_a_full_disk_is_told_apart(number: int, kind: type) -> None:
    assert type(blob_error(OSError(number, os.strerror(number)), Path("/x/y"), 5)) is kind


def _upload(directory: Path, data: bytes) -> Upload:
    blobs = BlobDirectory(directory)
    blobs.prepare(())
    return blobs.begin_upload(_hash(data), len(data))


def test_an_upload_that_is_what_it_was_named_is_kept(tmp_path: Path) -> None:
    upload = _upload(tmp_path, b"hello")
    upload.write(b"he")
    upload.write(b"llo")
    assert upload.offset == 5
    assert upload.finish() == tmp_path / "blobs" / "values" / _hash(b"hello").hex()


@pytest.mark.parametrize("data", [b"hell", b"hallo", b""])
def test_an_upload_of_other_bytes_is_refused(tmp_path: Path, data: bytes) -> None:
    upload = _upload(tmp_path, b"hello")
    upload.write(data)
    with pytest.raises(WrongUpload):
        upload.finish()
    assert not list((tmp_path / "blobs" / "values").iterdir())


def test_no_upload_writes_more_than_it_announced(tmp_path: Path) -> None:
    upload = _upload(tmp_path, b"hello")
    with pytest.raises(WrongUpload, match="more than the 5 bytes"):
        upload.write(b"hello!")
    upload.abort()
