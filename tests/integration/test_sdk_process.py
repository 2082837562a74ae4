"""The SDK and the process it lives in: exit, Ctrl-C, fork, threads, loops, a restarting head, local clusters."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient, task
from support.cluster import Cluster, clean_environment, start_cluster, wait_until

HEADER = """
import os, sys, time
from maze import MaClient, task

@task(inputs=["x"], outputs=["y"])
def double(params):
    return {"y": params["x"] * 2}

@task(inputs=["path"], outputs=["y"])
def wait_for_file(params):
    while not os.path.exists(params["path"]):
        time.sleep(0.01)
    return {"y": 1}
"""


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


def run_script(code: str, cluster: Cluster | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    if cluster is not None:
        env["MAZE_URL"] = cluster.url
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", HEADER + code],
        capture_output=True, text=True, timeout=60, check=False, env=clean_environment(**env),
    )  # fmt: skip


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_script_of_functions_in_main_runs_without_a_word_on_stderr(cluster: Cluster) -> None:
    done = run_script(
        "client = MaClient(); workflow = client.create_workflow(); workflow.add_task(double, inputs={'x': 2})\n"
        "print(list(workflow.show_results(workflow.run())['task_results'].values()))",
        cluster,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[{'y': 4}]"


def test_what_is_unsent_at_exit_is_sent(cluster: Cluster) -> None:
    done = run_script(
        "workflow = MaClient().create_workflow(); workflow.add_task(double, inputs={'x': 2})\n"
        "print(workflow.workflow_id)",
        cluster,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(cluster.get(f"/api/v1/workflows/{done.stdout.strip()}")["tasks"]) == 1


def test_edits_that_nobody_can_have_any_more_are_told_and_do_not_hold_the_exit_up() -> None:
    with start_cluster(nodes=0) as cluster:
        code = (
            "import signal\n"
            "workflow = MaClient().create_workflow(); workflow.add_task(double, inputs={'x': 2})\n"
            f"os.kill({cluster.head.pid}, signal.SIGKILL)\n"
            f"while os.path.exists('/proc/{cluster.head.pid}/exe') and time.sleep(0.01) is None: pass"
        )
        waiter = threading.Thread(target=cluster.head.process.wait)
        waiter.start()
        done = run_script(code, cluster)
        waiter.join()
    assert done.returncode == 0
    assert "were not sent: no Maze head answers" in done.stderr


def test_ctrl_c_in_a_wait_detaches(cluster: Cluster, tmp_path: Path) -> None:
    code = (
        f"inputs = {{'path': {str(tmp_path / 'go')!r}}}\n"
        "workflow = MaClient().create_workflow(); workflow.add_task(wait_for_file, inputs=inputs)\n"
        "run_id = workflow.run(); print(run_id, flush=True)\n"
        "workflow.show_results(run_id)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", HEADER + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=clean_environment(MAZE_URL=cluster.url),
    )  # fmt: skip
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    wait_until(lambda: cluster.get(f"/api/v1/runs/{run_id}")["running"] == 1, "the task to run")
    assert process.stdout.readline().startswith("🔗")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert f"Detached: the run goes on. To stop it: maze cancel {run_id}" in out
    assert err.strip().endswith("KeyboardInterrupt")
    assert cluster.get(f"/api/v1/runs/{run_id}")["status"] == "running"
    (tmp_path / "go").touch()
    wait_until(lambda: cluster.get(f"/api/v1/runs/{run_id}")["sealed"], "the run to end")


def test_a_forked_child_and_its_parent_both_work(cluster: Cluster) -> None:
    done = run_script(
        """
client = MaClient(); workflow = client.create_workflow()
workflow.add_task(double, inputs={"x": 1})
pending = client.create_workflow(); pending.add_task(double, inputs={"x": 1})
child = os.fork()
def check():
    other = client.create_workflow(); other.add_task(double, inputs={"x": 3})
    return list(other.show_results(other.run())["task_results"].values())
if child == 0:
    sys.exit(0 if check() == [{"y": 6}] else 1)
