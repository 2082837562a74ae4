"""Nothing that is the node's own reaches its tasks: no variable, no open file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from maze import MaClient, task
from support.cluster import Cluster, clean_environment, start_cluster, wait_until

SECRET = "c0ffee-of-the-node"


@task(inputs=[], outputs=["environ", "files"])
def look(params: dict[str, Any]) -> dict[str, Any]:
    import os
    from pathlib import Path

    files = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            files[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # that of the listing itself
    initial = Path("/proc/self/environ").read_bytes().decode("utf-8", "replace")
    return {"environ": {**os.environ, "(initial)": initial}, "files": files}


def start_node(cluster: Cluster, folder: Path) -> subprocess.Popen[bytes]:
    """Start a node that has secrets: variables, and an open file that children of careless parents inherit."""
    key = folder / "node.key"
    key.write_text(SECRET)
    held = os.open(key, os.O_RDONLY)
    os.set_inheritable(held, True)
    secrets = dict.fromkeys(("MAZE_TOKEN", "MAZE_JOIN_TOKEN", "MAZE_NODE_KEY", "MAZE_ANYTHING_ELSE"), SECRET)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "maze_node", f"--connection-file={cluster.connection_file}", "--cpus=2"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[held],
            env=clean_environment(**secrets, OPENAI_API_KEY="of the tasks"),
        )  # fmt: skip
    finally:
        os.close(held)


def test_a_task_finds_no_secret_of_its_node(tmp_path: Path) -> None:
    with start_cluster(nodes=0) as cluster:
        node = start_node(cluster, tmp_path)
        try:
            wait_until(lambda: cluster.ready_nodes(), "the node")
            with MaClient(cluster.url) as client:
                workflow = client.create_workflow()
                looked = workflow.add_task(look)
                run_id = workflow.run()
                workflow.get_results(run_id, verbose=False)
                found = workflow.get_task_result(run_id, looked.task_id)["result"]
        finally:
            node.terminate()
            node.wait(30)
    named = {name for name in found["environ"] if name.startswith("MAZE_")}
    assert named == {"MAZE_RUN_ID", "MAZE_TASK_ID", "MAZE_ATTEMPT", "MAZE_LEASE"}
    assert SECRET not in str(found)
    assert found["environ"]["OPENAI_API_KEY"] == "of the tasks"
    real_files = {name for name in found["files"].values() if name.startswith("/") and name != os.devnull}
    assert not {name for name in real_files if Path(name).is_file()}, "a worker has no file of the node's open"
