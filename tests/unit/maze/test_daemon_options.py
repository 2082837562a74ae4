"""Flags: precedence of command line, variable, file and default; exit codes of every outcome."""

from __future__ import annotations

import os

import click
import pytest

from maze._daemon.errors import DaemonError, NotReady
from maze._daemon.options import (
    DaemonCommand,
    common_options,
    head_options,
    node_options,
    option,
    run_command,
    version_option,
)


@pytest.fixture(autouse=True)
def plain(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("MAZE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def parse(arguments: list[str], options=head_options, section="head") -> dict[str, object]:
    """Return what a command of ours would be called with."""

    @click.command(cls=DaemonCommand, section=section)
    @options
    @common_options
    @version_option("maze-test")
    def command(**settings):
        return settings

    return command.main(arguments, standalone_mode=False)


def test_defaults_of_the_head():
    settings = parse([])
    ports = [settings[name] for name in ("port", "node_port", "blob_port", "event_port")]
    assert ports == [8000, 8001, 8002, 8003]
    assert (settings["host"], settings["durability"], settings["log_level"]) == ("127.0.0.1", "process", "info")
    assert not settings["insecure"]


def test_flag_beats_variable_beats_file_beats_default(tmp_path, monkeypatch):
    (tmp_path / "maze.toml").write_text("[head]\nport = 1\n")
    assert parse([])["port"] == 1
    monkeypatch.setenv("MAZE_PORT", "2")
    assert parse([])["port"] == 2
    assert parse(["--port", "3"])["port"] == 3


def test_lists_from_a_file(tmp_path):
    (tmp_path / "maze.toml").write_text('[node]\nlabel = ["a=1", "b=2"]\ncpus = 1.5\n')
    settings = parse([], node_options, "node")
    assert settings["label"] == ("a=1", "b=2")
    assert settings["cpus"] == 1.5


def test_insecure_must_be_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("MAZE_INSECURE", "1")
    assert parse([])["insecure"] is False
    (tmp_path / "maze.toml").write_text("[head]\ninsecure = true\n")
    with pytest.raises(click.UsageError, match="unknown key 'insecure'"):
        parse([])


def test_a_typo_in_the_file_is_a_usage_error(tmp_path):
    (tmp_path / "maze.toml").write_text("[head]\nprot = 1\n")
    with pytest.raises(click.UsageError, match="did you mean 'port'"):
        parse([])


def test_a_version_from_the_environment_is_not_ours(monkeypatch):
    monkeypatch.setenv("MAZE_VERSION", "1.2")
    assert parse([])["port"] == 8000


def outcome(error: BaseException | None, result: object = None) -> int:
    """Return the exit code of a command that ends so."""

    @click.command(cls=DaemonCommand, epilog="Examples:\n  one\n  two")
    @option("--number", type=int)
    def command(number):
        if error is not None:
            raise error
        return result

    with pytest.raises(SystemExit) as caught:
        run_command(command, ["--number", "3"], "maze-test")
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (click.UsageError("no"), 2),
        (click.ClickException("no"), 1),
        (NotReady("maze-head", 3, 1.0), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.exceptions.Exit(7), 7),
    ],
)
def test_exit_codes(error, status):
    assert outcome(error) == status


def test_the_status_a_command_returns_is_its_exit_code():
    assert outcome(None, 75) == 75
    assert outcome(None, "text") == 0


def test_usage_errors_of_click_exit_2(capsys):
    @click.command(cls=DaemonCommand)
    @option("--number", type=int)
    def command(number):
        pass

    with pytest.raises(SystemExit) as caught:
        run_command(command, ["--number", "x"], "maze-test")
    assert caught.value.code == 2
    assert "'x' is not a valid integer" in capsys.readouterr().err


@pytest.mark.parametrize("error", [click.ClickException, click.UsageError, DaemonError])
def test_what_an_error_quotes_does_not_drive_the_terminal(capsys, error):
    @click.command(cls=DaemonCommand)
    def command():
        raise error("got \x07\x9b2J\u202e\nas an answer")

    with pytest.raises(SystemExit):
        run_command(command, [], "maze-test")
    assert "Error: got \\x07\\x9b2J\\u202e\nas an answer\n" in capsys.readouterr().err


def test_examples_keep_their_lines(capsys):
    @click.command(cls=DaemonCommand, epilog="Examples:\n  one\n  two")
    @option("--number", type=int, help="A number.")
    def command(number):
        pass

    with pytest.raises(SystemExit):
        run_command(command, ["-h"], "maze-test")
    text = capsys.readouterr().out
    assert "\nExamples:\n  one\n  two\n" in text
    assert "MAZE_NUMBER" in text


def test_a_closed_pipe_is_no_traceback(capfd):
    assert outcome(BrokenPipeError()) == 1
