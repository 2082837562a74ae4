"""Authenticated connections between real processes: the head's own user notices nothing, strangers get nowhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import zmq

from maze import MaClient, task
from maze._daemon.curve import ClientSide
from maze._daemon.keys import KeyPair, load_pair
from maze._daemon.processes import release
from maze._daemon.ready import wait_ready
from support.cluster import ANY_PORTS, Cluster, clean_environment, start_cluster

REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
LONG = 20_000
"""Milliseconds for what will come."""


@task(inputs=["size"], outputs=["data"])
def make(params: dict[str, Any]) -> dict[str, Any]:
    return {"data": bytes(range(256)) * (params["size"] // 256)}


@task(inputs=["data"], outputs=["total"], resources={"cpu": 4})
def add_up(params: dict[str, Any]) -> dict[str, Any]:
    return {"total": sum(params["data"])}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with start_cluster(2, head_args=["--curve"]) as cluster:
        yield cluster


def refusal(endpoint: str, side: ClientSide | None, kind: int = zmq.DEALER) -> int:
    """Connect in vain; return the monitor's event."""
    with zmq.Context() as context, context.socket(kind) as knocking:
        knocking.linger = 0
        if side is not None:
            side.apply(knocking)
        monitor = knocking.get_monitor_socket(REFUSED)
        knocking.connect(endpoint)
        assert monitor.poll(LONG), f"{endpoint} neither refuses nor answers"
        event = int.from_bytes(monitor.recv_multipart()[0][:2], sys.byteorder)
        knocking.disable_monitor()
        monitor.close(0)
    return event


def test_a_workflow_runs_and_its_objects_travel(cluster: Cluster) -> None:
    client = MaClient(cluster.url)
    workflow = client.create_workflow()
    made = [workflow.add_task(make, inputs={"size": 1 << 20}) for _ in range(4)]
    sums = [workflow.add_task(add_up, inputs={"data": each.outputs["data"]}) for each in made]
    results = workflow.show_results(workflow.run())["task_results"]
    totals = [results[each.task_id]["total"] for each in sums]
    assert totals == [4096 * sum(range(256))] * 4


def test_who_may_read_over_http_is_let_in_to_publications(cluster: Cluster) -> None:
    refused = cluster.get("/api/v1/metrics")["counters"]["publisher_refused_total"]
    client = MaClient(cluster.url)
    workflow = client.create_workflow()
    workflow.add_task(make, inputs={"size": 256})
    run_id = workflow.run()
    seen = [event["type"] for event in client.subscribe(run_id, transport="zmq")]
    assert seen[-1] == "finish_workflow"
    metrics = cluster.get("/api/v1/metrics")["counters"]
    assert metrics["connections_admitted_total"] > 0
    assert metrics["publisher_refused_total"] == refused


def doors(cluster: Cluster) -> dict[str, str]:
    """Return all sockets that a stranger can reach."""
    peers = {
        f"peer {number}": f"tcp://127.0.0.1:{connection.laddr.port}"
        for number, node in enumerate(cluster.nodes)
        for connection in psutil.Process(node.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(peers) == 2, "each node has one"
    return {name: str(cluster.head.ready[name]) for name in ("node", "blob", "events")} | peers


@pytest.mark.parametrize("door", ["node", "blob", "events", "peer 0"])
def test_a_stranger_is_refused_though_it_knows_the_servers_key(cluster: Cluster, door: str) -> None:
    endpoint = doors(cluster)[door]
    local = load_pair(Path(cluster.head.ready["node_key_file"]))
    server = local.public if door == "peer 0" else cluster.head.ready["head_key"]
    kind = zmq.SUB if door == "events" else zmq.DEALER
    assert refusal(endpoint, ClientSide(KeyPair.make(), server), kind) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    assert refusal(endpoint, None, kind) != zmq.EVENT_HANDSHAKE_FAILED_AUTH, "without CURVE it does not come that far"


ILL: Final = """
import maze._daemon.zap as zap

def fall_ill(*_):
    raise ValueError("ill")

zap.Doorkeeper._answer = fall_ill
from maze_head.cli import main
main()
"""


def test_a_head_whose_doorkeeper_falls_ill_ends_with_a_story(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with (tmp_path / "log").open("wb") as log:
        head = subprocess.Popen(
            [sys.executable, "-c", ILL, "--curve", *ANY_PORTS, f"--state-dir={state}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=clean_environment(),
        )  # fmt: skip
    try:
        ready = wait_ready(head, 30.0)
        with zmq.Context() as context, context.socket(zmq.DEALER) as knocking:
            knocking.linger = 0
            ClientSide(KeyPair.make(), ready["head_key"]).apply(knocking)
            knocking.connect(ready["node"])
            assert head.wait(20) == 70
    finally:
        head.kill()
        head.wait()
        release(head)
    assert "nobody says any more who may connect: ValueError('ill')" in (tmp_path / "log").read_text()


def test_a_node_without_a_key_that_counts_leaves_and_says_why(cluster: Cluster) -> None:
    ready = cluster.head.ready
    command = [sys.executable, "-m", "maze_node", f"--head={ready['node']}", f"--head-key={ready['head_key']}"]
    done = subprocess.run(
        [*command, f"--node-dir={cluster.folder / 'stranger'}"],
        capture_output=True, text=True, timeout=60, env=clean_environment(), stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "the head does not know this node's key" in done.stderr
    assert cluster.ready_nodes() == 2
