"""Files of key pairs; what makes a file of secrets safe is tested with secret_files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maze._daemon.errors import SecretUnusable
from maze._daemon.keys import KeyPair, load_or_make_pair, load_pair
from maze._daemon.secret_files import create_secret
from maze_protocol.keys import is_key


def test_a_pair_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys" / "own.key"
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
    with pytest.raises(SecretUnusable, match=f"open to other users .*chmod 600 {path}"):
        load_or_make_pair(path)


def test_a_directory_that_others_can_use_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    with pytest.raises(SecretUnusable, match="chmod 700"):
        load_or_make_pair(shared / "own.key")
    assert os.listdir(shared) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.key"
    load_or_make_pair(path)
    os.chown(path, 65_534, 65_534)
    with pytest.raises(SecretUnusable, match="another user"):
        load_pair(path)


def test_a_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    load_or_make_pair(tmp_path / "real.key")
    for name in ("real.key", "absent.key"):
        (tmp_path / f"link to {name}").symlink_to(tmp_path / name)
        with pytest.raises(SecretUnusable):
            load_or_make_pair(tmp_path / f"link to {name}")
    assert not (tmp_path / "absent.key").exists()


@pytest.mark.parametrize("text", ["{}", "x y", "0" * 40, f"{'0' * 40} {'~' * 40}", " ".join(["0" * 40] * 3)])
def test_what_holds_no_pair_is_refused(tmp_path: Path, text: str) -> None:
    create_secret(tmp_path / "own.key", text)
    with pytest.raises(SecretUnusable, match="holds no key pair; remove it to have a new one made"):
        load_or_make_pair(tmp_path / "own.key")


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretUnusable, match="cannot be made"):
        load_or_make_pair(tmp_path / "file" / "keys" / "own.key")
