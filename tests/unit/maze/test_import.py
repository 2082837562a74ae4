"""`import maze` is light, and its public names are what they say."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import maze
from support.cluster import clean_environment

HEAVY = {
    "aiohttp", "zmq", "networkx", "rich", "numpy", "matplotlib", "msgspec", "click", "psutil", "asyncio", "cloudpickle",
    "msgpack", "ssl", "websockets",
}  # fmt: skip
DECORATE = """
@task(inputs=["x"], outputs=["y"], resources={"cpu": 0.5}, data_types={"x": "int"})
def double(params):
    return {"y": params["x"] * 2}
assert double({"x": 2}) == {"y": 4}
"""


def loaded(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=clean_environment(), timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import maze",
        "from maze import MaClient, MaWorkflow, MaTask, TaskOutput, task\n" + DECORATE,
        "from maze.client.maze import MaClient, task\n" + DECORATE,
        "from maze.client.front import MaClient, task\n" + DECORATE,
        "from maze import MaClient; MaClient('http://127.0.0.1:9')",
    ],
)
def test_importing_decorating_and_making_a_client_load_nothing_heavy(code: str) -> None:
    assert not loaded(code) & HEAVY


def test_a_request_needs_nothing_of_what_a_websocket_needs() -> None:
    found = loaded("import maze._http")
    assert "aiohttp" in found
    assert "websockets" not in found


def test_no_submodule_takes_a_public_name() -> None:
    for module in pkgutil.walk_packages(maze.__path__, "maze."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in maze.__all__:
        value = getattr(maze, name)
        assert name == "__version__" or getattr(value, "__name__", name) == name
        assert type(value).__name__ != "module"
    assert maze.task.__module__ == "maze._decorator"


def test_all_names_exist_are_listed_once_and_are_told_to_editors() -> None:
    assert len(maze.__all__) == len(set(maze.__all__))
    assert set(maze.__all__) <= set(dir(maze))
    assert all(getattr(maze, name) is not None for name in maze.__all__)


def test_errors_are_all_public() -> None:
    from maze import errors

    assert set(errors.__all__) <= set(maze.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wrokflow'"):
        maze.Wrokflow  # noqa: B018


@pytest.mark.parametrize("module", ["maze.client", "maze.client.maze", "maze.client.front"])
def test_the_documented_modules_hold_the_same_classes(module: str) -> None:
    found = importlib.import_module(module)
    for name in ("MaClient", "MaWorkflow", "MaTask", "TaskOutput", "TaskOutputs", "task", "get_task_metadata"):
        assert getattr(found, name) is getattr(maze, name)
