"""What keeps tasks from the rest of the machine, with real processes: probed, refused, active, and told.

Boxes and namespaces are not to be had everywhere; what needs them is skipped with the reason that `doctor` gives. The
refusal, the fallback and what is told where they are missing are tested everywhere, with a bwrap that fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maze import MaClient, MaWorkflow, task
from maze_node.box import Plan
from maze_node.namespaces import trouble
from support.cluster import Cluster, clean_environment, start_cluster, wait_until

NO_BOX = Plan(Path("/var/tmp")).trouble()[0]
NO_NAMESPACES = trouble()
OPEN, BOXED = {"box": "no"}, {"box": "yes"}
REASON = "No permissions to create new namespace"

needs_namespaces = pytest.mark.skipif(bool(NO_NAMESPACES), reason=f"no namespaces here: {NO_NAMESPACES}")


@task(inputs=["rows", "secret", "port"], outputs=["rows", "found"])
def look(params: dict[str, Any]) -> dict[str, Any]:
    """Say what can be seen, written and reached from a task."""
    import os
    import resource
    import socket
    from pathlib import Path

    def connects(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    found = {
        "pid": os.getpid(),
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "secret": os.path.exists(params["secret"]) and Path(params["secret"]).read_text(),
        "writable": [os.access(folder, os.W_OK) for folder in ("/etc", "/tmp", "/var/tmp")],
        "folder": os.path.exists(os.path.dirname(params["secret"])),
        "here": [os.getcwd(), os.environ.get("TMPDIR"), os.environ.get("HOME")],
        "empty": not os.listdir("."),
        "environ": sorted(os.environ),
        "connects": connects(params["port"]),
        "limits": {
            name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
            for name in ("CPU", "AS", "NOFILE", "FSIZE", "CORE")
        },
    }  # fmt: skip
    return {"rows": params["rows"] * 2, "found": found}


def found_by(cluster: Cluster, workflow: MaWorkflow, *, sandbox: bool, **options: Any) -> dict[str, Any]:
    """Return what two tasks find, the second of which gets the array of the first; and their records."""
    inputs = {
        "rows": np.arange(200_000.0),
        "secret": str(cluster.connection_file),
        "port": int(cluster.url.rpartition(":")[2]),
    }
    first = workflow.add_task(look, inputs=inputs, sandbox=sandbox, **options)
    second = workflow.add_task(look, inputs={**inputs, "rows": first.outputs["rows"]}, sandbox=sandbox, **options)
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    results = [workflow.get_task_result(run_id, each.task_id) for each in (first, second)]
    assert all(each["status"] == "success" for each in results), results
    assert (results[1]["result"]["rows"].get() == np.arange(200_000.0) * 4).all()
    told = {each["isolation"] for each in cluster.tasks(run_id).values()}
    return {**results[1]["result"]["found"], "told": told, "pids": {each["result"]["found"]["pid"] for each in results}}


def node(*flags: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `maze-node` to its end."""
    more = {} if path is None else {"PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-m", "maze_node", *flags], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL, env=clean_environment(**more),
    )  # fmt: skip


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A directory with a bwrap as it fails where unprivileged user namespaces are restricted."""
    _write_broken(tmp_path)
    return tmp_path


def _write_broken(directory: Path) -> None:
    program = directory / "bwrap"
    program.write_text(f"#!/bin/sh\necho 'bwrap: {REASON}' >&2\nexit 1\n")
    program.chmod(0o755)


def test_doctor_tries_each_mechanism_and_gives_reasons(broken: Path) -> None:
    told = {each["name"]: each for each in json.loads(node("doctor", "--json", path=broken).stdout)["isolation"]}
    assert list(told) == [
        "session", "closed files", "stdin", "no new privileges", "subreaper", "rlimits", "namespaces", "bwrap",
    ]  # fmt: skip
    assert all(told[name]["works"] for name in list(told)[:6])
    assert (told["namespaces"]["works"], told["namespaces"]["why"]) == (not NO_NAMESPACES, NO_NAMESPACES)
    assert (told["bwrap"]["works"], told["bwrap"]["why"]) == (False, f"bwrap: {REASON}")
    lines = node("doctor", path=broken).stdout
    assert (
        f"NO   bwrap: a read-only file system, temporary files and process ids of their own\n     bwrap: {REASON}"
        in lines
    )


@pytest.mark.parametrize("missing", [True, False])
def test_a_box_that_cannot_be_had_is_refused_with_the_reason(broken: Path, missing: bool) -> None:
    if missing:
        (broken / "bwrap").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "maze_node", "--isolation=bwrap", "--head=127.0.0.1:9"], capture_output=True, text=True,
        timeout=60, check=False, stdin=subprocess.DEVNULL, env=clean_environment(PATH=str(broken)),
    )  # fmt: skip
    why = "bwrap is not installed" if missing else REASON
    assert done.returncode == 2
    assert f"--isolation bwrap does not work here: {'' if missing else 'bwrap: '}{why}" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head, and a node that gets as far as it can where bwrap fails."""
    path = tmp_path_factory.mktemp("bin")
    _write_broken(path)
    with start_cluster(nodes=0) as running:
        running.add_node(
            "--cpus=4", "--label=box=no", "--isolation=auto", before=("env", f"PATH={path}:{os.environ['PATH']}")
        )
        yield running


