"""Where user code may live and where a client may run: REPL, modules, threads, loops, forks, other folders."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import maze
from conformance.workflows import finish, one, same, value_of
from maze import MaClient, MaWorkflow, task
from support.cluster import Cluster

Python = Callable[..., subprocess.CompletedProcess[str]]

QUICK = """
from maze import MaClient, task

@task(inputs=["x"], outputs=["y"])
def twice(params):
    return {"y": params["x"] * 2}

client = MaClient()
workflow = client.create_workflow()
made = workflow.add_task(twice, inputs={"x": 21})
run_id = workflow.run()
workflow.get_results(run_id, verbose=False)
print(workflow.get_task_result(run_id, made.task_id)["result"])
"""


# Where tasks are defined


def test_async_tasks_run(workflow: MaWorkflow) -> None:
    @task(inputs=["x"], outputs=["y"])
    async def later(params: dict[str, Any]) -> dict[str, Any]:
        import asyncio

        await asyncio.sleep(0)
        return {"y": params["x"] + 1}

    assert value_of(workflow, workflow.add_task(later, inputs={"x": 1})) == {"y": 2}


def test_closures_defaults_and_helpers_travel(workflow: MaWorkflow) -> None:
    offset = {"by": 10}

    def shift(number: int) -> int:
        return number + offset["by"]

    def make(factor: int) -> Any:
        @task(inputs=["x"], outputs=["y"])
        def scaled(params: dict[str, Any], extra: int = 1) -> dict[str, Any]:
            return {"y": shift(params["x"]) * factor + extra}

        return scaled

    two = workflow.add_task(make(2), inputs={"x": 1})
    three = workflow.add_task(make(3), inputs={"x": two.outputs["y"]})
    assert value_of(workflow, three) == {"y": (23 + 10) * 3 + 1}


def test_recursion_and_classes_of_the_script(python: Python) -> None:
    script = """
from maze import MaClient, task

class Tree:
    def __init__(self, *children):
        self.children = children
    def depth(self):
        return 1 + max((child.depth() for child in self.children), default=0)
    def __eq__(self, other):
        return type(other) is type(self) and other.children == self.children

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

@task(inputs=["tree"], outputs=["depth", "tree"])
def measure(params):
    return {"depth": params["tree"].depth() + fib(10), "tree": Tree(params["tree"])}

with MaClient() as client:
    workflow = client.create_workflow()
    sent = Tree(Tree(), Tree(Tree()))
    made = workflow.add_task(measure, inputs={"tree": sent})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    found = workflow.get_task_result(run_id, made.task_id)["result"]
    print(found["depth"], type(found["tree"]) is Tree, found["tree"] == Tree(sent))
"""
    done = python("-c", script)
    assert (done.returncode, done.stdout) == (0, "58 True True\n"), done.stderr


@pytest.mark.parametrize("way", ["-c", "stdin", "interactive", "script"])
def test_every_way_to_type_a_script(python: Python, tmp_path: Path, way: str) -> None:
    if way == "-c":
        done = python("-c", QUICK)
    elif way == "stdin":
        done = python("-", stdin=QUICK)
    elif way == "interactive":
        typed = QUICK.replace("* 2}\n", "* 2}\n\n")
        done = python("-i", "-q", stdin=typed)
    else:
        (tmp_path / "script.py").write_text(QUICK)
        done = python("script.py")
    assert done.returncode == 0, done.stderr
    assert "{'y': 42}" in done.stdout
    assert "Traceback" not in done.stderr


def test_modules_beside_the_script_travel_from_another_folder(python: Python, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "package").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (project / "mine.py").write_text(
        "from maze import task\nfrom package.deep import lift\n\n"
        "@task(inputs=['x'], outputs=['y'])\ndef work(params):\n    return {'y': lift(params['x'])}\n"
    )
    (project / "package/__init__.py").write_text("")
    (project / "package/deep.py").write_text(
        "import dataclasses\n\nSTEP = 5\n\n@dataclasses.dataclass\nclass Level:\n    height: int\n\n"
        "def lift(x):\n    return Level(x + STEP)\n"
    )
    (project / "main.py").write_text(
        "from maze import MaClient\nimport mine\nfrom package.deep import Level\n\n"
        "with MaClient() as client:\n"
        "    workflow = client.create_workflow()\n"
        "    made = workflow.add_task(mine.work, inputs={'x': 1})\n"
        "    run_id = workflow.run()\n"
        "    workflow.get_results(run_id, verbose=False)\n"
        "    found = workflow.get_task_result(run_id, made.task_id)\n"
        "    print(found['result'] if found['status'] == 'success' else found['error'])\n"
        "    print(found['result']['y'] == Level(6))\n"
    )
    done = python(str(project / "main.py"), cwd=tmp_path / "elsewhere")
    assert done.stdout == "{'y': Level(height=6)}\nTrue\n", done.stderr


# Lightness


@pytest.mark.parametrize(
    "code",
    [
        "import maze",
        "from maze import MaClient, task",
        "from maze import MaClient, task\n@task(inputs=['x'], outputs=['y'])\ndef f(params):\n    return {'y': 1}",
    ],
)
def test_importing_and_decorating_is_light(python: Python, code: str) -> None:
    heavy = ["aiohttp", "zmq", "networkx", "rich", "numpy", "matplotlib", "msgspec", "cloudpickle", "asyncio"]
    done = python("-c", f"{code}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])")
    assert done.stdout == "[]\n", done.stderr


def test_the_help_of_the_command_is_light(python: Python) -> None:
    done = python("-X", "importtime", "-m", "maze", "--help")
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"aiohttp", "zmq", "networkx", "rich", "numpy", "matplotlib", "msgspec"}


# Where the client runs


def test_an_unclosed_client_neither_delays_the_exit_nor_warns(python: Python) -> None:
    done = python("-X", "dev", "-W", "error", "-c", QUICK, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'y': 42}\n", "")


def test_a_client_is_a_context_manager_and_closed_afterwards(url: str) -> None:
    with MaClient() as client:
        client.create_workflow().add_task(one)
    client.close()
    with pytest.raises(maze.MazeError, match="close"):
        client.create_workflow()


def test_edits_of_a_closed_client_have_been_sent(url: str) -> None:
    with MaClient() as client:
        workflow = client.create_workflow()
        made = workflow.add_task(one)
    with MaClient() as client:
        assert MaWorkflow(workflow.workflow_id, url).get_tasks() == [{"id": made.task_id, "name": "one"}]


def test_edits_are_sent_at_exit(python: Python, url: str) -> None:
    script = QUICK[: QUICK.index("run_id")] + "print(workflow.workflow_id)\n"
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    assert [each["name"] for each in MaWorkflow(done.stdout.strip(), url).get_tasks()] == ["twice"]


def test_a_client_works_inside_a_running_event_loop(client: MaClient) -> None:
    async def cell() -> Any:
        workflow = client.create_workflow()
        return value_of(workflow, workflow.add_task(same, inputs={"x": 1}))

    assert asyncio.run(cell()) == {"y": 1}


def test_clients_of_many_threads(client: MaClient) -> None:
    found: list[Any] = []

    def work(number: int) -> None:
        workflow = client.create_workflow()
        made = [workflow.add_task(same, inputs={"x": number * 100 + each}) for each in range(5)]
        run_id, _ = finish(workflow)
        found.append([workflow.get_task_result(run_id, each.task_id)["result"]["y"] for each in made])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [[number * 100 + each for each in range(5)] for number in range(8)]


def test_a_fork_is_survived(python: Python) -> None:
    script = (
        QUICK
        + """
