"""`maze rm` and `maze backup` against real heads: what is removed is gone for everybody, what is copied lives again."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from maze import MaClient, UnknownWorkflowError, task
from support.cluster import Cluster, start_cluster, wait_until
from support.commands import Mark
from support.head_process import running_head


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    print("doubling")
    return {"y": params["x"] * 2}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with start_cluster(head_args=("--keep-runs=5",)) as running:
        yield running


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Mark]:
    place = Mark(tmp_path)
    yield place
    place.end()


@pytest.fixture
def maze(mark: Mark, cluster: Cluster) -> Callable[..., CompletedProcess[str]]:
    def call(*arguments: str, status: int = 0) -> CompletedProcess[str]:
        done = mark.run(*arguments, MAZE_URL=cluster.url)
        assert done.returncode == status, done.stderr
        return done

    return call


def ran(client: MaClient, count: int = 1) -> tuple[Any, list[str]]:
    workflow = client.create_workflow()
    workflow.add_task(double, inputs={"x": 21})
    runs = []
    for _ in range(count):
        runs.append(workflow.run())
        workflow.get_results(runs[-1], verbose=False)
    return workflow, runs


def journal(state: Path, query: str) -> Any:
    with closing(sqlite3.connect(f"{(state / 'journal.db').as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchone()[0]


def test_a_removed_run_is_gone_for_everybody(cluster: Cluster, maze: Callable[..., CompletedProcess[str]]) -> None:
    with MaClient(cluster.url) as client:
        workflow, (first, second) = ran(client, 2)
        assert maze("rm", first, status=2).stderr.count("--yes") == 1
        assert maze("rm", first, "--yes").stdout == f"removed {first[:12]}\n"
        for method, path in (
            ("GET", ""), ("GET", "/tasks"), ("GET", "/events"), ("DELETE", ""), ("DELETE", "/record"),
            ("GET", f"/tasks/{next(iter(cluster.tasks(second)))}/logs"),
        ):  # fmt: skip
            status, body = cluster.request(method, f"/api/v1/runs/{first}{path}")
            assert (status, body["error"]["code"]) == (410, "run_removed"), path
        body = {"workflow_id": workflow.workflow_id, "run_id": first}
        assert cluster.request("POST", "/api/v1/runs", body)[0] == 410
        assert second in maze("ps", "--all", "--json").stdout
        assert first not in maze("ps", "--all", "--json").stdout
        assert workflow.workflow_id in maze("rm", "--workflow", workflow.workflow_id, "--yes", "--json").stdout
        assert cluster.request("GET", f"/api/v1/runs/{second}")[0] == 410
        with pytest.raises(UnknownWorkflowError):
            workflow.run()


def test_runs_beyond_the_number_go_by_themselves_and_their_space_too(cluster: Cluster) -> None:
    state = cluster.folder / "state"
    with MaClient(cluster.url) as client:
        _, runs = ran(client, 8)
        wait_until(lambda: cluster.request("GET", f"/api/v1/runs/{runs[2]}")[0] == 410, "three runs to go")
        status, body = cluster.request("GET", f"/api/v1/runs/{runs[0]}")
        assert (status, body["error"]["code"]) == (410, "run_expired")
        assert cluster.get(f"/api/v1/runs/{runs[3]}/events")["sealed"] is True
        wait_until(lambda: journal(state, "SELECT count(DISTINCT run_no) FROM segment") == 5, "their rows to go")
        assert journal(state, "SELECT count(*) FROM accepted") == 5
    cluster.restart_head()
    wait_until(lambda: cluster.ready_nodes() == 1, "the node to return")
    for run_id in runs[:3]:
        assert cluster.request("GET", f"/api/v1/runs/{run_id}")[0] == 410
    for run_id in runs[3:]:
        assert cluster.get(f"/api/v1/runs/{run_id}")["status"] == "finished"


def test_old_runs_are_named_by_their_age(cluster: Cluster, maze: Callable[..., CompletedProcess[str]]) -> None:
    with MaClient(cluster.url) as client:
        _, (run_id,) = ran(client)
    assert json.loads(maze("rm", "--older-than", "1", "--yes", "--json").stdout)["runs"] == []
    assert run_id in json.loads(maze("rm", "--older-than", "0", "--yes", "--json").stdout)["runs"]
    assert "name runs" in maze("rm", status=2).stderr


def test_a_backup_of_a_running_head_has_all_that_was_acknowledged_before(mark: Mark, tmp_path: Path) -> None:
    state, answered, stop = tmp_path / "state", [], threading.Event()
    with running_head(state) as head:

        def submit() -> None:
            while not stop.is_set():
                workflow_id = f"workflow_{len(answered):032x}"
                assert head.request("POST", "/api/v1/workflows", {"workflow_id": workflow_id})[0] == 201
                answered.append(workflow_id)

        client = threading.Thread(target=submit)
        client.start()
        try:
            wait_until(lambda: len(answered) > 50, "some work")
            backups = []
            for number in range(3):
                before = len(answered)
                done = mark.run("backup", str(tmp_path / f"copy{number}"), "--state-dir", str(state))
                assert done.returncode == 0, done.stderr
                backups.append((tmp_path / f"copy{number}", before))
        finally:
            stop.set()
            client.join()
        head.signal(signal.SIGKILL)
        head.wait()
    for copy, before in backups:
        assert stat.S_IMODE((copy / "journal.db").stat().st_mode) == 0o600
        assert os.listdir(copy) == ["journal.db"]
        with running_head(copy) as restored:
            listed = [one["workflow_id"] for one in restored.request("GET", "/api/v1/workflows")[1]["workflows"]]
            assert listed == answered[: len(listed)]
            assert len(listed) >= before
            assert restored.request("POST", "/api/v1/workflows", {"name": "goes on"})[0] == 201
    with running_head(state) as head:
        assert len(head.request("GET", "/api/v1/workflows")[1]["workflows"]) == len(answered)


def test_a_backup_of_a_stopped_head_is_refused_where_it_would_hurt(mark: Mark, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_head(state) as head:
        assert head.request("POST", "/api/v1/workflows", {"name": "w"})[0] == 201
    content = (state / "journal.db").read_bytes()
    done = mark.run("backup", str(tmp_path / "copy"), "--state-dir", str(state), "--json")
    assert json.loads(done.stdout)["bytes"] == (tmp_path / "copy" / "journal.db").stat().st_size
    again = mark.run("backup", str(tmp_path / "copy"), "--state-dir", str(state))
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    nothing = mark.run("backup", str(tmp_path / "other"), "--state-dir", str(tmp_path))
    assert (nothing.returncode, "no journal" in nothing.stderr) == (2, True)
    (tmp_path / "journal.db").write_bytes(b"precious" * 1000)
    foreign = mark.run("backup", str(tmp_path / "other"), "--state-dir", str(tmp_path))
    assert (foreign.returncode, "no backup was made" in foreign.stderr) == (1, True)
    assert "Traceback" not in foreign.stderr
    assert not (tmp_path / "other" / "journal.db").exists()
    assert (state / "journal.db").read_bytes() == content
