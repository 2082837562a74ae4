"""The connection file: written whole, private, and distrusted when others could have written it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from maze._daemon import connection
from maze._daemon.connection import (
    DEFAULT_URL,
    ConnectionInfo,
    default_path,
    find_own_url,
    find_url,
    read_connection,
    remove_connection,
    write_connection,
)

INFO = ConnectionInfo("http://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3", "tcp://127.0.0.1:4", 77, "ab")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "connection.json"


@pytest.fixture(autouse=True)
def plain_environment(tmp_path, monkeypatch):
    for name in ("MAZE_URL", "MAZE_CONNECTION_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAZE_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("MAZE_STATE_DIR", str(tmp_path))


def test_what_is_written_is_read(file):
    write_connection(file, INFO)
    assert read_connection(file) == INFO
    assert os.listdir(file.parent) == ["connection.json"]


def test_only_the_owner_can_read_it_whatever_the_umask(file):
    before = os.umask(0)
    try:
        write_connection(file, INFO)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_it_is_replaced_in_one_step(file):
    write_connection(file, INFO)
    with file.open() as old:
        write_connection(file, ConnectionInfo("http://h:9", "a", "b", "c", 78))
        assert json.load(old)["pid"] == 77
    assert read_connection(file).pid == 78


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    write_connection(file, INFO)

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr(connection.os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_connection(file, ConnectionInfo("http://h:9", "a", "b", "c", 78))
    assert read_connection(file) == INFO
    assert os.listdir(file.parent) == ["connection.json"]


def test_fields_of_later_versions_are_ignored(file):
    write_connection(file, INFO)
    file.write_text(json.dumps(INFO.to_dict() | {"server_key": "z85", "v": 9}))
    assert read_connection(file) == INFO


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"url": "http://x"}', "\xff",
     '{"url": 1, "node": 2, "blob": 3, "events": 4, "pid": 5}',
     '{"url": "u", "node": "n", "blob": "b", "events": "e", "pid": "5"}',
     '{"url": "u", "node": "n", "blob": "b", "events": "e", "pid": true}'],
)  # fmt: skip
def test_what_is_malformed_counts_as_absent(file, text):
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(0o600)
    assert read_connection(file) is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_counts_as_absent(file, mode):
    write_connection(file, INFO)
    file.chmod(mode)
    assert read_connection(file) is None


def test_a_file_of_another_user_counts_as_absent(file, monkeypatch):
    write_connection(file, INFO)
    monkeypatch.setattr(connection.os, "geteuid", lambda: os.getuid() + 1)
    assert read_connection(file) is None


def test_what_is_no_file_counts_as_absent(tmp_path):
    assert read_connection(tmp_path) is None
    assert read_connection(tmp_path / "absent") is None
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert read_connection(tmp_path / "fifo") is None


def test_only_the_writer_removes_it(file):
    write_connection(file, INFO)
    remove_connection(file, pid=1)
    assert read_connection(file) == INFO
    remove_connection(file, pid=77)
    assert not file.exists()
    remove_connection(file, pid=77)


def test_where_the_head_is_looked_for(tmp_path, monkeypatch):
    assert find_own_url() is None
    assert find_url() == DEFAULT_URL
    write_connection(default_path(), INFO)
    assert find_url() == INFO.url
    config = tmp_path / "c.toml"
    config.write_text('url = "http://configured:1"\n')
    monkeypatch.setenv("MAZE_CONFIG_FILE", str(config))
    assert find_url() == "http://configured:1"
    monkeypatch.setenv("MAZE_URL", "http://named:1")
    assert find_url() == "http://named:1"


def test_where_the_file_is(tmp_path, monkeypatch):
    assert default_path() == tmp_path / "connection.json"
    monkeypatch.setenv("MAZE_CONNECTION_FILE", "/elsewhere/c.json")
    assert default_path() == Path("/elsewhere/c.json")
