"""The state directory: private, local, and one head's at a time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maze_head.errors import AlreadyRunning, StateDirUnusable
from maze_head.statedir import REMOTE_SYSTEMS, StateLock, file_system_of, prepare

MOUNTS = "\n".join(
    (
        "rootfs / rootfs rw 0 0",
        "/dev/sda1 / ext4 rw 0 0",
        "server:/home /home nfs4 rw 0 0",
        "tmpfs /home/local tmpfs rw 0 0",
        "//nas/x /mnt/my\\040share cifs rw 0 0",
    )
)


def test_the_directory_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    prepare(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    prepare(path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateDirUnusable, match=r"cannot create state directory .*file.*--state-dir"):
        prepare(tmp_path / "file" / "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateDirUnusable, match="not writable"):
        prepare(tmp_path)


@pytest.mark.parametrize(
    ("path", "system"),
    [("/home/ann", "nfs4"), ("/home/local/x", "tmpfs"), ("/homes", "ext4"), ("/", "ext4"), ("/mnt/my share/y", "cifs")],
)
def test_the_longest_mount_point_decides(path: str, system: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == system


def test_an_unknown_mount_table_tells_nothing() -> None:
    assert file_system_of(Path("/x"), "") == ""


@pytest.mark.parametrize("system", sorted(REMOTE_SYSTEMS))
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr("maze_head.statedir._mounts", lambda: f"server:/x / {system} rw 0 0")
    with pytest.raises(StateDirUnusable, match=rf"network file system \({system}\).*local disk"):
        prepare(tmp_path)


@pytest.mark.parametrize("system", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay"])
def test_local_file_systems_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr("maze_head.statedir._mounts", lambda: f"/dev/x / {system} rw 0 0")
    prepare(tmp_path)


def test_the_second_lock_names_the_holder(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}") as refusal:
        StateLock(tmp_path)
    assert refusal.value.pid == os.getpid()
    lock.release()
    StateLock(tmp_path).release()


def test_a_lock_left_by_a_dead_process_is_free(tmp_path: Path) -> None:
    (tmp_path / "head.lock").write_text("999999\n")
    StateLock(tmp_path).release()


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "head.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateDirUnusable, match="cannot open"):
        StateLock(tmp_path)
