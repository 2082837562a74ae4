"""A task leaves nothing behind for the next one, and what it printed is kept for its author."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.workflows import finish
from maze import MaWorkflow, task
from support.cluster import Cluster, wait_until


@task(inputs=["after"], outputs=["cwd", "env", "umask", "path", "pid"], resources={"cpu": 4})
def look(params: dict[str, Any]) -> dict[str, Any]:
    """Takes a whole node, so that it meets the worker that ran its predecessor if that one is used again."""
    import os
    import sys

    umask = os.umask(0)
    os.umask(umask)
    return {
        "cwd": os.getcwd(),
        "env": os.environ.get("LEFT_BEHIND"),
        "umask": umask,
        "path": "/left/behind" in sys.path,
        "pid": os.getpid(),
    }


@task(inputs=["folder"], outputs=["y"], resources={"cpu": 4})
def make_a_mess(params: dict[str, Any]) -> dict[str, Any]:
    import os
    import signal
    import sys

    os.chdir(params["folder"])
    os.environ["LEFT_BEHIND"] = "yes"
    os.umask(0o777)
    sys.path.insert(0, "/left/behind")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout = None  # type: ignore[assignment]
    return {"y": 1}


def test_a_mess_is_cleaned_up(workflow: MaWorkflow, tmp_path: Path) -> None:
    before = workflow.add_task(look, inputs={"after": None})
    mess = [workflow.add_task(make_a_mess, inputs={"folder": str(tmp_path)}) for _ in range(3)]
    after = [workflow.add_task(look, inputs={"after": each.outputs["y"]}) for each in mess]
    run_id, _ = finish(workflow)
    clean = workflow.get_task_result(run_id, before.task_id)["result"]
    for each in after:
        found = workflow.get_task_result(run_id, each.task_id)["result"]
        assert {**found, "pid": 0, "cwd": ""} == {**clean, "pid": 0, "cwd": ""}
        assert found["cwd"] != str(tmp_path)


def test_processes_and_threads_of_a_task_end_with_it(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["pid"])
    def leaves_a_child(params: dict[str, Any]) -> dict[str, Any]:
        import subprocess
        import threading
        import time

        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        child = subprocess.Popen(["sleep", "60"])
        return {"pid": child.pid}

    made = workflow.add_task(leaves_a_child)
    run_id, _ = finish(workflow)
    pid = workflow.get_task_result(run_id, made.task_id)["result"]["pid"]
    wait_until(lambda: not _alive(pid), "the end of the child", 10)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@task(inputs=["name"], outputs=["y"])
def talk(params: dict[str, Any]) -> dict[str, Any]:
    import os
    import subprocess
    import sys

    print("printed by", params["name"])
    sys.stderr.write("an error of " + params["name"] + "\n")
    os.write(1, b"written by the descriptor\n")
    subprocess.run(["echo", "said by a child"], check=True)
    return {"y": 1}


def test_what_a_task_prints_is_kept_per_task(
    workflow: MaWorkflow, cluster: Cluster, python: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    made = [workflow.add_task(talk, inputs={"name": name}, task_name=name) for name in ("anna", "bert")]
    run_id, _ = finish(workflow)
    for each in made:
        path = f"/api/v1/runs/{run_id}/tasks/{each.task_id}/logs"
        status, out = cluster.request("GET", path + "?stream=stdout")
        assert status == 200
        expected = [f"printed by {each.task_name}", "written by the descriptor", "said by a child"]
        assert sorted(str(out).splitlines()) == sorted(expected)
        assert cluster.request("GET", path + "?stream=stderr")[1] == f"an error of {each.task_name}\n"
    shown = python("-m", "maze", "logs", run_id, "anna")
    assert shown.returncode == 0, shown.stderr
    assert "printed by anna" in shown.stdout
    assert "an error of anna" in shown.stderr
    assert "bert" not in shown.stdout + shown.stderr
    assert "printed by" not in "".join(capfd.readouterr())


def test_a_task_sees_no_secret_of_the_daemons(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["descriptors"])
    def peek(params: dict[str, Any]) -> dict[str, Any]:
        import os

        targets = []
        for name in os.listdir("/proc/self/fd"):
            try:
                targets.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                continue
        return {"descriptors": targets}

    made = workflow.add_task(peek)
    run_id, _ = finish(workflow)
    open_files = workflow.get_task_result(run_id, made.task_id)["result"]["descriptors"]
    assert not [each for each in open_files if each.endswith((".db", ".sqlite", ".log", "connection.json"))]
    assert sum(each.startswith("socket:") for each in open_files) <= 2, "its own channels to the agent, nothing else"
