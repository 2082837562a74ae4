"""The ballast on a real file system: taken, given up, taken again, and gone with its head."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from maze_head.ballast import FILE_NAME, Ballast
from maze_protocol.limits import MIB
from support.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 4) as mounted:
        yield mounted


def test_the_space_is_really_taken_and_private(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, MIB)
    facts = (tmp_path / FILE_NAME).stat()
    assert facts.st_blocks * 512 >= MIB
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert not ballast.read_only
    ballast.close()
    assert not (tmp_path / FILE_NAME).exists()


def test_a_ballast_left_by_a_killed_head_is_taken_over(tmp_path: Path) -> None:
    Ballast(tmp_path, 2 * MIB)
    again = Ballast(tmp_path, MIB)
    assert not again.read_only
    again.close()


def test_without_a_ballast_a_failure_still_makes_it_read_only_until_there_is_room(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
    ballast.relieve()
    assert ballast.read_only
    ballast.tick(failing=True)
    assert ballast.read_only
    ballast.tick(failing=False)
    assert not ballast.read_only


def test_given_up_it_frees_its_space_and_comes_back_when_others_make_room(disk: SmallDisk) -> None:
    ballast = Ballast(disk.path, MIB)
    disk.fill()
    assert disk.free == 0
    ballast.relieve()
    assert disk.free >= MIB
    assert ballast.read_only
    ballast.tick(failing=False)  # room for the ballast alone: the next commit would fill the disk again
    assert ballast.read_only
    disk.empty()
    ballast.tick(failing=False)
    assert not ballast.read_only
    assert (disk.path / FILE_NAME).stat().st_size == MIB
    counters = ballast.counters()
    assert (counters["disk_full_total"], counters["disk_read_only"]) == (1, 0)


def test_no_room_at_the_start_is_read_only_from_the_start(disk: SmallDisk) -> None:
    disk.fill()
    ballast = Ballast(disk.path, MIB)
    assert ballast.read_only
    assert not (disk.path / FILE_NAME).exists()
    disk.empty()
    ballast.tick(failing=False)
    assert not ballast.read_only


def test_a_file_system_without_allocation_goes_without_a_ballast(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    ballast = Ballast(tmp_path, MIB)
    assert not ballast.read_only
    assert "no ballast" in caplog.text
