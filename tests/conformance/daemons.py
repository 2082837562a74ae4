"""Real heads and nodes for the conformance tests, started as a user would: processes on ephemeral loopback ports.

Independent of the product's own ways to start them, so that those can be judged as well. Waits are on conditions:
the READY line, a file, an answer. Whoever starts a process here stops it here.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY = "MAZE-READY "
START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
EPHEMERAL = ("--port", "0", "--node-port", "0", "--blob-port", "0", "--event-port", "0")


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment without `MAZE_*`, plus `extra`."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MAZE_")}
    return kept | {"PYTHONUNBUFFERED": "1"} | extra


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {timeout} s in vain for {what}")


@dataclass
class Daemon:
    """A started head or node and what it announced."""

    process: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any] = field(default_factory=dict)

    def stop(self) -> int:
        """End it: ask to drain, then to end at once."""
        for patience in (5, STOP_TIMEOUT):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                code = self.process.wait(patience)
                self._close()
                return code
        self.kill()
        raise AssertionError(f"did not end in {STOP_TIMEOUT} s:\n{self.tail()}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT)
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4000:]


def start_daemon(module: str, *arguments: str, folder: Path, name: str) -> Daemon:
    """Start `python -m module` and wait for its READY line."""
    log = folder / f"{name}.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=folder,
            env=clean_environment(MAZE_STATE_DIR=str(folder / "state")),
        )
    daemon = Daemon(process, log)
    try:
        daemon.ready = _ready_line(daemon)
    except BaseException:
        daemon.kill()
        raise
    return daemon


def _ready_line(daemon: Daemon) -> dict[str, Any]:
    assert daemon.process.stdout is not None
    readable, _, _ = select.select([daemon.process.stdout], [], [], START_TIMEOUT)
    line = daemon.process.stdout.readline() if readable else ""
    assert line.startswith(READY), f"no READY line but {line!r}; log:\n{daemon.tail()}"
    ready: dict[str, Any] = json.loads(line.removeprefix(READY))
    return ready


@dataclass
class Cluster:
    """A head, its nodes, and a small HTTP client of our own."""

    folder: Path
    head: Daemon
    nodes: list[Daemon] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return str(self.head.ready["url"])

    @property
    def connection_file(self) -> Path:
        """Return the file that tells commands where this cluster is."""
        return self.folder / "connection.json"

    def add_node(self, name: str, *arguments: str) -> Daemon:
        """Start a node and wait until the head counts it."""
        before = self.get("/api/v1/info")["nodes_ready"]
        options = ("--connection-file", str(self.connection_file), "--name", name, *arguments)
        node = start_daemon("maze_node", *options, folder=self.folder, name=name)
        self.nodes.append(node)
        wait_until(lambda: self.get("/api/v1/info")["nodes_ready"] > before, f"node {name}")
        return node

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON body of a request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def get(self, path: str) -> Any:
        """Return the JSON body of a GET that must succeed."""
        status, body = self.request("GET", path)
        assert status == 200, (status, body)
        return body

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return the rich log of a run that is over."""
        path = f"/api/v1/runs/{run_id}/events"
        reply = wait_until(lambda: (found := self.get(path)) and found["sealed"] and found, f"the end of {run_id}")
        return list(reply["events"])

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the tasks of a run by id."""
        return {task["task_id"]: task for task in self.get(f"/api/v1/runs/{run_id}/tasks")["tasks"]}

    def stop(self) -> None:
        """Stop the nodes, then the head."""
        with ExitStack() as stack:
            stack.callback(self.head.stop)
            for node in self.nodes:
                stack.callback(node.stop)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


@contextmanager
def running_cluster(folder: Path, *head_options: str) -> Iterator[Cluster]:
    """Run a head of its own in `folder`, without nodes yet."""
    options = (*EPHEMERAL, "--state-dir", str(folder / "state"), "--connection-file", str(folder / "connection.json"))
    cluster = Cluster(folder, start_daemon("maze_head", *options, *head_options, folder=folder, name="head"))
    try:
        yield cluster
    finally:
        cluster.stop()


@dataclass
class Finished:
    """What a child process did."""

    code: int
    out: str
    err: str
