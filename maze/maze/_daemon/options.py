"""Flags and entry point that the three commands share (click).

Rules. One flag, one name, one meaning, whichever command has it; `maze up` takes the flags of both daemons from here
and hands them on. Each option reads `MAZE_<NAME>`, then the command's table of the configuration files (config.py),
then its default. Exit codes of all commands: 0, 1 failed, 2 usage, 69 head unreachable, 130 interrupted; the daemons
have more (75, 78), in their own errors.py.

    @click.command(cls=DaemonCommand, section="head")
    @head_options
    @common_options
    def main(**settings): ...

    def entry() -> None:
        run_command(main)
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from maze._daemon.config import load_config
from maze._daemon.errors import ConfigError, DaemonError
from maze_protocol.shown import BREAKS, shown

__all__ = [
    "EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_UNREACHABLE", "EXIT_USAGE", "HELP_NAMES", "DaemonCommand", "DaemonGroup",
    "capacity_options", "common_options", "head_options", "log_options", "node_dir_option", "node_options", "option",
    "run_command", "version_option",
]  # fmt: skip

LEVELS: Final = ("debug", "info", "warning", "error")
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 69
EXIT_INTERRUPTED: Final = 130

HELP_NAMES: Final = {"help_option_names": ["-h", "--help"]}

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]

option = partial(click.option, show_envvar=True)
PORT: Final = click.IntRange(0, 65_535)
SECONDS: Final = click.FloatRange(min=0, min_open=True)
DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
FILE: Final = click.Path(dir_okay=False, path_type=Path)


class DaemonCommand(click.Command):
    """A command whose options also come from `MAZE_*` variables and from its table of the configuration files."""

    def __init__(self, *args: Any, section: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        # Set on the command itself, so that `maze up --port` reads MAZE_PORT as `maze-head --port` does.
        self.context_settings = {"auto_envvar_prefix": "MAZE", **HELP_NAMES, **self.context_settings}

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        if self.section is not None:
            extra["default_map"] = self._configured(self.section)
        return super().make_context(info_name, args, *rest, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Examples are lines, not prose: click would wrap them into one paragraph.
        if self.epilog:
            formatter.write_paragraph()
            for line in self.epilog.strip("\n").splitlines():
                formatter.write(f"{line}\n")

    def _configured(self, section: str) -> dict[str, Any]:
        # What must be typed each time (--insecure) comes neither from a variable nor from a file.
        known = [str(param.name) for param in self.params if getattr(param, "allow_from_autoenv", True)]
        try:
            return load_config(section, known)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error


class DaemonGroup(DaemonCommand, click.Group):
    """A group of such commands."""


def version_option(program: str) -> Decorator[Any]:
    """Make `--version`; the version of the distribution is that of all its parts."""
    from maze._version import __version__

    # Not from MAZE_VERSION, which images and build scripts like to set.
    return click.version_option(
        __version__, prog_name=program, message="%(prog)s %(version)s", allow_from_autoenv=False
    )


def _all(*options: Decorator[Any]) -> Decorator[Any]:
    def decorate(function: Function) -> Function:
        for add in reversed(options):
            function = add(function)
        return function

    return decorate


log_options = _all(
    option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Of the process log."),
    option("--log-format", type=click.Choice(("text", "json")), default="text", show_default=True,
           help="Of the process log on stderr."),
)  # fmt: skip

common_options = _all(
    log_options,
    option("--log-file", type=FILE, help="Log into this file instead, rotated at 10 MiB."),
    option("--exit-with-stdin", is_flag=True, hidden=True, allow_from_autoenv=False,
           help="Drain and exit when stdin ends (the parent is gone)."),
)  # fmt: skip
"""Flags of both daemons."""

head_options = _all(
    option("--host", default="127.0.0.1", show_default=True, help="Address to bind."),
    option("--port", type=PORT, default=8000, show_default=True, help="HTTP; 0, here as below: any free port."),
    option("--node-port", type=PORT, default=8001, show_default=True, help="Nodes connect here."),
    option("--blob-port", type=PORT, default=8002, show_default=True, help="Large values travel here."),
    option("--event-port", type=PORT, default=8003, show_default=True, help="Run events are published here."),
    option("--advertise", metavar="HOST", help="Address that others reach this machine at; default: the bound one."),
    option("--state-dir", type=DIRECTORY, help="Journal and blobs.  [default: ~/.local/state/maze]"),
    option("--connection-file", type=FILE, help="Written when it serves.  [default: STATE_DIR/connection.json]"),
    option("--durability", type=click.Choice(("process", "power")), default="process", show_default=True,
           help="What a commit survives: kill -9, or a power cut."),
    option("--heartbeat", type=SECONDS, default=1.0, show_default=True, metavar="SECONDS",
           help="How often head and nodes tell each other that they live."),
    option("--suspect-after", type=SECONDS, default=3.0, show_default=True, metavar="SECONDS",
           help="A node silent for so long gets no new task."),
    option("--lost-after", type=SECONDS, default=10.0, show_default=True, metavar="SECONDS",
           help="The tasks of a node silent for so long go elsewhere."),
    option("--recovery-grace", type=SECONDS, default=10.0, show_default=True, metavar="SECONDS",
           help="A restarted head waits so long for nodes with work."),
    option("--max-pending-tasks", metavar="N", type=click.IntRange(min=1), default=5_000_000, show_default=True,
           help="Submissions above it are answered 429."),
    option("--priority-step", type=SECONDS, default=600.0, show_default=True, metavar="SECONDS",
           help="So much waiting is one step of priority worth."),
    option("--reserve-after", type=SECONDS, default=30.0, show_default=True, metavar="SECONDS",
           help="A task that waited so long has room kept for it."),
    option("--order", metavar="ORDER", default="fcfs", show_default=True,
           help="In which ready tasks start: fcfs, hacs, critical, or package.module:Class."),
    option("--ballast", metavar="MIB", type=click.IntRange(min=0), default=64, show_default=True,
           help="Disk space kept for the day when it is full; 0: none."),
    option("--keep-runs", metavar="N", type=click.IntRange(min=0), default=10_000, show_default=True,
           help="Runs that are over and still kept; 0, here as below: no limit."),
    option("--keep-days", metavar="DAYS", type=click.FloatRange(min=0), default=30.0, show_default=True,
           help="For so long."),
    option("--keep-bytes", metavar="N", type=click.IntRange(min=0), default=0, show_default=True,
           help="As long as the journal is no larger."),
    option("--curve", is_flag=True,
           help="Authenticate and encrypt what nodes and subscribers say, as always with a non-loopback --host."),
    option("--tls-cert", type=FILE, help="Speak TLS on the HTTP port: the certificate, PEM."),
    option("--tls-key", type=FILE, help="Its key, PEM, readable by nobody else."),
    option("--allow-host", metavar="NAME", multiple=True,
           help="Also answer requests to this name; repeatable."),
    option("--allow-origin", metavar="URL", multiple=True,
           help="Also answer pages from there, as http://localhost:3000; repeatable."),
    option("--insecure", is_flag=True, allow_from_autoenv=False,
           help="No CURVE on a non-loopback --host: whoever reaches it can run code here."),
    option("--no-token", is_flag=True, allow_from_autoenv=False,
           help="Answer everybody on this machine, not only who shows a token."),
    option("--open-seed-routes", is_flag=True, allow_from_autoenv=False,
           help="Answer everybody on this machine on the original Maze's routes."),
    option("--embedded", is_flag=True, hidden=True, allow_from_autoenv=False,
           help="Started by a client or `maze run`, and said so in /api/v1/info."),
    option("--http-fd", type=click.IntRange(min=3), hidden=True, allow_from_autoenv=False,
           help="Serve HTTP on this inherited socket, which listens, instead of --port."),
)  # fmt: skip
"""Flags of maze-head, which `maze up` takes too."""

capacity_options = _all(
    option("--cpus", type=click.FloatRange(min=0, min_open=True), help="CPUs to offer.  [default: measured]"),
    option("--memory", metavar="MIB", type=click.IntRange(min=1), help="Memory to offer.  [default: measured]"),
    option("--gpus", type=click.IntRange(min=0), help="GPUs to offer.  [default: measured]"),
    option("--gpu-mem", metavar="MIB", type=click.IntRange(min=1), help="Memory of each GPU.  [default: measured]"),
    option("--detect", metavar="all|none|cpus,mem,gpus", default="all", show_default=True,
           help="What to measure. Of the rest flags are believed; without one: 1 CPU, no memory, no GPU."),
    option("--label", "label", metavar="K=V", multiple=True, help="Repeatable."),
    option("--workers", type=click.IntRange(min=1), help="Most worker processes.  [default: 4 per CPU, at least 16]"),
)  # fmt: skip
"""Flags of maze-node that `maze up` and `maze run` take too."""

preload_option = option("--preload", metavar="MODULE,...", help="Modules that worker processes start with.")
isolation_option = option(
    "--isolation", type=click.Choice(("none", "process", "bwrap", "auto")), default="process", show_default=True,
    help="How far workers are kept from the machine; auto: as far as it goes here.",
)  # fmt: skip
"""Beside the capacity, what a whole node is told."""

node_dir_option = option(
    "--node-dir", type=DIRECTORY, help="A node's key, and where it has joined.  [default: ~/.local/state/maze-node]"
)

node_options = _all(
    option("--connection-file", type=FILE, help="How to find the head.  [default: STATE_DIR/connection.json]"),
    option("--head", metavar="tcp://HOST:PORT", help="The head's node port, instead of a connection file."),
    option("--head-key", metavar="KEY", help="The head's public key, if --head authenticates; `maze info` tells it."),
    node_dir_option,
    option("--name", help="Shown in lists.  [default: the host's name]"),
    capacity_options,
    preload_option,
    isolation_option,
    option("--advertise", metavar="HOST", help="Address that others reach this machine at."),
    option("--peer-port", type=PORT, default=0, show_default=True, help="Other nodes fetch from here; 0: any."),
)  # fmt: skip
"""Flags of maze-node."""


def _show(error: click.ClickException) -> None:
    """Print an error, which may quote an answer or what was typed."""
    text = io.StringIO()
    error.show(text)
    click.echo(shown(text.getvalue(), keep=BREAKS), err=True, nl=False)


def run_command(command: click.Command, arguments: list[str] | None = None, program: str | None = None) -> NoReturn:
    """Run a command and leave the process with the exit code that every Maze command gives for that outcome."""
    try:
        status = command.main(arguments, prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        _show(error)
        status = error.exit_code
    except DaemonError as error:
        click.echo(f"Error: {shown(str(error), keep=BREAKS)}", err=True)
        status = EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted", err=True)
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough; keep the interpreter's last flush quiet.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        status = EXIT_FAILED
    sys.exit(status if isinstance(status, int) else 0)
