"""`maze run`: a script against the head that is there, or else against one of its own.

Rules. The script cannot tell the difference: it finds its head by `MAZE_URL` either way. A head without a ready node
counts as absent, because the script would wait for ever. An embedded head and node start beside the script, live as
long as it and leave nothing behind; requests that come before the head serves wait for it. The exit code is the
script's.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import click
from click.core import ParameterSource

from maze._daemon.connection import find_own_url
from maze._daemon.embedded import EmbeddedCluster
from maze._daemon.options import EXIT_FAILED, DaemonCommand, capacity_options, isolation_option, option, preload_option
from maze.cli._flags import FLAG_OR_FILE, NODE_FLAGS, given
from maze.cli._render import echo
from maze.cli._script import forward, start_script
from maze.cli._supervise import Ended, Signalled, Supervisor, describe_exit, shell_status

__all__ = ["run"]

_PROBE_SECONDS: Final = 2.0


@click.command(
    cls=DaemonCommand,
    section="run",
    context_settings={"allow_interspersed_args": False},
    epilog="""Examples:
  maze run examples/quickstart.py
  maze run train.py --epochs 3              all that follows the script is its own
  maze run --gpus 2 --gpu-mem 24000 infer.py
  MAZE_URL=http://10.0.0.1:8000 maze run train.py

Environment: MAZE_URL, or else MAZE_CONNECTION_FILE, names the head to use; the
script gets MAZE_URL set. Exit code: the script's; 130 after Ctrl-C.""",
)
@option("--embedded", is_flag=True, help="Start an own head and node even if a head is there.")
@option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Nodes of the own head.")
@capacity_options
@preload_option
@isolation_option
@click.argument("script", type=click.Path(exists=True))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context, /, script: str, arguments: tuple[str, ...], embedded: bool, nodes: int, **capacity: Any
) -> None:
    """Run a script, with a head of its own if none is there.

    Uses the head of MAZE_URL or of the connection file if one answers and has a ready node. Otherwise, or when
    --embedded or capacity flags are given, it starts a head and nodes that live as long as the script.
    """
    typed = given(context, (*NODE_FLAGS, "nodes"), ParameterSource.COMMANDLINE)
    url = None if embedded or typed else _ready_head()
    with ExitStack() as stack:
        cluster = None
        if url is None:
            stack.enter_context(_leave_on_signal())
            flags = given(context, NODE_FLAGS, *FLAG_OR_FILE, ParameterSource.ENVIRONMENT)
            cluster = stack.enter_context(EmbeddedCluster(nodes, flags))
            url = cluster.url
        status = _run_script(script, arguments, url, cluster)
    context.exit(shell_status(status))


def _ready_head() -> str | None:
    """Return the URL of the head that this user has, if it answers and can take work."""
    url = find_own_url()
    if url is None:
        return None
    from maze.cli._api import Head, HeadUnreachable  # an own head is up sooner without it

    try:
        ready = Head(url, timeout=_PROBE_SECONDS).info()["nodes_ready"]
    except HeadUnreachable:
        echo(f"maze run: no head answers at {url}; starting one for this script", err=True)
        return None
    if not ready:
        echo(f"maze run: the head at {url} has no ready node; starting one for this script", err=True)
        return None
    return url


def _run_script(script: str, arguments: Sequence[str], url: str, cluster: EmbeddedCluster | None) -> int:
    """Return the script's exit status, negative for the signal that ended it."""
    told = 0
    # Signals first: a script may be quicker to get ready for Ctrl-C than we are.
    with Supervisor() as supervisor:
        process = start_script(script, arguments, url, starting=None if cluster is None else cluster.token_file)
        supervisor.watch("", process)
        for name, daemon in ({} if cluster is None else cluster.processes).items():
            supervisor.watch(name, daemon)
        while True:
            happening = supervisor.next()
            if isinstance(happening, Signalled):
                told += 1
                # Whoever insists gets their way, even against a script that ignores signals.
                forward(happening.number if told < 3 else signal.SIGKILL, process)
            elif isinstance(happening, Ended) and not happening.name:
                return happening.status
            elif isinstance(happening, Ended) and cluster is not None and process.poll() is None:
                _report_death(cluster, happening)
                process.terminate()
                process.wait()
                return EXIT_FAILED


def _report_death(cluster: EmbeddedCluster, daemon: Ended) -> None:
    echo(f"maze run: its {daemon.name} ended ({describe_exit(daemon.status)}), so the script cannot go on", err=True)
    echo(cluster.tail(daemon.name), err=True)


@contextmanager
def _leave_on_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that what was started is ended."""

    def leave(number: int, frame: object) -> None:
        sys.exit(shell_status(-number))

    previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