assert os.waitpid(child, 0)[1] == 0
assert check() == [{"y": 6}]
assert len(workflow.get_results(workflow.run(), verbose=False)) == 3
print(pending.workflow_id)
""",
        cluster,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(cluster.get(f"/api/v1/workflows/{done.stdout.split()[-1]}")["tasks"]) == 1


def test_threads_share_a_client_and_a_workflow(cluster: Cluster) -> None:
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        failures: list[BaseException] = []

        def author(number: int) -> None:
            try:
                for step in range(20):
                    workflow.add_task(double, inputs={"x": step}, task_name=f"{number}/{step}")
                    if step % 7 == number:
                        workflow.get_tasks()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=author, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(workflow.get_tasks()) == 120
        assert len(workflow.show_results(workflow.run())["task_results"]) == 120


def test_the_blocking_client_works_inside_a_running_loop(cluster: Cluster) -> None:
    async def cell() -> Any:
        with MaClient(cluster.url) as client:
            workflow = client.create_workflow()
            made = workflow.add_task(double, inputs={"x": 4})
            return workflow.show_results(workflow.run())["task_results"][made.task_id]

    assert asyncio.run(cell()) == {"y": 8}


def test_a_run_without_nodes_waits_and_says_what_to_type() -> None:
    with start_cluster(nodes=0) as cluster:
        code = (
            "workflow = MaClient().create_workflow(); workflow.add_task(double, inputs={'x': 2})\n"
            "print(workflow.show_results(workflow.run())['workflow_completed'])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", HEADER + code], stdout=subprocess.PIPE, text=True,
            env=clean_environment(MAZE_URL=cluster.url),
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        command = f"maze-node --head {cluster.head.ready['node']}"
        assert process.stdout.readline() == f"⏳ Waiting: no node is ready. Start one with: {command}\n"
        cluster.add_node("--cpus=1")
        assert process.communicate(timeout=30)[0].splitlines()[-1] == "True"


def test_readers_survive_a_restart_of_the_head(tmp_path: Path) -> None:
    with start_cluster() as cluster, MaClient(cluster.url) as client:

        @task(inputs=["path"], outputs=["y"])
        def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
            import pathlib
            import time

            while not pathlib.Path(params["path"]).exists():
                time.sleep(0.01)
            return {"y": 1}

        workflow = client.create_workflow()
        first = workflow.add_task(double, inputs={"x": 1})
        last = workflow.add_task(wait_for_file, inputs={"path": str(tmp_path / "go")})
        workflow.add_edge(first, last)
        run_id = workflow.run()
        found: list[Any] = []
        reader = threading.Thread(target=lambda: found.append(workflow.get_results(run_id, verbose=False)))
        reader.start()
        wait_until(lambda: client.get_run(run_id)["running"] == 1, "the second task to run")
        cluster.restart_head()
        (tmp_path / "go").touch()
        reader.join(60)
        kinds = [(each["type"], each["data"].get("task_id")) for each in found[0]]
        assert kinds == [
            ("start_task", first.task_id), ("finish_task", first.task_id),
            ("start_task", last.task_id), ("finish_task", last.task_id), ("finish_workflow", None),
        ]  # fmt: skip


# Local clusters


@pytest.fixture
def local() -> Iterator[MaClient]:
    with MaClient.local(cpus=1) as client:
        yield client


def test_a_local_cluster_serves_its_client(local: MaClient) -> None:
    workflow = local.create_workflow()
    made = workflow.add_task(double, inputs={"x": 21})
    assert workflow.show_results(workflow.run())["task_results"][made.task_id] == {"y": 42}
    assert local.get_info()["embedded"]
    (node,) = local.list_nodes()
    assert node["cpu"] == 1


@pytest.mark.parametrize("end", ["", "client.close()", "raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_a_local_cluster_ends_with_its_client_or_its_process(end: str) -> None:
    code = (
        "import json\n"
        "client = MaClient.local(cpus=1); workflow = client.create_workflow()\n"
        "workflow.add_task(double, inputs={'x': 1})\n"
        "cluster = client._cluster._cluster\n"
        "print(json.dumps([cluster.head.pid, cluster.nodes[0].pid, str(cluster.directory)]), flush=True)\n"
    )
    done = run_script(code + end)
    assert done.stdout, done.stderr
    *pids, directory = json.loads(done.stdout)
    assert done.returncode == {"os.kill(os.getpid(), 9)": -9, "raise SystemExit(3)": 3}.get(end, 0)
    assert done.stderr == ""
    wait_until(lambda: not any(map(alive, pids)), "the local cluster to end", 15)
    if "kill" not in end:
        assert not os.path.exists(directory)


def test_a_killed_owner_with_a_forked_child_takes_its_cluster_along() -> None:
    """The child holds a copy of everything; it must not keep the pipes open that mean 'my owner lives'."""
    code = (
        "import json\n"
        "client = MaClient.local(cpus=1)\n"
        "cluster = client._cluster._cluster\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.close(1); os.close(2); time.sleep(20); os._exit(0)\n"
        "print(json.dumps([cluster.head.pid, cluster.nodes[0].pid, child]), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = run_script(code)
    *pids, child = json.loads(done.stdout)
    try:
        wait_until(lambda: not any(map(alive, pids)), "the local cluster to end", 15)
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)
