"""A head and nodes that live as long as one client: `maze run` without a head, and `MaClient.local()`.

Rules. An embedded cluster keeps its state in a temporary directory, writes its connection file there and nowhere else,
says `embedded` of itself, and takes the default port of HTTP, and no other one, only if all four are free; so it never
gets in the way of a real one, nor is found by a command that was not told its URL. It ends with its process, kill -9
included.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from maze._daemon.connection import ConnectionInfo
from maze._daemon.errors import DaemonError, NotReady
from maze._daemon.processes import (
    EMBEDDED_HOME,
    head_command,
    listen,
    listen_on_default_port,
    node_command,
    start,
    stop,
)
from maze._daemon.ready import wait_ready
from maze._daemon.secret_files import make_own_token

__all__ = ["EmbeddedCluster"]

START_SECONDS: Final = 30.0
_TAIL_BYTES: Final = 4096
_BALLAST: Final = "--ballast=4"
"""MiB. Temporary directories are in memory on many machines, and what is kept there is thrown away soon."""
_ANY_PORTS: Final = ("--node-port=0", "--blob-port=0", "--event-port=0")


class EmbeddedCluster:
    """One head and `nodes` nodes on this machine, as child processes.

    `begin()` returns at once: `url` accepts connections already, and answers once the head serves. `start()` waits for
    that, while the nodes still join: a run that comes early waits for them. `wait_nodes()` waits for them here.
    `close()` ends everything; so does the end of a `with` block, whose begin is `begin()`.
    """

    def __init__(self, nodes: int = 1, node_flags: Sequence[str] = (), log_level: str = "info") -> None:
        self.node_count = nodes
        self.node_flags = tuple(node_flags)
        self.log_level = log_level
        self.url = ""
        self.token_file: Path | None = None
        """Made before the head starts, so that whoever begins together with it need not wait to know it."""
        self.head: subprocess.Popen[bytes] | None = None
        self.nodes: list[subprocess.Popen[bytes]] = []
        self._home: Path | None = None
        self._logs: dict[str, BinaryIO] = {}
        """Kept open: a head that fails removes the directory, and its reason with it."""

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def processes(self) -> dict[str, subprocess.Popen[bytes]]:
        """The children by name: `head`, `node-1`, …"""
        assert self.head is not None
        return {"head": self.head} | {f"node-{number}": node for number, node in enumerate(self.nodes, 1)}

    @property
    def directory(self) -> Path:
        """Where state, connection file and process logs are, until `close()`."""
        assert self._home is not None
        return self._home

    def begin(self) -> None:
        """Start all processes at once, and wait for none of them."""
        self._begin(listen_on_default_port())

    def start(self) -> ConnectionInfo:
        """Start all processes at once and wait until the head serves.

        Raises:
            DaemonError: it did not; the message ends with the last lines of its log. Nothing is left behind.
        """
        return self._start(listen_on_default_port())

    def wait_nodes(self, timeout: float = START_SECONDS) -> None:
        """Wait until all nodes have joined.

        Raises:
            DaemonError: one did not; the message ends with the last lines of its log.
        """
        deadline = time.monotonic() + timeout
        for number, node in enumerate(self.nodes, 1):
            self._wait(node, f"node-{number}", deadline - time.monotonic())

    def close(self) -> None:
        """End nodes, then the head, and remove the directory. Harmless when repeated."""
        nodes, self.nodes = self.nodes, []
        stop(nodes)
        head, self.head = self.head, None
        if head is not None:
            stop([head])
        logs, self._logs = self._logs, {}
        for log in logs.values():
            log.close()
        home, self._home = self._home, None
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)

    def tail(self, name: str) -> str:
        """Return the last lines that `head` or `node-N` logged."""
        log = self._logs[name].fileno()
        begin = max(0, os.fstat(log).st_size - _TAIL_BYTES)
        return os.pread(log, _TAIL_BYTES, begin).decode("utf-8", "replace").strip()

    def _start(self, listener: socket.socket | None) -> ConnectionInfo:
        self._begin(listener)
        try:
            assert self.head is not None, "it has just been started"
            return ConnectionInfo.from_dict(self._wait(self.head, "head", START_SECONDS))
        except BaseException:
            self.close()
            raise

    def _begin(self, listener: socket.socket | None) -> None:
        """Start everything; HTTP is on the default port if that is held for it, all else on any free ports.

        Between a look at a port and its use somebody may take it, and here nobody would notice in time.
        """
        self._home = Path(tempfile.mkdtemp(prefix="maze-"))
        try:
            # Only the head keeps it: once that is gone, nobody's connections are accepted any more.
            with listen() if listener is None else listener as serving:
                self.url = f"http://127.0.0.1:{serving.getsockname()[1]}"
                self._start_processes(serving.fileno(), _ANY_PORTS)
        except BaseException:
            self.close()
            raise

    def _start_processes(self, http: int, ports: Sequence[str]) -> None:
        home = self.directory / "state"
        home.mkdir(mode=0o700)
        self.token_file = make_own_token(home)
        state, file = (
            f"--state-dir={home}",
            f"--connection-file={self.directory / 'connection.json'}",
        )
        command = head_command("--embedded", "--host=127.0.0.1", f"--http-fd={http}", _BALLAST, state, file, *ports)
        self.head = self._spawn("head", command, (http,), **{EMBEDDED_HOME: str(self.directory)})
        # The nodes load while the head does; each waits for the connection file.
        for number in range(1, self.node_count + 1):
            self.nodes.append(self._spawn(f"node-{number}", node_command(file, *self.node_flags)))

    def _spawn(
        self, name: str, command: list[str], pass_fds: Sequence[int] = (), **extra: str
    ) -> subprocess.Popen[bytes]:
        environment = _clean_environment() | extra
        log = self._logs[name] = (self.directory / f"{name}.log").open("a+b")
        return start([*command, f"--log-level={self.log_level}"], log, environment, pass_fds)

    def _wait(self, process: subprocess.Popen[bytes], name: str, timeout: float) -> dict[str, Any]:
        try:
            return wait_ready(process, timeout)
        except NotReady as error:
            raise DaemonError(f"{error}\n{self.tail(name)}".rstrip()) from error


def _clean_environment() -> dict[str, str]:
    """Return our environment without MAZE_* and configuration files: they are meant for somebody's real cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAZE_")}
    return kept | {"MAZE_CONFIG_FILE": os.devnull}
