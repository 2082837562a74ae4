"""A head and nodes as processes of their own, a client of them through the public SDK, and what they all use."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from maze import MaClient

__all__ = ["Cluster", "cluster", "run", "values_of"]


class Cluster:
    """A head and its nodes, and a client of them."""

    def __init__(self, client: MaClient, head: psutil.Process, nodes: list[psutil.Process]) -> None:
        self.client = client
        self.head = head
        self.nodes = nodes

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of each kind of process so far."""
        return {name: sum(_cpu(process) for process in processes) for name, processes in self._parts().items()}

    def resident_bytes(self) -> dict[str, int]:
        """Return the resident memory of each kind of process."""
        return {name: sum(each.memory_info().rss for each in processes) for name, processes in self._parts().items()}

    def _parts(self) -> dict[str, list[psutil.Process]]:
        workers = [child for node in self.nodes for child in node.children(recursive=True)]
        return {"client": [psutil.Process()], "head": [self.head], "agents": self.nodes, "workers": workers}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("MAZE-READY "), f"{arguments[0]} said {line!r}"
    return process, json.loads(line.removeprefix("MAZE-READY "))


@contextmanager
def cluster(nodes: int, cpus: int, durability: str, *more: str, head_flags: Sequence[str] = ()) -> Iterator[Cluster]:
    """Run a head and so many nodes of so many CPUs each."""
    started: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        ports = ["--port", "0", "--node-port", "0", "--blob-port", "0", "--event-port", "0"]
        try:
            head, ready = _start(
                "maze_head", *ports, "--state-dir", str(state / "head"), "--connection-file", str(state / "c.json"),
                "--durability", durability, "--log-level", "warning", *head_flags,
            )  # fmt: skip
            started.append(head)
            for number in range(nodes):
                node, _ = _start(
                    "maze_node", "--connection-file", str(state / "c.json"), "--cpus", str(cpus),
                    "--name", f"n{number}", "--label", f"place=n{number}", "--log-level", "warning", *more,
                )  # fmt: skip
                started.append(node)
            with MaClient(ready["url"]) as client:
                yield Cluster(client, psutil.Process(head.pid), [psutil.Process(node.pid) for node in started[1:]])
        finally:
            # Nodes first: what they still have to say, they say to the head.
            for process in reversed(started[1:]):
                process.terminate()
            for process in reversed(started):
                process.terminate()
                process.wait(60)


def values_of(messages: list[dict[str, Any]]) -> list[Any]:
    """Return the outputs `x` of all finished tasks."""
    return [message["data"]["result"]["x"] for message in messages if message["type"] == "finish_task"]


def run(client: MaClient, add: Callable[[Any], object]) -> list[dict[str, Any]]:
    """Make a workflow, run it, and return its messages."""
    workflow = client.create_workflow()
    add(workflow)
    return workflow.get_results(workflow.run(), verbose=False)
