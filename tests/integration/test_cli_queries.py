"""`maze ps|show|logs|cancel|nodes|info|doctor` against a real head and node."""

from __future__ import annotations

import json
import sys

import pytest

from support.cluster import Cluster, start_cluster, wait_until
from support.commands import Mark

WORK = """
import sys
from maze import MaClient, task

@task(inputs=["word"], outputs=["y"])
def shout(params):
    import sys
    print(params["word"])
    print("careful", file=sys.stderr)
    return {"y": params["word"].upper()}

@task(inputs=["y"], outputs=["z"])
def fail(params):
    print("before the end")
    raise ValueError("bad thing")

@task(inputs=["z"], outputs=["z"])
def after(params):
    return params

workflow = MaClient().create_workflow()
first = workflow.add_task(shout, inputs={"word": "hello"}, task_name="first")
second = workflow.add_task(fail, inputs={"y": first.outputs["y"]}, task_name="second")
workflow.add_task(after, inputs={"z": second.outputs["z"]}, task_name="third")
run_id = workflow.run()
workflow.get_results(run_id, verbose=False)
print(run_id, first.task_id)
"""

ENDLESS = """
import sys
from maze import MaClient, task

@task(inputs=["go"], outputs=["y"])
def wait(params):
    import os, time
    print("begun", flush=True)
    while not os.path.exists(params["go"]):
        time.sleep(0.01)
    print("gone")
    return {"y": 1}

workflow = MaClient().create_workflow()
workflow.add_task(wait, inputs={"go": sys.argv[1]})
print(workflow.run())
"""


@pytest.fixture(scope="module")
def cluster():
    with start_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    place = Mark(tmp_path_factory.mktemp("commands"))
    yield place
    place.end()


@pytest.fixture(scope="module")
def ended(mark, cluster) -> tuple[str, str]:
    """An ended run with a failure, and its first task."""
    done = mark.run("run", mark.script(WORK, "work.py"), MAZE_URL=cluster.url)
    assert done.returncode == 0, done.stderr
    run_id, task_id = done.stdout.split()
    return run_id, task_id


@pytest.fixture
def maze(mark, cluster):
    """Run a command against the cluster; its exit code must be 0 unless another one is given."""

    def call(*arguments: str, status: int = 0):
        done = mark.run(*arguments, MAZE_URL=cluster.url)
        assert done.returncode == status, done.stderr
        return done

    return call


@pytest.fixture
def endless(mark, cluster, request):
    """A run whose task goes on until its file appears."""
    go = mark.home / f"go-{request.node.name}"
    run_id = mark.run("run", mark.script(ENDLESS, "endless.py"), str(go), MAZE_URL=cluster.url).stdout.strip()
    wait_until(lambda: status_of(cluster, run_id)["running"] == 1, "a running task")
    yield run_id, go
    go.touch()
    wait_until(lambda: status_of(cluster, run_id)["sealed"], "the end of the run")


def status_of(cluster: Cluster, run_id: str):
    return cluster.get(f"/api/v1/runs/{run_id}")


