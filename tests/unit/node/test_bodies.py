"""Bodies as descriptors: written in any number of pieces, sealed, mapped or read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from maze_node import bodies
from maze_node.bodies import MAPPED, is_in_memory, new_memory, read_body, write_body


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("count", [1, 2, bodies.MOST_PIECES * 2 + 1])
def test_pieces_are_written_one_after_the_other(on_disk: bool, count: int, tmp_path: Path) -> None:
    pieces: list[bytes | memoryview] = [bytes([number % 251]) * (number % 7) for number in range(count)]
    pieces[0] = memoryview(b"first")
    whole = b"".join(pieces)
    descriptor, where = write_body(pieces, len(whole), str(tmp_path), on_disk=on_disk)
    assert where is on_disk
    assert is_in_memory(descriptor) is not on_disk
    assert bytes(read_body(descriptor, 0, len(whole))) == whole


def test_what_is_large_is_mapped_and_may_not_be_written(tmp_path: Path) -> None:
    body = os.urandom(MAPPED)
    open_before = len(os.listdir("/proc/self/fd"))
    view = read_body(write_body([body], len(body), str(tmp_path), on_disk=False)[0], 0, len(body))
    assert view.readonly
    assert view == body
    assert type(view.obj).__name__ == "mmap"
    part = view[100:200]
    del view
    assert bytes(part) == body[100:200], "it lives as long as somebody has a part of it"
    del part
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_small_ones_are_read_from_anywhere_in_a_file(tmp_path: Path) -> None:
    descriptor, _ = write_body([b"0123456789"], 10, str(tmp_path), on_disk=True)
    assert bytes(read_body(os.dup(descriptor), 3, 4)) == b"3456"
    with pytest.raises(OSError, match="ends early"):
        read_body(descriptor, 8, 4)


def test_without_memory_it_becomes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="full"):
        new_memory(10)
    descriptor, on_disk = write_body([b"x" * 10], 10, str(tmp_path), on_disk=False)
    assert on_disk
    os.close(descriptor)


def test_without_a_disk_it_is_an_error_and_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        write_body([b"x"], 1, str(tmp_path / "nowhere"), on_disk=True)
    assert len(os.listdir("/proc/self/fd")) == before
