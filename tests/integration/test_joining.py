"""Nodes of other machines, as far as one machine can play them: join by token, work, are revoked, are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient, task
from support.cluster import Cluster, Daemon, clean_environment, start_cluster, wait_until
from support.head_process import running_head
from support.tls import write_pair

SIZE = 24_000_000


@task(inputs=["seed"], outputs=["data"])
def make(params: dict[str, Any]) -> dict[str, Any]:
    return {"data": bytes([params["seed"]]) * 24_000_000}


@task(inputs=["data"], outputs=["total"])
def add_up(params: dict[str, Any]) -> dict[str, Any]:
    return {"total": sum(params["data"][:1000])}


@task(inputs=["path"], outputs=["pid"])
def hang_until(params: dict[str, Any]) -> dict[str, Any]:
    import os
    import time
    from pathlib import Path

    begun = Path(params["path"])
    if not begun.exists():
        begun.write_text("")
        time.sleep(600)
    return {"pid": os.getpid()}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with start_cluster(0, head_args=["--curve"]) as cluster:
        yield cluster


def command(cluster: Cluster, module: str, *words: str, code: int = 0) -> str:
    """Run a command that ends; return what it said."""
    told = {"MAZE_CONNECTION_FILE": str(cluster.connection_file)} if module == "maze_head" else {}
    done = subprocess.run(
        [sys.executable, "-m", module, *words], capture_output=True, text=True, timeout=60,
        env=clean_environment(**told), stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout.strip() or done.stderr


def head_command(cluster: Cluster, *words: str, code: int = 0) -> str:
    return command(cluster, "maze_head", *words, f"--state-dir={cluster.folder / 'state'}", code=code)


def join(cluster: Cluster, name: str) -> Path:
    """Let a node join by a token of its own; return its directory."""
    token = head_command(cluster, "token", "create", "--scope=node-join")
    directory = cluster.folder / name
    said = command(cluster, "maze_node", "join", token, f"--name={name}", f"--node-dir={directory}")
    assert said == f"joined {cluster.url} as {name}; `maze-node` starts the node"
    again = command(cluster, "maze_node", "join", token, "--name=x", f"--node-dir={cluster.folder / 'x'}", code=78)
    assert "this token was used before" in again
    assert oct((directory / "node.key").stat().st_mode)[-3:] == "600"
    return directory


def start(cluster: Cluster, name: str) -> Daemon:
    """Start a node that has joined; its address is the only option that a test needs, to find no other head."""
    endpoint = cluster.head.ready["node"]
    return cluster.add_node(
        f"--node-dir={cluster.folder / name}", f"--head={endpoint}", "--cpus=2", f"--label=at={name}"
    )


def states(cluster: Cluster) -> dict[str, str]:
    return {node["node_id"]: node["state"] for node in cluster.get("/api/v1/nodes")["nodes"]}


def test_nodes_that_joined_work_together_until_one_is_revoked(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        join(cluster, name)
    start(cluster, "n1")
    start(cluster, "n2")
    assert states(cluster) == {"n1": "ready", "n2": "ready"}
    keys = [line.split("  ")[0] for line in head_command(cluster, "node", "list").splitlines()]
    assert len(set(keys)) == 2, "each has its own"
    client = MaClient(cluster.url)

    # An object goes from one to the other, and not through the head.
    workflow = client.create_workflow()
    made = workflow.add_task(make, inputs={"seed": 3}, require={"at": "n1"})
    seen = workflow.add_task(add_up, inputs={"data": made.outputs["data"]}, require={"at": "n2"})
    assert workflow.show_results(workflow.run())["task_results"][seen.task_id] == {"total": 3000}
    assert cluster.get("/api/v1/metrics")["counters"].get("objects_bytes_out_total", 0) == 0

    # What runs on a node that is revoked goes elsewhere.
    begun = cluster.folder / "begun"
    workflow = client.create_workflow()
    workflow.add_task(hang_until, inputs={"path": str(begun)}, prefer={"at": "n2"})
    run_id = workflow.run()
    wait_until(begun.exists, "the task to begin")
    where = next(event["data"]["node_id"] for event in client.subscribe(run_id) if event["type"] == "start_task")
    head_command(cluster, "node", "revoke", where)
    victim = cluster.nodes.pop(0 if where == "n1" else 1)
    cluster.past.append(victim)
    assert victim.process.wait(20) == 78
    assert "its key was revoked" in victim.tail()
    assert states(cluster)[where] == "lost"
    assert cluster.events(run_id)[-1]["type"] == "finish_workflow"

    # And it does not come back.
    endpoint = cluster.head.ready["node"]
    said = command(cluster, "maze_node", f"--node-dir={cluster.folder / where}", f"--head={endpoint}", code=78)
    assert "the head does not know this node's key" in said
    assert where not in head_command(cluster, "node", "list")


def test_a_key_speaks_for_its_own_node_and_a_name_has_one_key(cluster: Cluster) -> None:
    directory = join(cluster, "n1")
    endpoint = cluster.head.ready["node"]
    said = command(cluster, "maze_node", f"--node-dir={directory}", f"--head={endpoint}", "--name=n2", code=78)
    assert "the key of this connection speaks for node 'n1' only" in said
    token = head_command(cluster, "token", "create", "--scope=node-join")
    other = f"--node-dir={cluster.folder / 'other'}"
    said = command(cluster, "maze_node", "join", token, "--name=n1", other, code=78)
    assert "another key speaks for node 'n1' already" in said
    assert "joined" in command(cluster, "maze_node", "join", token, "--name=n3", other), "the token is still good"
    said = command(cluster, "maze_node", f"--connection-file={cluster.connection_file}", "--name=n1", code=78)
    assert "another key speaks for this node id" in said, "not even the head's own user takes its name"
    assert sorted(os.listdir(directory)) == ["head.json", "node.key"]


def test_who_was_authorised_is_known_after_a_restart(cluster: Cluster) -> None:
    join(cluster, "n1")
    start(cluster, "n1")
    cluster.restart_head()
    wait_until(lambda: states(cluster).get("n1") == "ready", "the node to come back", 30)


def test_a_node_joins_over_tls(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path)
    with running_head(tmp_path / "state", "--curve", f"--tls-cert={cert}", f"--tls-key={key}"):
        environment = clean_environment(MAZE_STATE_DIR=str(tmp_path / "state"))

        def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60, env=environment | more,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip

        token = run("maze_head", "token", "create", "--scope=node-join", MAZE_CA=str(cert)).stdout.strip()
        join = ("maze_node", "join", token, "--name=n1", f"--node-dir={tmp_path / 'node'}")
        refused = run(*join)
        assert (refused.returncode, "certificate" in refused.stderr) == (75, True)
        assert run(*join, MAZE_CA=str(cert)).stdout.startswith("joined https://127.0.0.1:")
        assert "n1" in run("maze_head", "node", "list", MAZE_CA=str(cert)).stdout
