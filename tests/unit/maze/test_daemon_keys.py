"""Files of keys: ours alone, or refused with the remedy."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maze._daemon.errors import KeyFileUnusable
from maze._daemon.keys import KeyPair, load_or_make_pair, load_pair, private_directory, write_private
from maze_protocol.keys import is_key


def test_a_pair_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "own.key"
    before = os.umask(0)
    try:
        made = load_or_make_pair(path)
    finally:
        os.umask(before)
    assert is_key(made.public)
    assert is_key(made.secret)
    assert load_or_make_pair(path) == load_pair(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["own.key"]


def test_a_secret_is_not_shown() -> None:
    pair = KeyPair.make()
    assert pair.secret not in repr(pair)
    assert KeyPair.make() != pair


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "own.key"
    load_or_make_pair(path)
    path.chmod(mode)
    with pytest.raises(KeyFileUnusable, match=f"can be read by others; chmod 600 {path}"):
        load_or_make_pair(path)


def test_a_directory_that_others_can_change_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(KeyFileUnusable, match="can be changed by others; chmod 700"):
        load_or_make_pair(shared / "own.key")
    assert os.listdir(shared) == []
    shared.chmod(0o755)
    private_directory(shared)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.key"
    load_or_make_pair(path)
    os.chown(path, 65_534, 65_534)
    with pytest.raises(KeyFileUnusable, match="no file of this user"):
        load_pair(path)


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    load_or_make_pair(tmp_path / "real.key")
    (tmp_path / "link.key").symlink_to(tmp_path / "real.key")
    os.mkfifo(tmp_path / "pipe.key", 0o600)
    for name in ("link.key", "pipe.key"):
        with pytest.raises(KeyFileUnusable):
            load_pair(tmp_path / name)


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "own.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileUnusable):
        load_or_make_pair(tmp_path / "own.key")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"public": "x", "secret": "y"}', '{"public": 1, "secret": 2}'])
def test_what_holds_no_pair_is_refused(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / "own.key", text.encode())
    with pytest.raises(KeyFileUnusable, match="holds no key pair; remove it to have a new one made"):
        load_or_make_pair(tmp_path / "own.key")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write_private(tmp_path / "x", b"first")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "x", b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["x"]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileUnusable, match="cannot be made"):
        load_or_make_pair(tmp_path / "file" / "keys" / "own.key")
