"""The blob directory: what is kept is found, what is unfinished or of nobody goes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest

from maze_head import blobdir
from maze_head.blobdir import BlobDirectory
from maze_head.blobfile import BlobUnwritable, NoRoomForBlob


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    directory = BlobDirectory(tmp_path, sync=True)
    directory.prepare(())
    return directory


def _keep(blobs: BlobDirectory, run_no: int, data: bytes = b"abc") -> Path:
    incoming = blobs.begin_output(run_no, 4, 1, len(data))
    os.pwrite(incoming.fd, data, 0)
    return incoming.commit()


def _names(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path / "blobs")) for path in (tmp_path / "blobs").rglob("*"))


def test_an_output_is_found_once_it_is_kept(blobs: BlobDirectory) -> None:
    assert blobs.open_output(7, 4, 1) is None
    assert blobs.find_output(7, 4, 1) is None
    assert _keep(blobs, 7) == blobs.find_output(7, 4, 1)
    with blobs.open_output(7, 4, 1) as file:
        assert file.read() == b"abc"


def test_outputs_of_a_removed_run_go_and_those_of_others_stay(blobs: BlobDirectory, tmp_path: Path) -> None:
    _keep(blobs, 7)
    _keep(blobs, 8)
    with blobs.open_output(7, 4, 1) as file:
        blobs.drop_runs((7, 9))
        assert file.read() == b"abc"
    assert _names(tmp_path) == ["8", "8/4-1", "values"]


def test_the_start_removes_what_is_unfinished_and_what_is_of_no_run(blobs: BlobDirectory, tmp_path: Path) -> None:
    _keep(blobs, 7)
    _keep(blobs, 8)
    os.close(blobs.begin_output(7, 5, 0, 3).fd)
    blobs.begin_upload(bytes(32), 3).pause()
    (tmp_path / "blobs" / "stray").write_text("")
    BlobDirectory(tmp_path).prepare({7})
    assert _names(tmp_path) == ["7", "7/4-1", "values"]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file is in the way")
    with pytest.raises(BlobUnwritable):
        BlobDirectory(tmp_path).prepare(())


def test_a_run_whose_directory_cannot_be_made_is_told(blobs: BlobDirectory, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "values").rmdir()
    (tmp_path / "blobs").rmdir()
    with pytest.raises(BlobUnwritable):
        blobs.begin_output(7, 4, 1, 3)


def test_nothing_is_begun_that_the_journal_would_miss(tmp_path: Path) -> None:
    full = BlobDirectory(tmp_path, reserve=1 << 60)
    full.prepare(())
    with pytest.raises(NoRoomForBlob, match="no room for 3 bytes"):
        full.begin_output(7, 4, 1, 3)
    with pytest.raises(NoRoomForBlob, match="free some space there"):
        full.begin_upload(bytes(32), 3)
    assert _names(tmp_path) == ["values"]


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def test_an_upload_goes_on_where_it_was_paused(blobs: BlobDirectory) -> None:
    first = blobs.begin_upload(_hash(b"hello"), 5)
    first.write(b"he")
    first.pause()
    second = blobs.begin_upload(_hash(b"hello"), 5)
    assert second.offset == 2
    second.write(b"llo")
    second.finish()
    with blobs.open_upload(_hash(b"hello")) as file:
        assert file.read() == b"hello"


def test_two_clients_may_upload_the_same_at_the_same_time(blobs: BlobDirectory, tmp_path: Path) -> None:
    uploads = [blobs.begin_upload(_hash(b"hello"), 5) for _ in range(2)]
    uploads[0].write(b"he")
    assert uploads[1].offset == 0
    for upload in uploads:
        upload.write(b"hello"[upload.offset :])
    assert {upload.finish() for upload in uploads} == {tmp_path / "blobs" / "values" / _hash(b"hello").hex()}


def test_of_two_that_paused_the_last_is_the_one_to_go_on_with(blobs: BlobDirectory, tmp_path: Path) -> None:
    uploads = [blobs.begin_upload(_hash(b"hello"), 5) for _ in range(2)]
    for upload in uploads:
        upload.pause()
    assert len(list((tmp_path / "blobs" / "values").iterdir())) == 1
    assert blobs.begin_upload(_hash(b"hello"), 5) is uploads[1]


def test_one_of_another_size_begins_anew(blobs: BlobDirectory) -> None:
    first = blobs.begin_upload(_hash(b"hello"), 5)
    first.write(b"he")
    first.pause()
    assert blobs.begin_upload(_hash(b"hello"), 6).offset == 0


def test_one_that_nobody_goes_on_with_is_removed(
    blobs: BlobDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.begin_upload(bytes(32), 3).pause()
    monkeypatch.setattr(blobdir, "ABANDONED", -1.0)
    blobs.begin_upload(_hash(b"hello"), 5).abort()
    assert _names(tmp_path) == ["values"]


def _upload(blobs: BlobDirectory, data: bytes) -> bytes:
    hash_ = blake2b(data, digest_size=32).digest()
    upload = blobs.begin_upload(hash_, len(data))
    upload.write(data)
    upload.finish()
    return hash_


def test_how_much_of_an_upload_is_here(blobs: BlobDirectory) -> None:
    hash_ = blake2b(b"abcdef", digest_size=32).digest()
    assert (blobs.touch_upload(hash_), blobs.paused_offset(hash_)) == (None, None)
    upload = blobs.begin_upload(hash_, 6)
    upload.write(b"abc")
    assert blobs.paused_offset(hash_) is None, "somebody writes it"
    upload.pause()
    assert (blobs.touch_upload(hash_), blobs.paused_offset(hash_)) == (None, 3)
    upload = blobs.begin_upload(hash_, 6)
    upload.write(b"def")
    upload.finish()
    assert (blobs.touch_upload(hash_), blobs.paused_offset(hash_)) == (6, None)


def test_uploads_go_that_are_old_and_not_needed(blobs: BlobDirectory, tmp_path: Path) -> None:
    old, needed, touched, young = (_upload(blobs, data) for data in (b"old", b"needed", b"touched", b"young"))
    for hash_ in (old, needed, touched):
        os.utime(tmp_path / "blobs" / "values" / hash_.hex(), (1_000, 1_000))
    blobs.touch_upload(touched)
    paused = blobs.begin_upload(b"p" * 32, 5)
    paused.pause()
    assert blobs.sweep_uploads({needed}, 2_000.0) == 1
    left = [blobs.touch_upload(hash_) for hash_ in (old, needed, touched, young)]
    assert left == [None, 6, 7, 5]
    assert blobs.paused_offset(b"p" * 32) == 0
    paused.abort()


@pytest.mark.parametrize("sync", [False, True])
def test_an_output_is_linked_for_another_run_once(tmp_path: Path, sync: bool) -> None:
    blobs = BlobDirectory(tmp_path, sync=sync)
    blobs.prepare(())
    incoming = blobs.begin_output(1, 2, 0, 3)
    os.pwrite(incoming.fd, b"abc", 0)
    incoming.commit()
    linked = [blobs.link_output(1, 9, 2, 0) for _ in range(2)]
    assert linked == [tmp_path / "blobs/9/2-0"] * 2
    blobs.drop_runs([1])
    assert (tmp_path / "blobs/9/2-0").read_bytes() == b"abc"
    assert blobs.link_output(1, 9, 3, 0) is None


def test_a_disk_without_links_is_as_if_the_output_were_not_there(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> Callable[..., None]:
        def link(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return link

    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    assert blobs.link_output(1, 9, 2, 0) is None
    monkeypatch.setattr(os, "link", refuse(errno.EIO))
    with pytest.raises(BlobUnwritable):
        blobs.link_output(1, 9, 2, 0)
