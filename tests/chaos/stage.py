"""A cluster under attack: what its processes are, what the head says of its nodes and when, and how work gets there.

A `Stage` is a cluster of support.cluster with a mark in the environment, which every descendant inherits whatever
session it moves to: so the stage can tell, at its end, that nothing of it is left anywhere. It never touches a process
that does not carry its mark.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.history import Execution, History, executions
from chaos.proxy import ChaosProxy, proxy_to
from chaos.work import digest_of, leave_traces
from maze import MaClient, MaWorkflow
from support.cluster import Cluster, Daemon, start_cluster, wait_until

MARK = "CHAOS_MARK"
PATIENCE = 60.0
"""How long a condition may take to come true when nothing is promised about time."""


class Stage:
    """A running cluster, its history, and the folder of its side effects."""

    def __init__(self, cluster: Cluster, mark: str) -> None:
        self.cluster = cluster
        self.mark = mark
        self.history = History()
        self.traces = cluster.folder / "traces"
        self.traces.mkdir()
        self.proxies: dict[str, ChaosProxy] = {}
        self.client = MaClient(cluster.url)

    # -- processes

    def workers(self, node: Daemon) -> list[psutil.Process]:
        """Return the living worker processes of a node."""
        spawner = self.spawner(node)
        return [] if spawner is None else _children(spawner)

    def spawner(self, node: Daemon) -> psutil.Process | None:
        """Return the node's spawner, if it has one just now."""
        found = [child for child in _children(psutil.Process(node.pid)) if "maze_node.spawner" in _cmdline(child)]
        return found[0] if found else None

    def family(self, node: Daemon) -> list[int]:
        """Return the pids of a node's agent and of all that it has below it."""
        agent = psutil.Process(node.pid)
        return [agent.pid, *(child.pid for child in agent.children(recursive=True))]

    def zombies(self, node: Daemon) -> list[int]:
        """Return the dead below a node that nobody has buried."""
        below = psutil.Process(node.pid).children(recursive=True)
        return [child.pid for child in below if _status(child) == psutil.STATUS_ZOMBIE]

    def alive(self) -> list[int]:
        """Return the living processes of this stage, wherever they have moved to."""
        return [pid for pid in psutil.pids() if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            return pid != os.getpid() and self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def signal(self, pids: Sequence[int], number: signal.Signals) -> None:
        """Signal processes of this stage; those that are gone meanwhile are skipped."""
        for pid in pids:
            if self._is_ours(pid):
                os.kill(pid, number)

    def add_proxied_node(self, name: str, *flags: str) -> ChaosProxy:
        """Start a node that reaches the head through a proxy of its own."""
        proxy = self.proxies[name]
        self.cluster.add_node(f"--name={name}", f"--head={proxy.endpoint}", *flags)
        return proxy

    def settle(self) -> None:
        """Let everything go on, cancel what still runs, and drain the nodes."""
        for proxy in self.proxies.values():
            proxy.heal()
        self.signal(self.alive(), signal.SIGCONT)
        with suppress(OSError):
            for run in self.cluster.get("/api/v1/runs?limit=1000")["runs"]:
                if not run["sealed"]:
                    self.cluster.request("DELETE", f"/api/v1/runs/{run['run_id']}")
        for node in self.cluster.nodes:
            node.stop()

    # -- nodes

    def node_states(self) -> dict[str, str]:
        """Return what the head thinks of each node."""
        return {node["node_id"]: node["state"] for node in self.cluster.get("/api/v1/nodes")["nodes"]}

    def wait_state(self, name: str, *states: str, timeout: float = PATIENCE) -> float:
        """Wait until a node is in one of the states; return the moment."""
        wait_until(lambda: self.node_states().get(name) in states, f"{name} to be {states}", timeout)
        return time.monotonic()

    def counters(self) -> dict[str, float]:
        """Return the head's counters."""
        return dict(self.cluster.get("/api/v1/metrics")["counters"])

    # -- work

    def prepare(self, count: int, seconds: float, prefix: str = "t", **options: Any) -> Job:
        """Make a workflow of independent tasks that leave traces."""
        workflow = self.client.create_workflow(prefix)
        names = [f"{prefix}-{number:05}" for number in range(count)]
        made = {}
        for name in names:
            inputs = {"folder": str(self.traces), "name": name, "seconds": seconds}
            task = workflow.add_task(leave_traces, inputs=inputs, **options)
            made[task.task_id] = name
        workflow.get_tasks()
        return Job(workflow, made)

    def submit(self, workflow: MaWorkflow, run_id: str | None = None) -> str:
        """Run a workflow, asking until the head has acknowledged it; every attempt is recorded."""
        run_id = run_id or f"run_{uuid.uuid4().hex}"
        body = {"workflow_id": workflow.workflow_id, "run_id": run_id}

        def attempt() -> bool:
            began = time.monotonic()
            try:
                status, answer = self.cluster.request("POST", "/api/v1/runs", body)
            except OSError as error:
                self.history.note("submit", run_id, "info", began, str(error))
                return False
            known = status in (200, 201)
            # 429 and 503 say: not now. Anything else in 4xx is a refusal for good.
            outcome = "ok" if known else "info" if status >= 500 or status == 429 else "fail"
            self.history.note("submit", run_id, outcome, began, answer)
            assert outcome != "fail", answer
            return known

        wait_until(attempt, f"an acknowledgement of {run_id}", PATIENCE)
        return run_id

    def read(self, run_id: str) -> dict[str, Any] | None:
        """Return the summary of a run, None if the head does not know it or does not answer."""
        began = time.monotonic()
        try:
            status, answer = self.cluster.request("GET", f"/api/v1/runs/{run_id}")
        except OSError as error:
            self.history.note("read", run_id, "info", began, str(error))
            return None
        self.history.note("read", run_id, "ok" if status in (200, 404) else "info", began, status == 200)
        return dict(answer) if status == 200 else None

    def wait_sealed(self, *run_ids: str, timeout: float = PATIENCE) -> dict[str, dict[str, Any]]:
        """Wait until runs have ended; return their summaries."""
        ended: dict[str, dict[str, Any]] = {}
        for run_id in run_ids:
            ended[run_id] = wait_until(
                lambda run_id=run_id: (found := self.read(run_id)) and found["sealed"] and found,
                f"the end of {run_id}", timeout,
            )  # fmt: skip
        return ended

    def log(self, run_id: str) -> list[dict[str, Any]]:
        """Return the events of a run so far."""
        events: list[dict[str, Any]] = []
        while True:
            after = events[-1]["seq"] if events else 0
            page = self.cluster.get(f"/api/v1/runs/{run_id}/events?after={after}&limit=1000")["events"]
            if not page:
                return events
            events += page

    def executions(self) -> dict[str, list[Execution]]:
        """Return what tasks did, by their names."""
        return executions(self.traces)

    def started(self, *names: str) -> bool:
        """Tell whether each of these tasks has been started at least once."""
        return all((self.traces / name).exists() for name in names)


class Job:
    """A prepared workflow: its tasks' names by id."""

    def __init__(self, workflow: MaWorkflow, names: dict[str, str]) -> None:
        self.workflow = workflow
        self.names = names

    @property
    def expected(self) -> dict[str, Any]:
        """Return what each task must give."""
        return {task_id: digest_of(name) for task_id, name in self.names.items()}


class NodeWatch:
    """Notes when the head's opinion of a node changes, by asking it again and again."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self.changes: list[tuple[float, str, str]] = []
        """(moment, node, state)"""
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> NodeWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def when(self, name: str, *states: str, since: float = 0.0) -> float | None:
        """Return the first moment since `since` at which the node was seen in one of the states."""
        return next((at for at, who, what in self.changes if who == name and what in states and at >= since), None)

    def wait(self, name: str, *states: str, since: float = 0.0, timeout: float = PATIENCE) -> float:
        """Return that moment, waiting for it."""
        return float(wait_until(lambda: self.when(name, *states, since=since), f"{name} {states}", timeout))

    def _watch(self) -> None:
        last: dict[str, str] = {}
        while not self._stop.wait(0.02):
            try:
                now = self._stage.node_states()
            except OSError:
                continue
            moment = time.monotonic()
            for name, state in now.items():
                if last.get(name) != state:
                    self.changes.append((moment, name, state))
            last = now


def _children(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return ""


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@contextmanager
def open_stage(
    nodes: int = 0,
    head_args: Sequence[str] = (),
    node_args: Sequence[str] = ("--cpus=4",),
    proxied: Sequence[str] = (),
) -> Iterator[Stage]:
    """Run a cluster; afterwards end what is left of it, and assert that nothing was.

    Args:
        nodes: how many nodes to start, called node-1, node-2, …
        proxied: names of more nodes, each of which reaches the head through a proxy of its own.
    """
    mark = f"chaos-{uuid.uuid4().hex}"
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(MARK, mark)
        cluster = stack.enter_context(start_cluster(0, head_args))
        stage = Stage(cluster, mark)
        stack.callback(stage.client.close)
        host, _, port = cluster.head.ready["node"].removeprefix("tcp://").rpartition(":")
        for name in proxied:
            stage.proxies[name] = stack.enter_context(proxy_to((host, int(port))))
        stack.callback(stage.settle)
        for name in proxied:
            stage.add_proxied_node(name, *node_args)
        for number in range(nodes):
            cluster.add_node(f"--name=node-{number + 1}", *node_args)
        yield stage
    wait_until(lambda: not stage.alive(), f"the end of {stage.alive()}", 10)
