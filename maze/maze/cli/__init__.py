"""The `maze` command. This module knows the commands' names and summaries; each loads its own code when it is called.

Rules. `maze --help` must be instant: nothing here or in what it imports loads aiohttp, zmq, networkx, rich, numpy,
matplotlib or msgspec. Commands talk to a head over HTTP only (_api.py), and start heads and nodes as processes.
Answers go to stdout (a table on a terminal, tab-separated text otherwise, one JSON document with `--json`); everything
said to a person beside them goes to stderr.
"""

from __future__ import annotations

import importlib
from typing import Final, NoReturn

import click

from maze._daemon.options import HELP_NAMES, run_command, version_option

__all__ = ["main"]

_COMMANDS: Final = {
    "up": ("maze.cli.up", "Start a head and nodes on this machine, in the foreground."),
    "run": ("maze.cli.run", "Run a script, with a head of its own if none is there."),
    "ps": ("maze.cli.runs", "List runs."),
    "show": ("maze.cli.runs", "Show a run and its tasks."),
    "explain": ("maze.cli.explain", "Say why tasks of a run have not started."),
    "logs": ("maze.cli.logs", "Print what tasks wrote to stdout and stderr."),
    "events": ("maze.cli.events", "Print what happened in a run, event by event."),
    "cancel": ("maze.cli.changes", "Cancel a run."),
    "retry": ("maze.cli.changes", "Run the graph of an earlier run again."),
    "rm": ("maze.cli.keep", "Remove runs that are over, or a workflow."),
    "backup": ("maze.cli.keep", "Copy all that a head keeps, while it runs or not."),
    "nodes": ("maze.cli.cluster", "List the nodes of the cluster, or show one."),
    "limits": ("maze.cli.limits", "List, set and remove limits, and the weights and caps of projects."),
    "suggest": ("maze.cli.suggest", "Suggest what functions should claim, from what they used."),
    "info": ("maze.cli.cluster", "Show which head answers, and its promises."),
    "doctor": ("maze.cli.doctor", "Check whether this machine is fit for Maze."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and lists all of them without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_EPILOG)


_EPILOG: Final = """
Examples:
  maze run examples/quickstart.py     run a script; nothing else has to be running
  maze up                             start a head and a node; Ctrl-C ends them
  maze ps                             what is running
  maze logs 3f2a -f                   follow the output of run run_3f2a…

Environment: MAZE_URL, MAZE_CONNECTION_FILE, MAZE_STATE_DIR, MAZE_LOG_LEVEL,
MAZE_LOG_FORMAT, MAZE_CONFIG_FILE. Exit codes: 0 fine, 1 failed, 2 usage,
69 no head answers, 130 interrupted.
"""


@click.command(cls=LazyGroup, context_settings=HELP_NAMES)
@version_option("maze")
def maze() -> None:
    """Run workflows of Python functions on a cluster."""


def main() -> NoReturn:
    """Run the command line of this process."""
    run_command(maze, program="maze")
