"""Bytes on disk, in files that nobody sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maze_node.spool import Spool


def test_what_is_put_is_got_and_leaves_no_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment=100)
    data = {number: bytes([number]) * 40 for number in range(1, 9)}
    for number, each in data.items():
        spool.put(number, each)
    assert {number: spool.get(number) for number in reversed(data)} == data
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_space_is_given_back_when_nothing_of_a_file_is_wanted(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool(tmp_path, segment=100)
    for number in range(9):
        spool.put(number, b"x" * 50)
    assert len(os.listdir("/proc/self/fd")) == before + 5
    for number in (0, 1, 2, 99):
        spool.drop(number)
    assert len(os.listdir("/proc/self/fd")) == before + 4
    assert spool.get(3) == b"x" * 50
    for number in range(3, 9):
        spool.drop(number)
    assert len(os.listdir("/proc/self/fd")) == before
    spool.put(9, b"again")
    assert spool.get(9) == b"again"
    spool.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_is_an_error_and_spoils_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.put(1, b"first")
    real, written = os.pwrite, []

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(real(descriptor, data[:3], offset))
        return written[0]

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        spool.put(2, b"second")
    monkeypatch.undo()
    spool.put(3, b"third")
    assert (spool.get(1), spool.get(3)) == (b"first", b"third")
    spool.close()


def test_no_directory_is_an_error_of_the_disk() -> None:
    with pytest.raises(OSError, match="nowhere"):
        Spool(Path("/nowhere")).put(1, b"x")


def test_a_file_that_was_cut_is_noticed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(1, b"first")
    (descriptor,) = [int(name) for name in os.listdir("/proc/self/fd") if _is_in(name, tmp_path)]
    os.ftruncate(descriptor, 2)
    with pytest.raises(OSError, match="3 bytes early"):
        spool.get(1)
    spool.close()


def _is_in(descriptor: str, directory: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(directory))
    except OSError:
        return False
