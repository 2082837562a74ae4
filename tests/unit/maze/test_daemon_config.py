"""Precedence and strictness of configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze._daemon.config import load_config, own_directories, state_dir, user_config, user_state
from maze._daemon.errors import ConfigError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, home and environment."""
    for name in ("MAZE_STATE_DIR", "MAZE_CONFIG_FILE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_no_file_means_no_settings():
    assert load_config("head") == {}


def test_a_table_per_command_and_shared_keys(place):
    write(place / "maze.toml", 'log-level = "debug"\n[head]\nnode-port = 9\n[node]\ncpus = 2\n')
    assert load_config("head") == {"log_level": "debug", "node_port": 9}
    assert load_config("node") == {"log_level": "debug", "cpus": 2}


def test_the_commands_own_table_beats_the_shared_key(place):
    write(place / "maze.toml", 'log_level = "debug"\n[head]\nlog_level = "error"\n')
    assert load_config("head") == {"log_level": "error"}


def test_a_shared_key_that_the_command_does_not_know_is_not_given_to_it(place):
    write(place / "maze.toml", 'url = "http://h:1"\n')
    assert load_config("node", known=["cpus"]) == {}


def test_the_project_beats_the_user(place):
    write(place / "maze.toml", "[head]\nport = 1\n")
    write(place / "xdg/maze/config.toml", "[head]\nport = 2\nnode_port = 3\n")
    assert load_config("head") == {"port": 1, "node_port": 3}


def test_pyproject_counts_when_there_is_no_maze_toml(place):
    write(place / "pyproject.toml", "[tool.maze.head]\nport = 4\n")
    assert load_config("head") == {"port": 4}
    write(place / "maze.toml", "[head]\n")
    assert load_config("head") == {}


def test_a_pyproject_of_somebody_else_is_no_configuration(place):
    write(place / "pyproject.toml", "[tool.other]\nport = 4\n")
    assert load_config("head") == {}


def test_one_named_file_replaces_all(place, monkeypatch):
    write(place / "maze.toml", "[head]\nport = 1\n")
    write(place / "other.toml", "[head]\nport = 5\n")
    monkeypatch.setenv("MAZE_CONFIG_FILE", "other.toml")
    assert load_config("head") == {"port": 5}
    monkeypatch.setenv("MAZE_CONFIG_FILE", "/dev/null")
    assert load_config("head") == {}
    monkeypatch.setenv("MAZE_CONFIG_FILE", "absent.toml")
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file"):
        load_config("head")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[haed]\n", r"maze\.toml: unknown key 'haed'; did you mean 'head'\?"),
        ("[head]\nprot = 1\n", r"maze\.toml \[head\]: unknown key 'prot'; did you mean 'port'\?"),
        ("[head]\nxyzzy = 1\n", r"unknown key 'xyzzy'; known: host, port"),
        ("head = 3\n", r"\[head\] must be a table, not int"),
        ("[head\n", r"maze\.toml: not valid TOML"),
    ],
)
def test_mistakes_are_named(place, text, message):
    write(place / "maze.toml", text)
    with pytest.raises(ConfigError, match=message):
        load_config("head", known=["port", "host"])


def test_a_mistake_in_another_commands_table_is_its_own_affair(place):
    write(place / "maze.toml", "[node]\nxyzzy = 1\n")
    assert load_config("head", known=["port"]) == {}


def test_a_file_that_is_no_text(place):
    (place / "maze.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config("head")


def test_a_directory_in_place_of_a_file(place):
    (place / "maze.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config("head")


def test_state_dir(place, monkeypatch):
    assert state_dir() == place / "home/.local/state/maze"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert state_dir() == place / "home/.local/state/maze"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/x")
    assert state_dir() == Path("/var/x/maze")
    write(place / "maze.toml", '[head]\nstate_dir = "/from/file"\n')
    assert state_dir() == Path("/from/file")
    monkeypatch.setenv("MAZE_STATE_DIR", "/from/env")
    assert state_dir() == Path("/from/env")


def test_what_is_ours_alone_is_where_it_was_configured_and_where_it_usually_is(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MAZE_STATE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("MAZE_NODE_DIR", str(tmp_path / "keys"))
    found = own_directories()
    assert {tmp_path / "elsewhere", tmp_path / "keys", user_state(), user_config()} < set(found)
    assert len(set(found)) == len(found)
