"""What a head refuses to start on, and what it lives through: damage, a second head, no file descriptors."""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from maze_head.schema import MIGRATIONS
from support.cluster import Cluster, start_cluster, wait_until
from support.head_process import FREE_PORTS, run_to_its_end, running_head

PAGE = 4096
REFUSAL_SECONDS = 1.0
"""Of the refusal itself: how much longer than `--version` a second head may take."""
NOISE = 5.0


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a head that was killed after some work, its log folded into the database."""
    state = tmp_path_factory.mktemp("history") / "state"
    with running_head(state) as head:
        for number in range(300):
            body = {"workflow_id": f"workflow_{number:032x}", "name": "w" * 200}
            assert head.request("POST", "/api/v1/workflows", body)[0] == 201
        head.signal(signal.SIGKILL)
        head.wait()
    with sqlite3.connect(state / "journal.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return state


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[PAGE * 6 : PAGE * 8] = os.urandom(2 * PAGE)
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // PAGE // 2 * PAGE])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    path.write_bytes(b"precious " * 10_000)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary(line TEXT)")
    connection.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    connection.close()


def gapped(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM cluster_event WHERE commit_no=100")
    connection.close()


@pytest.mark.parametrize(
    ("harm", "remedy"),
    [
        (torn, "restore a backup"),
        (truncated, "restore a backup"),
        (emptied, "restore a backup"),
        (overwritten, "restore a backup"),
        (foreign, "another --state-dir"),
        (newer, "start that version"),
        (gapped, "restore a backup"),
    ],
)
def test_a_journal_that_cannot_be_trusted_is_refused_and_left_as_it_is(
    history: Path, tmp_path: Path, harm: Callable[[Path], None], remedy: str
) -> None:
    state = tmp_path / "state"
    shutil.copytree(history, state)
    path = state / "journal.db"
    harm(path)
    size = path.stat().st_size
    code, out, err = run_to_its_end(state, *FREE_PORTS)
    assert (code, out) == (78, "")
    (line,) = [line for line in err.splitlines() if line.startswith("Error")]
    assert str(path) in line
    assert remedy in line
    assert "Traceback" not in err
    assert path.stat().st_size == size


def test_the_unharmed_history_is_taken(history: Path, tmp_path: Path) -> None:
    shutil.copytree(history, tmp_path / "state")
    with running_head(tmp_path / "state") as head:
        assert len(head.request("GET", "/api/v1/workflows")[1]["workflows"]) == 300


def test_a_second_head_is_refused_at_once_and_the_first_does_not_notice(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_head(state) as head:
        began = time.monotonic()
        assert run_to_its_end(state, "--version")[0] == 0
        start_up = time.monotonic() - began
        began = time.monotonic()
        code, _, err = run_to_its_end(state, *FREE_PORTS)
        took = time.monotonic() - began
        assert code == 3
        assert f"pid {head.process.pid}" in err
        assert took - start_up < REFUSAL_SECONDS * NOISE
        assert head.request("POST", "/api/v1/workflows", {"name": "first"})[0] == 201
        assert json.loads((state / "connection.json").read_text())["pid"] == head.process.pid


class Live:
    """One kept-alive connection of a client that was there before the trouble."""

    def __init__(self, url: str, token: dict[str, str]) -> None:
        self._shown = token
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 0)
        self._connection = http.client.HTTPConnection(*self.address, timeout=20)

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"Content-Type": "application/json", **self._shown})
        response = self._connection.getresponse()
        return response.status, json.load(response)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def cluster() -> Any:
    with start_cluster() as running:
        yield running


def test_without_file_descriptors_existing_links_live_and_new_ones_wait(cluster: Cluster) -> None:
    live = Live(cluster.url, cluster.shown)
    assert live("GET", "/api/v1/livez")[0] == 200
    pid = cluster.head.pid
    held = len(os.listdir(f"/proc/{pid}/fd"))
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + 2, hard))
    strangers = [socket.create_connection(live.address) for _ in range(20)]
    try:
        wait_until(lambda: "no file descriptors are left" in cluster.head.tail(), "the head to run out")
        for number in range(5):
            status, body = live("POST", "/api/v1/workflows", {"name": f"w{number}"})
            assert status == 201, body
            unknown = live("GET", f"/api/v1/runs/run_{number:032x}/tasks")
            assert unknown[0] == 404
        heard = live("GET", "/api/v1/metrics")[1]["counters"]["driver_events_total"]
        wait_until(lambda: live("GET", "/api/v1/metrics")[1]["counters"]["driver_events_total"] > heard + 10, "turns")
        assert live("GET", "/api/v1/nodes")[1]["nodes"][0]["state"] == "ready"
    finally:
        for stranger in strangers:
            stranger.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    wait_until(lambda: cluster.request("GET", "/api/v1/livez")[0] == 200, "new connections to be taken")
    assert len(live("GET", "/api/v1/workflows")[1]["workflows"]) == 5
    live.close()
    assert cluster.head.tail().count("no file descriptors are left") < 10