import os, sys
sys.stdout.flush()
pid = os.fork()
second = workflow.run()
line = workflow.get_results(second, verbose=False)[-1]["type"] + "\\n"
os.write(1, line.encode())  # at one blow: both may write at the same time
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["{'y': 42}", "finish_workflow", "finish_workflow"]


def test_the_async_client_does_the_same(url: str) -> None:
    async def main() -> list[str]:
        async with maze.AsyncMaClient() as client:
            workflow = await client.create_workflow()
            workflow.add_task(same, inputs={"x": 1})
            run_id = await workflow.run()
            return [message["type"] for message in await workflow.get_results(run_id, verbose=False)]

    assert asyncio.run(main()) == ["start_task", "finish_task", "finish_workflow"]


# Addresses


def test_the_default_address_is_the_documented_text_and_gives_way_only_when_omitted(python: Python, url: str) -> None:
    script = """
import inspect
from maze import MaClient
default = inspect.signature(MaClient).parameters["server_url"].default
print(default == "http://localhost:8000", isinstance(default, str))
with MaClient() as client:
    print(client.create_workflow().server_url)
print(MaClient("http://localhost:8000/").server_url)
"""
    done = python("-c", script)
    assert done.stdout.splitlines() == ["True True", url, "http://localhost:8000"], done.stderr


def test_the_connection_file_is_found(python: Python, cluster: Cluster) -> None:
    script = "from maze import MaClient\nprint(MaClient().create_workflow().server_url)"
    done = python("-c", script, MAZE_URL="", MAZE_CONNECTION_FILE=str(cluster.connection_file))
    assert done.stdout.strip() == cluster.url, done.stderr


def test_nobody_at_home_is_told_with_what_to_type(python: Python) -> None:
    done = python("-c", "from maze import MaClient\nMaClient('http://127.0.0.1:1').create_workflow()")
    assert done.returncode == 1
    for word in ("127.0.0.1:1", "maze up", "maze run", "MaClient.local()"):
        assert word in done.stderr


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


def test_a_stranger_on_the_port_is_told() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Stranger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        with MaClient(address) as client, pytest.raises(maze.MazeError, match=r"(?i)not a maze head"):
            client.create_workflow()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("wrong", ["localhost:8000", "", "ftp://localhost", "http://", None, 8000])
def test_what_is_no_url_is_a_value_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"(?i)url"):
        MaClient(wrong)


def test_local_starts_and_ends_a_cluster_of_its_own(python: Python) -> None:
    script = (
        QUICK.replace("client = MaClient()", "client = MaClient.local(cpus=2)")
        + """
import json, urllib.request
from maze._daemon.access import bearer, find_access
shown = bearer(find_access(workflow.server_url).token)
info = json.load(urllib.request.urlopen(urllib.request.Request(workflow.server_url + "/api/v1/info", headers=shown)))
print(info["embedded"], info["pid"])
client.close()
"""
    )
    done = python("-W", "error::RuntimeWarning", "-c", script, MAZE_URL="")
    assert done.returncode == 0, done.stderr
    result, info = done.stdout.splitlines()
    assert result == "{'y': 42}"
    embedded, pid = info.split()
    assert embedded == "True"
    assert not Path(f"/proc/{pid}").exists()