@pytest.fixture(scope="module")
def spool(apart: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a second node's, whose workers are in a box."""
    if NO_BOX:
        pytest.skip(f"no bwrap here: {NO_BOX}")
    directory = tmp_path_factory.mktemp("spool")
    apart.add_node("--cpus=4", "--label=box=yes", "--isolation=bwrap", f"--spool-dir={directory}")
    return directory


@pytest.fixture
def workflow(apart: Cluster) -> Iterator[MaWorkflow]:
    with MaClient(apart.url) as client:
        yield client.create_workflow()


def test_the_best_that_works_is_used_and_what_does_not_is_logged(apart: Cluster) -> None:
    shown = apart.get("/api/v1/nodes")["nodes"][0]
    assert shown["isolation"] == "process"
    assert shown["sandbox"] == "process sandbox" + " no-network" * (not NO_NAMESPACES)
    assert f"no bwrap: bwrap: {REASON}" in apart.nodes[0].tail()


def test_tasks_run_as_ever(apart: Cluster, workflow: MaWorkflow) -> None:
    found = found_by(apart, workflow, sandbox=False, require=OPEN)
    assert found["told"] == {"process"}
    assert found["connects"]
    assert found["secret"]


def test_a_sandboxed_task_has_a_place_an_environment_and_limits_of_its_own(
    apart: Cluster, workflow: MaWorkflow
) -> None:
    found = found_by(apart, workflow, sandbox=True, require=OPEN, timeout=50, resources={"cpu_mem": 300})
    assert found["told"] == {"process sandbox" + " no-network" * (not NO_NAMESPACES)}
    assert len(found["pids"]) == 2, "a process for each"
    assert len(set(found["here"])) == 1, "one directory: to work in, for temporary files, its home"
    assert found["empty"]
    known = ("MAZE_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "CUDA_", "LC_", "LANG")
    others = {"PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
    assert not [name for name in found["environ"] if not name.startswith(known) and name not in others]
    limits = found["limits"]
    assert 50 <= limits["CPU"] <= 60
    assert 300 << 20 < limits["AS"] < 1 << 32
    assert (limits["NOFILE"] <= 2048, limits["FSIZE"], limits["CORE"]) == (True, 1 << 32, 0)
    assert found["connects"] is bool(NO_NAMESPACES)


def test_its_directory_is_gone_with_it(apart: Cluster, workflow: MaWorkflow) -> None:
    where = found_by(apart, workflow, sandbox=True, require=OPEN)["here"][0]
    wait_until(lambda: not os.path.exists(where), "the end of its directory")


def test_more_memory_than_was_declared_is_not_to_be_had(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["y"], sandbox=True, resources={"cpu_mem": 100})
    def takes(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": len(bytearray(2 << 30))}

    made = workflow.add_task(takes)
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    assert "MemoryError" in workflow.get_task_result(run_id, made.task_id)["error"]


def test_it_is_a_part_of_the_http_api(apart: Cluster, workflow: MaWorkflow) -> None:
    workflow.add_task(look, inputs={"rows": 1, "secret": "", "port": 1}, sandbox=True)
    workflow.get_tasks()
    (body,) = apart.get(f"/api/v1/workflows/{workflow.workflow_id}")["tasks"]
    assert body["sandbox"] is True
    op = {"op": "save_task", "task": {**body, "sandbox": "yes"}}
    status, error = apart.request("POST", f"/api/v1/workflows/{workflow.workflow_id}/edits", {"ops": [op]})
    assert (status, error["error"]["field"]) == (422, "$.ops[0].task.sandbox")


def test_tasks_see_and_write_little_and_objects_travel_as_ever(
    apart: Cluster, workflow: MaWorkflow, spool: Path
) -> None:
    found = found_by(apart, workflow, sandbox=False, require=BOXED)
    assert found["told"] == {"bwrap"}
    assert found["secret"] in ("", False)
    assert found["writable"] == [False, True, True]
    assert not found["folder"]
    assert found["processes"] < 20
    assert found["connects"], "tasks talk to others, unless they are shut in"


@needs_namespaces
def test_sandboxed_tasks_leave_the_network_there_too(apart: Cluster, workflow: MaWorkflow, spool: Path) -> None:
    found = found_by(apart, workflow, sandbox=True, require=BOXED)
    assert found["told"] == {"bwrap sandbox no-network"}
    assert not found["connects"]


def test_files_pass_through_it(workflow: MaWorkflow, spool: Path) -> None:
    @task(inputs=[], outputs=["made"], data_types={"made": "file"}, require=BOXED)
    def write(params: dict[str, Any]) -> dict[str, Any]:
        from pathlib import Path

        Path("made.txt").write_text("x" * 3_000_000)
        return {"made": "made.txt"}

    @task(inputs=["given"], outputs=["size"], require=BOXED)
    def read(params: dict[str, Any]) -> dict[str, Any]:
        return {"size": params["given"].path.stat().st_size}

    made = workflow.add_task(write)
    size = workflow.add_task(read, inputs={"given": made.outputs["made"]})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    assert workflow.get_task_result(run_id, size.task_id)["result"] == {"size": 3_000_000}


def test_a_spawner_that_dies_gets_a_new_box_and_its_task_runs_again(
    apart: Cluster, workflow: MaWorkflow, spool: Path
) -> None:
    @task(inputs=[], outputs=["attempt", "left"], require=BOXED)
    def waits_once(params: dict[str, Any]) -> dict[str, Any]:
        import os
        import time

        if os.environ["MAZE_ATTEMPT"] == "1":
            os.mkdir("/tmp/left")
        while os.environ["MAZE_ATTEMPT"] == "1":
            time.sleep(0.01)
        return {"attempt": os.environ["MAZE_ATTEMPT"], "left": os.path.exists("/tmp/left")}

    made = workflow.add_task(waits_once)
    run_id = workflow.run()
    wait_until(lambda: apart.tasks(run_id)[made.task_id]["status"] == "running", "its start")
    os.kill(_child_of(apart.nodes[1].pid), 9)
    workflow.get_results(run_id, verbose=False)
    assert workflow.get_task_result(run_id, made.task_id)["result"] == {"attempt": "2", "left": False}
    wait_until(lambda: len(list(spool.iterdir())) == 1, "the end of the first box")


def test_a_node_takes_its_box_along(apart: Cluster, spool: Path) -> None:
    node = apart.nodes.pop()
    assert node.stop() == 0
    node.release()
    assert not list(spool.iterdir())


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
