"""Files of secrets: private from the first byte, never overwritten, never trusted when others could read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maze._daemon.errors import SecretUnusable
from maze._daemon.secret_files import create_secret, make_own_token, private_directory, read_secret


def test_what_is_written_is_read_and_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert create_secret(tmp_path / "s", "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert read_secret(tmp_path / "s") == "secret"
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("there", ["file", "link", "dangling"])
def test_nothing_is_written_over_and_no_link_is_followed(tmp_path: Path, there: str) -> None:
    target = tmp_path / "target"
    if there == "file":
        (tmp_path / "s").write_text("before")
    else:
        (tmp_path / "s").symlink_to(target)
    if there == "link":
        target.write_text("before")
    assert not create_secret(tmp_path / "s", "secret")
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir() if path.exists())


def test_what_a_dead_process_left_half_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".s.{os.getpid()}").write_text("sec")
    assert create_secret(tmp_path / "s", "secret")
    assert os.listdir(tmp_path) == ["s"]


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="cannot be written"):
        create_secret(tmp_path / "missing" / "s", "secret")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_file_that_others_can_use_is_refused_with_a_remedy(tmp_path: Path, mode: int) -> None:
    create_secret(tmp_path / "s", "secret")
    (tmp_path / "s").chmod(mode)
    with pytest.raises(SecretUnusable, match="chmod 600") as caught:
        read_secret(tmp_path / "s")
    assert "secret" not in str(caught.value)


def test_absent_empty_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "link").symlink_to("empty")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, why in (
        ("absent", "cannot be read"),
        ("empty", "is empty"),
        ("link", "cannot be read"),
        ("pipe", "no file"),
    ):
        with pytest.raises(SecretUnusable, match=why):
            read_secret(tmp_path / name)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_secret(tmp_path / "s", "secret")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(SecretUnusable, match="another user"):
        read_secret(tmp_path / "s")


def test_a_directory_is_private_or_refused(tmp_path: Path) -> None:
    private_directory(tmp_path / "d")
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    private_directory(tmp_path / "d")
    (tmp_path / "d").chmod(0o750)
    (tmp_path / "f").touch()
    (tmp_path / "link").symlink_to("d")
    for name in ("d", "f", "link", "missing/d"):
        with pytest.raises(SecretUnusable):
            private_directory(tmp_path / name)


def test_each_head_has_a_token_of_its_own_that_stays(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        file = make_own_token(tmp_path / name)
        texts.append(read_secret(file))
        assert make_own_token(tmp_path / name) == file
        assert read_secret(file) == texts[-1]
    assert len({*texts}) == 2
    assert all(len(text) == 43 for text in texts)
