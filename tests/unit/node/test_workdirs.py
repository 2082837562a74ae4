"""Directories of attempts, and that what the dead left is removed and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maze_node.errors import NotOurs
from maze_node.spawning import WORK_DIR
from maze_node.workdirs import make, remove_all, remove_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(WORK_DIR, str(tmp_path))
    return tmp_path


def test_every_attempt_has_one_that_only_its_user_enters() -> None:
    first, second = make(1, 2, 3), make(1, 2, 4)
    assert first != second
    assert first.stat().st_mode & 0o777 == first.parent.stat().st_mode & 0o777 == 0o700


def test_what_a_dead_worker_left_goes_and_what_others_have_stays() -> None:
    dead, alive, other = make(1, 2, 3), make(1, 20, 3), make(9, 2, 3)
    (dead / "file").touch()
    remove_of(1, 2)
    assert [path.exists() for path in (dead, alive, other)] == [False, True, True]
    remove_of(1, 2)


def test_a_spawner_leaves_nothing(here: Path) -> None:
    make(1, 2, 3)
    kept = make(9, 2, 3)
    remove_all(1)
    remove_all(1)
    assert os.listdir(here) == ["maze-work-9"]
    assert kept.exists()


def test_a_directory_that_is_a_link_is_not_ours(here: Path) -> None:
    (here / "elsewhere").mkdir()
    (here / "maze-work-1").symlink_to(here / "elsewhere")
    with pytest.raises(NotOurs):
        make(1, 2, 3)
    assert os.listdir(here / "elsewhere") == []
