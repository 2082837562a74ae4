"""The `maze` group: light, complete, and honest about its commands."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from maze.cli import _COMMANDS, maze

HEAVY = ("aiohttp", "zmq", "networkx", "rich", "numpy", "matplotlib", "msgspec", "asyncio")


def loaded_by(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after running `code`."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(HEAVY) & set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ps", "--help"], ["run", "--help"], ["up", "-h"]])
def test_help_loads_nothing_heavy(arguments):
    assert loaded_by(f"from maze.cli import main; sys.argv[1:] = {arguments!r}; main()") == set()


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_exists_and_says_what_the_group_says(name):
    command = maze.get_command(click.Context(maze), name)
    assert command.name == name
    first = command.help.splitlines()[0]
    assert first.split()[0] == _COMMANDS[name][1].split()[0]


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_help_has_examples(name):
    shown = CliRunner().invoke(maze, [name, "--help"], prog_name="maze").output
    assert f"Usage: maze {name}" in shown
    assert "\nExamples:\n  maze " in shown or "\nExamples:\n  MAZE_" in shown
    if name not in ("doctor", "backup"):  # the others talk to a head, or start one
        assert "MAZE_URL" in shown or "MAZE_PORT" in shown


def test_a_process_shows_the_same_help():
    done = subprocess.run([sys.executable, "-m", "maze", "ps", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout == CliRunner().invoke(maze, ["ps", "--help"], prog_name="maze").output


def test_an_unknown_command_is_a_usage_error_with_a_suggestion():
    done = subprocess.run([sys.executable, "-m", "maze", "pss"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such command 'pss'" in done.stderr


def test_no_arguments_show_the_help():
    done = subprocess.run([sys.executable, "-m", "maze"], capture_output=True, text=True, check=False)
    assert "Commands:" in done.stdout + done.stderr
    assert done.returncode == 2
