"""`maze up`: a cluster in the foreground that drains when told, reports deaths, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from maze._daemon.connection import read_connection
from support.cluster import ANY_PORTS, wait_until
from support.commands import Mark
from support.tokens import shown

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is left is looked up in /proc")

QUICK = """
from maze import MaClient, task

@task(inputs=["x"], outputs=["y"])
def double(params):
    return {"y": params["x"] * 2}

workflow = MaClient().create_workflow()
workflow.add_task(double, inputs={"x": 3})
workflow.show_results(workflow.run())
"""

SLOW = """
import sys
from maze import MaClient, task

@task(inputs=["started", "go"], outputs=["y"])
def wait(params):
    import os, time
    open(params["started"], "w").close()
    while not os.path.exists(params["go"]):
        time.sleep(0.01)
    open(params["go"] + ".seen", "w").close()
    return {"y": 1}

workflow = MaClient().create_workflow()
workflow.add_task(wait, inputs={"started": sys.argv[1], "go": sys.argv[2]})
print(workflow.run())
"""


@pytest.fixture
def mark(tmp_path):
    place = Mark(tmp_path)
    yield place
    place.end()


@pytest.fixture
def up(mark):
    """A function that starts `maze up` and waits for its READY line."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, object]]:
        process = mark.start("up", *ANY_PORTS, *arguments)
        started.append(process)
        line = process.stdout.readline()
        assert line.startswith("MAZE-READY "), process.communicate()[1]
        return process, json.loads(line.removeprefix("MAZE-READY "))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ask(info, path):
    request = urllib.request.Request(info["url"] + path, headers=shown(info))
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def daemon(mark: Mark, module: str) -> int:
    return next(pid for pid, line in mark.alive().items() if f" -m {module} " in line)


def test_a_cluster_that_serves_until_ctrl_c(mark, up):
    process, info = up("--nodes", "2", "--cpus", "1.5", "--label", "zone=a")
    connection = read_connection(mark.home / "state" / "connection.json")
    assert connection.url == info["url"]
    nodes = ask(info, "/api/v1/nodes")["nodes"]
    assert [(node["cpu"], node["labels"]) for node in nodes] == [(1.5, {"zone": "a"})] * 2
    assert mark.run("run", mark.script(QUICK)).returncode == 0
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(15) == 130
    error = process.stderr.read()
    assert f"Maze is up at {info['url']} with 2 nodes" in error
    assert "maze run SCRIPT.py" in error
    assert "\nhead   | " in f"\n{error}"
    assert "\nnode-2 | " in error
    mark.wait_empty()
    assert not (mark.home / "state" / "connection.json").exists()


def test_sigterm_drains_and_exits_0_with_what_ran_finished(mark, up):
    process, info = up()
    started, go = mark.home / "started", mark.home / "go"
    run_id = mark.run("run", mark.script(SLOW), str(started), str(go)).stdout.strip()
    wait_until(started.exists, "a running task")
    process.send_signal(signal.SIGTERM)
    assert "draining" in "".join(iter(lambda: line_of(process, "draining"), ""))
    go.touch()
    assert process.wait(20) == 0
    assert go.with_name("go.seen").exists()
    mark.wait_empty()
    _, info = up()
    assert ask(info, f"/api/v1/runs/{run_id}")["status"] == "finished"


def line_of(process: subprocess.Popen[str], word: str) -> str:
    """Return the next line of its log; an empty one after the first that has the word."""
    if getattr(process, "seen", False):
        return ""
    line = process.stderr.readline()
    process.seen = word in line
    return line


def test_the_second_signal_does_not_wait_for_tasks(mark, up):
    process, _ = up()
    started = mark.home / "started"
    mark.run("run", mark.script(SLOW), str(started), str(mark.home / "never"))
    wait_until(started.exists, "a running task")
    process.send_signal(signal.SIGINT)
    assert "draining" in "".join(iter(lambda: line_of(process, "draining"), ""))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    mark.wait_empty()


def test_kill_9_ends_the_children(mark, up):
    process, _ = up()
    process.kill()
    process.wait()
    mark.wait_empty()


def test_a_dead_head_ends_it_all(mark, up):
    process, _ = up()
    os.kill(daemon(mark, "maze_head"), signal.SIGKILL)
    assert process.wait(15) == 1
    assert "maze up: head ended (SIGKILL)" in process.stderr.read()
    mark.wait_empty()


def test_a_dead_node_is_told_and_the_others_go_on(mark, up):
    process, info = up("--nodes", "2")
    os.kill(daemon(mark, "maze_node"), signal.SIGKILL)
    assert "ended (SIGKILL)" in "".join(iter(lambda: line_of(process, "ended (SIGKILL)"), ""))
    assert ask(info, "/api/v1/livez") == {"status": "ok"}
    os.kill(daemon(mark, "maze_node"), signal.SIGKILL)
    assert process.wait(15) == 1
    mark.wait_empty()


def test_a_head_that_cannot_start_gives_its_reason(mark, up):
    up()
    done = mark.run("up", *ANY_PORTS)
    assert done.returncode == 1
    assert "maze up: head ended (exit code 3)" in done.stderr
    assert done.stdout == ""


def test_a_public_address_needs_a_token(mark):
    done = mark.run("up", *ANY_PORTS, "--host", "0.0.0.0", "--no-token")
    assert done.returncode == 1
    assert "leave --no-token out" in done.stderr
    mark.wait_empty()
