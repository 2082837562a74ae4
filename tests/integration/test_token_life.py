"""The whole life of a token at a real head: made by the command, used by the SDK and the commands, revoked."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maze._daemon.access import bearer
from support.cluster import Cluster, clean_environment, start_cluster, wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]
CUT = 0
SCRIPT = """
from maze import MaClient, task

@task(inputs=["x"], outputs=["y"])
def double(params):
    return {"y": 2 * params["x"]}

workflow = MaClient().create_workflow()
workflow.add_task(double, inputs={"x": 21})
print(workflow.get_results(workflow.run(), verbose=False)[-2]["data"]["result"])
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python as a user whom nobody told of the head's files."""

    def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "s"), "XDG_CONFIG_HOME": str(tmp_path / "c")}
        return subprocess.run(
            [sys.executable, *words], env=clean_environment(**home, **settings), cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def ask(cluster: Cluster, token: str, method: str = "GET", path: str = "/api/v1/workflows") -> int:
    """Return the status for who shows this token; CUT if the head hung up, as it does on who holds a revoked one."""
    connection = http.client.HTTPConnection(cluster.url.removeprefix("http://"), timeout=20)
    try:
        body = "{}" if method == "POST" else None
        connection.request(method, path, body, bearer(token) | {"Content-Type": "application/json"})
        return connection.getresponse().status
    except ConnectionError:
        return CUT
    finally:
        connection.close()


def test_a_token_is_made_used_and_revoked_while_the_head_runs(run: Run) -> None:
    with start_cluster() as cluster:
        state, url = f"--state-dir={cluster.folder / 'state'}", {"MAZE_URL": cluster.url}
        refused = run("-m", "maze", "ps", **url)
        assert refused.returncode == 1
        assert "maze-head token create" in refused.stderr
        made = {}
        for scope in ("read", "submit"):
            done = run("-m", "maze_head", "token", "create", f"--scope={scope}", f"--name={scope}", state)
            made[scope] = done.stdout.strip()
        wait_until(lambda: ask(cluster, made["submit"]) == 200, "the head to notice")

        assert ask(cluster, made["read"]) == 200
        assert ask(cluster, made["read"], "POST") == 403
        assert ask(cluster, made["submit"], "DELETE", "/api/v1/limits/x") == 403
        assert run("-m", "maze", "ps", **url, MAZE_TOKEN=made["read"]).returncode == 0
        assert "'y': 42" in run("-c", SCRIPT, **url, MAZE_TOKEN=made["submit"]).stdout
        assert "needs a token of scope submit" in run("-c", SCRIPT, **url, MAZE_TOKEN=made["read"]).stderr

        assert run("-m", "maze_head", "token", "revoke", "submit", state).returncode == 0
        wait_until(lambda: ask(cluster, made["submit"]) == 401, "the head to notice")
        assert ask(cluster, made["read"]) == 200
        cluster.restart_head(gently=True)
        assert [ask(cluster, made[scope]) for scope in ("read", "submit")] == [200, 401]

        own = cluster.shown["Authorization"].split()[1]
        told = [daemon.log.read_text() for daemon in [*cluster.processes, *cluster.past]]
        told += [
            cluster.connection_file.read_text(),
            json.dumps(cluster.head.ready),
            run("-m", "maze", "doctor").stdout,
        ]
        assert not [text for text in (own, *made.values()) if text in "".join(told)]
