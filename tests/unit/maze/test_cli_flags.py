"""What `maze up` and `maze run` hand on to the daemons."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.core import ParameterSource

from maze._daemon.options import DaemonCommand, capacity_options, head_options, option
from maze.cli._flags import NODE_FLAGS, given


@pytest.fixture(autouse=True)
def plain(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def handed_on(arguments: list[str], *sources: ParameterSource) -> list[str]:
    @click.command(cls=DaemonCommand, section="up")
    @option("--nodes", type=int)
    @head_options
    @capacity_options
    @click.pass_context
    def command(context, /, **settings):
        return given(context, ("port", "insecure", *NODE_FLAGS), *sources)

    return command.main(arguments, standalone_mode=False)


def test_defaults_are_not_handed_on():
    assert handed_on([]) == []


def test_what_was_typed_is():
    typed = ["--port", "8000", "--label", "a=1", "--label=b=2", "--cpus", "1.5", "--insecure"]
    assert handed_on(typed) == ["--port=8000", "--insecure", "--cpus=1.5", "--label=a=1", "--label=b=2"]


def test_the_environment_is_left_to_the_daemons(monkeypatch):
    monkeypatch.setenv("MAZE_PORT", "9")
    assert handed_on([]) == []


def test_embedded_daemons_are_told_of_the_environment(monkeypatch):
    monkeypatch.setenv("MAZE_CPUS", "1.5")
    assert handed_on([], ParameterSource.ENVIRONMENT) == ["--cpus=1.5"]
    assert handed_on(["--cpus", "2"], ParameterSource.ENVIRONMENT) == []


def test_the_commands_table_of_a_file_is_handed_on(tmp_path):
    (tmp_path / "maze.toml").write_text("[up]\nport = 9\n")
    assert handed_on([]) == ["--port=9"]


@pytest.mark.parametrize("daemon", ["maze_head", "maze_node"])
def test_the_daemons_know_every_flag_that_up_hands_on(daemon):
    from maze.cli.up import _HEAD_FLAGS, _LOG_FLAGS

    done = subprocess.run([sys.executable, "-m", daemon, "--help"], capture_output=True, text=True, check=True)
    flags = _HEAD_FLAGS if daemon == "maze_head" else NODE_FLAGS
    for name in (*flags, *_LOG_FLAGS, "connection_file"):
        assert f"--{name.replace('_', '-')}" in done.stdout
