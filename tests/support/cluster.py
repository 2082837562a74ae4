"""Real heads and nodes for integration tests: processes on ephemeral loopback ports, in a folder of their own.

Waits are on conditions: the READY line, the list of nodes. `start_cluster` ends what it started, nothing else, and
asserts that nothing of it is left: no process in the groups it made, and a clean exit of those that were not killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maze._daemon.ready import wait_ready
from support.tokens import shown

START_SECONDS = 30.0
STOP_SECONDS = 15.0
ANY_PORTS = ("--port=0", "--node-port=0", "--blob-port=0", "--event-port=0")


@dataclass
class Daemon:
    """A head or a node that a test started; a process group of its own."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    log: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it as a power cut would; a killed daemon may leave workers that end themselves."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Drain it and return its exit status; kill it if it does not obey."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not drain within {STOP_SECONDS} s\n{self.tail()}") from None

    def release(self) -> None:
        """Close our end of its pipe."""
        if self.process.stdout is not None:
            self.process.stdout.close()

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text("utf-8", "replace")[-4000:]


@dataclass
class Cluster:
    """A head and its nodes, made by `start_cluster`."""

    folder: Path
    head: Daemon
    nodes: list[Daemon] = field(default_factory=list)
    past: list[Daemon] = field(default_factory=list)
    """Daemons that were replaced or removed in the course of the test."""
    head_before: Sequence[str] = ()
    """A command that becomes the head, for example one that watches it."""

    @property
    def url(self) -> str:
        return str(self.head.ready["url"])

    @property
    def shown(self) -> dict[str, str]:
        """The header with the head's own token."""
        return shown(self.head.ready)

    @property
    def connection_file(self) -> Path:
        return self.folder / "connection.json"

    @property
    def processes(self) -> list[Daemon]:
        return [self.head, *self.nodes]

    def get(self, path: str) -> Any:
        """Return the JSON of an API resource, by a client that is not ours."""
        request = urllib.request.Request(self.url + path, headers=self.shown)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the body of any request: JSON, or text where it is none."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.shown}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return the whole log of a run, once it has ended."""
        path = f"/api/v1/runs/{run_id}/events"
        page = wait_until(lambda: (found := self.get(path))["sealed"] and found, f"the end of {run_id}")
        return list(page["events"])

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the tasks of a run by id."""
        return {task["task_id"]: task for task in self.get(f"/api/v1/runs/{run_id}/tasks")["tasks"]}

    def add_node(self, *args: str, before: Sequence[str] = ()) -> Daemon:
        """Start one more node and wait until the head counts on it.

        Args:
            args: flags of the node.
            before: a command that is to become the node, for example one that enters a network namespace.
        """
        name = f"node-{len(self.nodes) + len(self.past) + 1}"
        node = _start(self.folder, name, "maze_node", self._node_flags(args), before)
        self.nodes.append(node)
        wanted = len(self.nodes)
        wait_until(lambda: self.ready_nodes() >= wanted, f"{wanted} ready nodes")
        return node

    def ready_nodes(self) -> int:
        """Return how many nodes can take work."""
        return sum(node["state"] == "ready" for node in self.get("/api/v1/nodes")["nodes"])

    def restart_head(self, *, gently: bool = False) -> None:
        """Kill the head, or ask it to stop, and start it again with the same state and ports."""
        if gently:
            assert self.head.stop() == 0, self.head.tail()
        else:
            self.head.kill()
        self.start_head()

    def start_head(self) -> None:
        """Start the head again, after its end, with the same state and ports."""
        before = self.head
        before.release()
        self.past.append(before)
        port = self.url.rpartition(":")[2]
        given = before.command[len(self.head_before) + 3 :]
        flags = [*(flag for flag in given if not flag.startswith("--port")), f"--port={port}"]
        self.head = _start(self.folder, f"head-{len(self.past)}", "maze_head", flags, self.head_before)

    def _node_flags(self, args: Sequence[str]) -> list[str]:
        found = any(each.startswith("--head=") for each in args)
        return [*([] if found else [f"--connection-file={self.connection_file}"]), *args]


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
    """Return the first true value of `condition`, looked at every 10 ms."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {timeout} s in vain for {what}")


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment without settings of Maze, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAZE_")}
    return kept | {"MAZE_CONFIG_FILE": os.devnull} | extra


@contextmanager
def start_cluster(
    nodes: int = 1,
    head_args: Sequence[str] = (),
    node_args: Sequence[str] = ("--cpus=4",),
    head_before: Sequence[str] = (),
) -> Iterator[Cluster]:
    """Run a head and `nodes` nodes; end them, and assert that nothing is left."""
    with tempfile.TemporaryDirectory(prefix="maze-test-") as text:
        folder = Path(text)
        flags = [*ANY_PORTS, f"--state-dir={folder / 'state'}", f"--connection-file={folder / 'connection.json'}"]
        head = _start(folder, "head", "maze_head", [*flags, *head_args], head_before)
        cluster = Cluster(folder, head, head_before=head_before)
        try:
            for _ in range(nodes):
                cluster.add_node(*node_args)
            yield cluster
        finally:
            _end(cluster)


def _start(folder: Path, name: str, module: str, flags: Sequence[str], before: Sequence[str] = ()) -> Daemon:
    log = folder / f"{name}.log"
    command = [*before, sys.executable, "-m", module, *flags]
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env=clean_environment(),
            process_group=0,
        )
    daemon = Daemon(name, command, process, log)
    try:
        daemon.ready = wait_ready(process, START_SECONDS)
    except Exception as error:
        daemon.kill()
        daemon.release()
        raise AssertionError(f"{name} did not start: {error}\n{daemon.tail()}") from error
    return daemon


def _end(cluster: Cluster) -> None:
    killed = [daemon for daemon in cluster.processes if daemon.process.poll() is not None]
    codes = {daemon.name: daemon.stop() for daemon in [*cluster.nodes, cluster.head]}
    everybody = [*cluster.processes, *cluster.past]
    for daemon in everybody:
        daemon.release()
    logs = "\n".join(f"--- {daemon.name}\n{daemon.tail()}" for daemon in everybody)
    wait_until(lambda: not any(_group_lives(daemon.pid) for daemon in everybody), f"empty process groups\n{logs}", 10)
    bad = {name: code for name, code in codes.items() if code != 0 and name not in {each.name for each in killed}}
    assert not bad, f"unclean exits {bad}\n{logs}"


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
