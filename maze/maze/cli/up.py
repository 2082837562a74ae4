"""`maze up`: a head and nodes as child processes in the foreground.

Rules. Flags that were given, and only those, are handed on; the children read the environment and the configuration
files themselves, so `maze up` means exactly what `maze-head` and `maze-node` mean. stdout carries one READY line when
it is not a terminal, and nothing else; logs and words to the user go to stderr.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from maze._daemon.connection import default_path
from maze._daemon.options import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    DaemonCommand,
    capacity_options,
    head_options,
    isolation_option,
    log_options,
    option,
    preload_option,
)
from maze._daemon.processes import head_command, node_command, release, start, stop
from maze._daemon.ready import announce
from maze.cli._flags import NODE_FLAGS, given
from maze.cli._render import echo
from maze.cli._supervise import Ended, Ready, Supervisor, describe_exit

__all__ = ["up"]

_HEAD_FLAGS: Final = (
    "host", "port", "node_port", "blob_port", "event_port", "advertise", "state_dir", "durability", "insecure", "curve",
    "tls_cert", "tls_key", "allow_host", "allow_origin", "no_token", "open_seed_routes",
    "heartbeat", "suspect_after", "lost_after", "recovery_grace", "max_pending_tasks",
    "ballast", "keep_runs", "keep_days", "keep_bytes", "order",
)  # fmt: skip
_LOG_FLAGS: Final = ("log_level", "log_format")
_GREETING: Final = """
Maze is up at {url} with {nodes}. Next, in another terminal:
  maze run SCRIPT.py     run a workflow here
  maze ps                see what is running
Ctrl-C drains and ends everything.
"""


@click.command(
    cls=DaemonCommand,
    section="up",
    epilog="""Examples:
  maze up                                   one node that offers the whole machine
  maze up --nodes 2 --cpus 2                two nodes of two CPUs each
  maze up --gpus 2 --gpu-mem 24000          declare GPUs that are not there
  maze up --port 0 --node-port 0 --blob-port 0 --event-port 0 --state-dir trial
                                            beside another cluster

What is measured is divided among the nodes; flags tell what each one offers. The first Ctrl-C (or
SIGTERM) drains: running tasks are finished; the second ends everything now.
Exit codes: 0 after SIGTERM, 130 after Ctrl-C, 1 if a process failed.""",
)
@option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="How many nodes to start.")
@head_options
@capacity_options
@preload_option
@isolation_option
@log_options
@click.pass_context
def up(context: click.Context, /, nodes: int, **flags: Any) -> None:
    """Start a head and nodes on this machine, in the foreground.

    The flags of the head and the capacity flags of the nodes mean what they mean for maze-head and maze-node; the
    capacity is that of each node.
    """
    file = f"--connection-file={_connection_file(flags)}"
    head = head_command(file, *given(context, (*_HEAD_FLAGS, *_LOG_FLAGS)))
    node_flags = (file, *given(context, (*NODE_FLAGS, *_LOG_FLAGS)))
    commands = {name: node_command(*node_flags, *flag) for name, flag in _names(nodes).items()}
    with Supervisor(["head", *commands]) as supervisor:
        cluster = _Cluster(supervisor, len(commands))
        try:
            started = cluster.start("head", head)
            # They load while the head does; the file may still be that of a head that was killed.
            for name, command in commands.items():
                cluster.start(name, [*command, f"--head-pid={started}"])
            context.exit(cluster.run())
        finally:
            cluster.end()


class _Cluster:
    """The children, and how far they have come: starting, serving, draining, gone."""

    def __init__(self, supervisor: Supervisor, nodes: int) -> None:
        self.supervisor = supervisor
        self.nodes = nodes
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ready: set[str] = set()
        self.info: dict[str, Any] = {}
        self.status: int | None = None
        """The exit code, once we were told to stop."""

    def run(self) -> int:
        """Serve until there is an exit code."""
        while True:
            happening = self.supervisor.next()
            if isinstance(happening, Ready):
                self._on_ready(happening.name, happening.info)
            elif isinstance(happening, Ended):
                status = self._on_ended(happening.name, happening.status)
                if status is not None:
                    return status
            elif self.status is None:
                self._drain(happening.number)
            else:
                return self.status

    def start(self, name: str, command: list[str]) -> int:
        """Start a child, copy its log, and have its READY line and its end reported; return its pid."""
        process = start(command, subprocess.PIPE)
        log, process.stderr = process.stderr, None
        assert log is not None
        self.running[name] = process
        self.supervisor.copy_log(name, log)
        self.supervisor.watch(name, process, ready=True)
        return process.pid

    def end(self) -> None:
        """End what is left, on any way out: in order, and within seconds."""
        stop(process for name, process in self.running.items() if name != "head")
        stop(process for name, process in self.running.items() if name == "head")

    def _on_ready(self, name: str, info: dict[str, Any]) -> None:
        if name == "head":
            self.info = info
        self.ready.add(name)
        # A node's line may be read before that of the head which let it in.
        if len(self.ready) == 1 + self.nodes:
            self._greet()

    def _greet(self) -> None:
        if not sys.stdout.isatty():
            announce(self.info | {"nodes": self.nodes})
        count = self.nodes
        echo(_GREETING.format(url=self.info["url"], nodes=f"{count} node{'s' * (count > 1)}"), err=True)

    def _on_ended(self, name: str, status: int) -> int | None:
        """Return our exit code if there is nothing left to do."""
        release(self.running.pop(name))
        if self.status is None:
            echo(f"maze up: {name} ended ({describe_exit(status)})", err=True)
            return None if name != "head" and len(self.running) > 1 else EXIT_FAILED
        if list(self.running) == ["head"]:
            self._tell("head")
        return None if self.running else self.status

    def _drain(self, number: int) -> None:
        """Tell the nodes; the head is told when they have reported what they finished."""
        self.status = EXIT_INTERRUPTED if number == signal.SIGINT else 0
        echo("maze up: draining; once more to stop now", err=True)
        for name in [name for name in self.running if name != "head"] or ["head"]:
            self._tell(name)

    def _tell(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGTERM)


def _connection_file(flags: Mapping[str, Any]) -> Path:
    """Return where the head will write it, so that the nodes can be told."""
    if flags["connection_file"] is not None:
        return Path(flags["connection_file"])
    return Path(flags["state_dir"]) / "connection.json" if flags["state_dir"] is not None else default_path()


def _names(count: int) -> dict[str, list[str]]:
    """Return what we call each node; where they are several, with its flags for a name and a part of the machine."""
    if count == 1:
        return {"node": []}
    return {
        f"node-{number}": [f"--name={socket.gethostname()}-{number}", f"--share={number}/{count}"]
        for number in range(1, count + 1)
    }