def rows(text: str) -> list[dict[str, str]]:
    """Return a tab-separated table as dictionaries."""
    header, *lines = [line.split("\t") for line in text.splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_ps_lists_what_is_in_progress(maze, ended, endless):
    run_id, _ = endless
    (row,) = rows(maze("ps").stdout)
    assert (row["RUN"], row["STATUS"], row["RUNNING"]) == (run_id[:12], "running", "1")


def test_ps_all(maze, ended):
    run_id, _ = ended
    everything = {row["RUN"]: row for row in rows(maze("ps", "--all").stdout)}
    row = everything[run_id[:12]]
    assert (row["TASKS"], row["DONE"], row["FAILED"], row["SKIPPED"]) == ("3", "1", "1", "1")
    runs = json.loads(maze("ps", "--all", "--json").stdout)["runs"]
    assert run_id in [run["run_id"] for run in runs]
    assert len(rows(maze("ps", "-a", "-n", "1").stdout)) == 1


def test_ps_says_when_there_is_nothing(maze, ended):
    done = maze("ps")
    assert rows(done.stdout) == []
    assert "maze ps --all" in done.stderr


@pytest.mark.parametrize("length", [8, 12, 36])
def test_show(maze, ended, length):
    run_id, _ = ended
    text = maze("show", run_id[:length]).stdout
    assert f"run\t{run_id}\n" in text
    tasks = rows(text.partition("\n\n")[2])
    assert [(task["NAME"], task["STATUS"]) for task in tasks] == [
        ("first", "finished"), ("second", "failed"), ("third", "skipped"),
    ]  # fmt: skip
    assert tasks[1]["ERROR"] == "ValueError: bad thing"


def test_suggest_has_a_line_for_each_function_that_ran(maze, ended):
    run_id, _ = ended
    answer = json.loads(maze("suggest", run_id[:12], "--json").stdout)
    assert answer["runs"] == [run_id]
    functions = {each["function"]: each for each in answer["functions"]}
    assert sorted(functions) == ["fail", "shout"], "what was skipped was not measured"
    found = functions["shout"]
    assert (found["tasks"], found["cpu"], found["cpu_mem"], found["cpu_used"]) == (1, 1.0, 0, None)
    assert 5 < found["peak_mib"] <= found["resources"]["cpu_mem"] < 500
    (row,) = [row for row in rows(maze("suggest", "--runs", "500").stdout) if row["FUNCTION"] == "shout"]
    assert row["SUGGESTED"].startswith('resources={"cpu": 1, "cpu_mem": ')


def test_show_json_and_without_run_prefix(maze, ended):
    run_id, task_id = ended
    document = json.loads(maze("show", run_id.removeprefix("run_")[:10], "--json").stdout)
    assert document["run"]["run_id"] == run_id
    assert document["tasks"][0]["task_id"] == task_id


def test_logs_of_all_tasks(maze, ended):
    run_id, _ = ended
    done = maze("logs", run_id)
    assert done.stdout == "hello\nbefore the end\n"
    assert done.stderr.startswith("==> first (task_")
    assert "careful\n==> second (task_" in done.stderr


def test_logs_of_one_task_by_name_and_by_id(maze, ended):
    run_id, task_id = ended
    by_name = maze("logs", run_id, "first")
    assert (by_name.stdout, by_name.stderr) == ("hello\n", "careful\n")
    assert maze("logs", run_id, task_id[:13], "--stream", "stdout").stderr == ""
    assert maze("logs", run_id, task_id.removeprefix("task_")[:8], "--stream", "stderr").stdout == ""


def test_logs_are_followed_to_the_end(mark, cluster, endless):
    run_id, go = endless
    following = mark.start("logs", run_id, "wait", "--follow", MAZE_URL=cluster.url)
    assert following.stdout.readline() == "begun\n"
    go.touch()
    assert following.communicate(timeout=20)[0] == "gone\n"
    assert following.returncode == 0


def test_events(maze, ended, cluster):
    run_id, _ = ended
    log = cluster.events(run_id)
    lines = [line.split("\t") for line in maze("events", run_id).stdout.splitlines()]
    assert [(int(line[0]), line[2]) for line in lines] == [(event["seq"], event["type"]) for event in log]
    documents = maze("events", run_id[:14], "--after", "3", "--json", "--follow").stdout.splitlines()
    assert [json.loads(line) for line in documents] == log[3:]


def test_events_are_followed_to_the_end(mark, cluster, endless):
    run_id, go = endless
    following = mark.start("events", run_id, "-f", MAZE_URL=cluster.url)
    go.touch()
    assert following.communicate(timeout=60)[0].splitlines()[-1].split("\t")[2] == "finish_workflow"


def test_cancel(maze, cluster, endless):
    run_id, _ = endless
    assert maze("cancel", run_id[:14], "--wait").stdout == f"{run_id} cancelled\n"
    assert status_of(cluster, run_id)["sealed"]
    assert json.loads(maze("cancel", run_id, "--json").stdout)["run"]["status"] == "cancelled"


def test_nodes_and_info(maze, cluster):
    (row,) = rows(maze("nodes").stdout.replace("\tFREE\tMEMORY\tFREE\t", "\tFREE\tMEMORY\tFREE2\t"))
    assert (row["STATE"], row["CPU"]) == ("ready", "4")
    assert json.loads(maze("nodes", "--json").stdout)["nodes"][0]["state"] == "ready"
    document = json.loads(maze("info", "--json").stdout)
    assert (document["url"], document["nodes_ready"], document["embedded"]) == (cluster.url, 1, False)
    assert f"url\t{cluster.url}\n" in maze("info").stdout


def test_one_node_with_the_origins_of_its_numbers(maze, cluster):
    node_id = json.loads(maze("nodes", "--json").stdout)["nodes"][0]["node_id"]
    shown = dict(line.split("\t", 1) for line in maze("nodes", "show", node_id[:-1]).stdout.splitlines())
    assert shown["node"] == node_id
    assert shown["CPUs"].endswith("(--cpus)")
    assert "memory" in shown["memory"]
    assert shown["leaves"] == "no end is known"
    assert json.loads(maze("nodes", "show", node_id, "--json").stdout)["node"]["origins"]["cpu"] == "--cpus"
    assert "no node 'nobody'" in maze("nodes", "show", "nobody", status=2).stderr


def test_doctor_sees_the_head(maze, cluster):
    findings = {each["check"]: each for each in json.loads(maze("doctor", "--json").stdout)["findings"]}
    assert findings["head"] == {
        "check": "head", "level": "ok", "found": f"{cluster.url}, 1 ready nodes", "advice": "",
    }  # fmt: skip


def test_retry_runs_what_has_no_result(maze, ended):
    run_id, task_id = ended
    done = maze("retry", run_id[:14], "--from-failed", "--wait", status=1)
    again, status = done.stdout.split()
    assert (again != run_id, status) == (True, "failed")
    text = maze("show", again).stdout
    assert f"retry of\t{run_id}\n" in text
    tasks = rows(text.partition("\n\n")[2])
    assert [(task["NAME"], task["STATUS"], task["TRY"]) for task in tasks] == [
        ("first", "finished (reused)", "0"), ("second", "failed", "1"), ("third", "skipped", "0"),
    ]  # fmt: skip
    document = json.loads(maze("show", again, "--json").stdout)
    assert document["run"]["retry_of"] == run_id
    assert document["tasks"][0]["task_id"] == task_id
    assert document["tasks"][0]["reused"]


def test_retry_of_all_of_it_and_without_waiting(maze, cluster, ended):
    again = json.loads(maze("retry", ended[0], "--json").stdout)["run"]["run_id"]
    body = wait_until(lambda: (found := status_of(cluster, again))["sealed"] and found, "the end of the run")
    assert (body["finished"], body["failed"], body["skipped"]) == (1, 1, 1)


def test_retry_of_a_run_that_goes_on_says_what_to_do(maze, endless):
    done = maze("retry", endless[0], status=1)
    assert "is not over" in done.stderr
    assert "wait for its end, or cancel it" in done.stderr


@pytest.mark.parametrize("command", ["show", "logs", "cancel", "retry"])
def test_unknown_runs_are_usage_errors(maze, ended, command):
    assert "no run" in maze(command, "fffffffff", status=2).stderr
    assert "no run" in maze(command, "run_" + "f" * 32, status=2).stderr


def test_unknown_tasks_are_usage_errors(maze, ended):
    assert "it has: first, second, third" in maze("logs", ended[0], "nosuch", status=2).stderr


@pytest.mark.parametrize(
    "arguments", [["ps"], ["show", "x"], ["logs", "x"], ["cancel", "x"], ["retry", "x"], ["nodes"], ["info"]]
)
def test_nobody_there_is_69(mark, arguments):
    done = mark.run(*arguments, MAZE_URL="http://127.0.0.1:1")
    assert done.returncode == 69
    assert "maze up" in done.stderr
    assert done.stdout == ""


def test_python_m_maze_and_the_installed_command_are_one(mark):
    import subprocess
    from pathlib import Path

    command = Path(sys.executable).with_name("maze")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == mark.run("--version").stdout


def test_limits_are_set_shown_and_removed(maze, cluster):
    assert "Nothing is set" in maze("limits").stderr
    assert maze("limits", "set", "open/ai", "--rate", "500/minute", "--concurrency=20").stdout == (
        "open/ai: 20 at once, 500/min\n"
    )
    assert maze("limits", "project", "batch", "--weight=0.5", "--cpu=16", "--tasks=100").stdout == (
        "batch: weight 0.5, at most cpu 16, tasks 100\n"
    )
    limits, projects = maze("limits").stdout.split("\n\n")
    (limit,) = rows(limits)
    assert (limit["LIMIT"], limit["CONCURRENCY"], limit["HELD"], limit["RATE"]) == ("open/ai", "20", "0", "500/min")
    (project,) = rows(projects)
    assert (project["PROJECT"], project["WEIGHT"], project["TASKS"], project["CPU"]) == (
        "batch", "0.5", "0 of 100", "0 of 16",
    )  # fmt: skip
    assert json.loads(maze("limits", "--json").stdout) == cluster.get("/api/v1/limits")
    assert json.loads(maze("limits", "--json", "rm", "open/ai").stdout)["limit"]["rate"] == "500/min"
    assert maze("limits", "rm", "--project", "batch").stdout == "removed project batch\n"
    assert cluster.get("/api/v1/limits") == {"limits": [], "projects": []}


def test_what_cannot_be_a_limit_is_told(maze):
    assert "--concurrency or --rate" in maze("limits", "set", "a", status=2).stderr
    assert "write units/period, as 500/min" in maze("limits", "set", "a", "--rate=fast", status=1).stderr
    assert "no limit 'a' is set" in maze("limits", "rm", "a", status=1).stderr
