"""The SDK has the shape that the API reference documents: names, signatures, defaults, types, messages, errors."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maze
from maze import MaClient, MaTask, MaWorkflow, TaskOutput, TaskOutputs, task

REQUIRED = inspect.Parameter.empty

SIGNATURES: dict[Callable[..., Any], dict[str, Any]] = {
    MaClient: {"server_url": "http://localhost:8000"},
    MaClient.create_workflow: {},
    MaWorkflow: {"workflow_id": REQUIRED, "server_url": REQUIRED},
    MaWorkflow.add_task: {"task_func": None, "inputs": None, "task_type": "code", "task_name": None},
    MaWorkflow.get_tasks: {},
    MaWorkflow.add_edge: {"source_task": REQUIRED, "target_task": REQUIRED},
    MaWorkflow.del_edge: {"source_task": REQUIRED, "target_task": REQUIRED},
    MaWorkflow.run: {},
    MaWorkflow.get_results: {"run_id": REQUIRED, "verbose": True},
    MaWorkflow.show_results: {"run_id": REQUIRED, "output_dir": "workflow_results"},
    MaWorkflow.print_graph: {},
    MaWorkflow.draw_graph: {"output_path": "workflow.png", "method": "auto", "figsize": (12, 8), "dpi": 300},
    MaWorkflow.get_graph_mermaid: {},
    MaWorkflow.get_graph_info: {},
    MaWorkflow.get_task_result: {"run_id": REQUIRED, "task_id": REQUIRED},
    MaWorkflow.list_cached_runs: {},
    MaWorkflow.clear_cache: {"run_id": None},
    MaTask: {
        "task_id": REQUIRED,
        "workflow_id": REQUIRED,
        "server_url": REQUIRED,
        "task_name": None,
        "output_keys": None,
    },
    MaTask.delete: {},
    TaskOutput: {"task_id": REQUIRED, "output_key": REQUIRED},
    TaskOutput.to_reference_string: {},
    TaskOutputs: {"task_id": REQUIRED, "output_keys": REQUIRED},
    TaskOutputs.__getitem__: {"key": REQUIRED},
    TaskOutputs.keys: {},
    task: {"inputs": REQUIRED, "outputs": REQUIRED, "resources": None, "data_types": None},
}


@pytest.mark.parametrize("member", SIGNATURES, ids=lambda member: member.__qualname__)
def test_parameters_have_the_documented_names_order_and_defaults(member: Callable[..., Any]) -> None:
    """What is ours beyond the reference has to be optional and come after."""
    documented = SIGNATURES[member]
    parameters = [each for each in inspect.signature(member).parameters.values() if each.name != "self"]
    first, ours = parameters[: len(documented)], parameters[len(documented) :]
    assert {each.name: each.default for each in first} == documented
    assert [each.name for each in first] == list(documented)
    assert all(each.kind is each.POSITIONAL_OR_KEYWORD for each in first)
    assert all(each.default is not REQUIRED or each.kind is each.VAR_KEYWORD for each in ours)


def test_add_task_takes_more_keywords() -> None:
    kinds = [each.kind for each in inspect.signature(MaWorkflow.add_task).parameters.values()]
    assert inspect.Parameter.VAR_KEYWORD in kinds


@pytest.mark.parametrize("member", SIGNATURES, ids=lambda member: member.__qualname__)
def test_documented_members_have_docstrings(member: Callable[..., Any]) -> None:
    assert (member.__doc__ or "").strip()


@pytest.mark.parametrize("module", ["maze.client", "maze.client.maze"])
def test_the_modules_that_the_reference_names_hold_the_same_classes(module: str) -> None:
    found = importlib.import_module(module)
    assert (found.MaClient, found.MaWorkflow, found.MaTask, found.task) == (MaClient, MaWorkflow, MaTask, task)


def test_the_front_module_can_be_imported() -> None:
    assert importlib.import_module("maze.client.front").MaClient


def test_every_public_name_is_there_and_no_submodule_shadows_one() -> None:
    for name in maze.__all__:
        assert getattr(maze, name) is not None
    folder = Path(maze.__file__).parent
    submodules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert not submodules & set(maze.__all__)
    assert maze.task is task
    assert callable(maze.task)


# Attributes and types


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@task(inputs=["x"], outputs=["y"])
def broken(params: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("bad thing")


def test_attributes(workflow: MaWorkflow, url: str) -> None:
    made = workflow.add_task(double, inputs={"x": 1})
    assert isinstance(workflow, MaWorkflow)
    assert isinstance(workflow.workflow_id, str)
    assert workflow.workflow_id
    assert workflow.server_url == url
    assert isinstance(made, MaTask)
    assert (made.workflow_id, made.task_name) == (workflow.workflow_id, "double")
    assert isinstance(made.outputs, TaskOutputs)
    assert isinstance(made.outputs["y"], TaskOutput)
    assert (made.outputs["y"].task_id, made.outputs["y"].output_key) == (made.task_id, "y")


def test_references_built_by_hand() -> None:
    assert TaskOutput("task_id_123", "result").to_reference_string() == "task_id_123.output.result"
    outputs = TaskOutputs("task_id_123", ["a", "b"])
    assert outputs.keys() == ["a", "b"]
    assert isinstance(outputs.keys(), list)
    assert outputs["b"].to_reference_string() == "task_id_123.output.b"
    with pytest.raises(KeyError) as caught:
        outputs["c"]
    assert "'c'" in str(caught.value)
    assert not str(caught.value).startswith('"'), "a readable message, not KeyError's repr of one"


def test_handles_built_by_hand_work_like_those_that_were_given_out(workflow: MaWorkflow, url: str) -> None:
    first = workflow.add_task(double, inputs={"x": 1})
    again = MaWorkflow(workflow.workflow_id, url)
    handle = MaTask(first.task_id, workflow.workflow_id, url, "double", ["y"])
    assert handle.outputs.keys() == ["y"]
    second = again.add_task(double, inputs={"x": handle.outputs["y"]})
    run_id = again.run()
    again.get_results(run_id, verbose=False)
    assert again.get_task_result(run_id, second.task_id)["result"] == {"y": 4}
    MaTask(second.task_id, workflow.workflow_id, url).delete()
    assert [listed["id"] for listed in workflow.get_tasks()] == [first.task_id]


def test_return_types(workflow: MaWorkflow) -> None:
    workflow.add_task(double, inputs={"x": 1})
    assert isinstance(workflow.get_tasks(), list)
    assert isinstance(workflow.get_graph_info(), dict)
    assert isinstance(workflow.get_graph_mermaid(), str)
    run_id = workflow.run()
    assert isinstance(run_id, str)
    assert isinstance(workflow.get_results(run_id, verbose=False), list)
    assert isinstance(workflow.show_results(run_id), dict)
    assert isinstance(workflow.list_cached_runs(), list)
    assert workflow.clear_cache() is None
    assert workflow.print_graph() is None


def test_draw_graph_returns_the_path(workflow: MaWorkflow, tmp_path: Path) -> None:
    workflow.add_task(double, inputs={"x": 1})
    target = str(tmp_path / "graph.svg")
    returned = workflow.draw_graph(target, method="matplotlib")
    assert isinstance(returned, str)
    assert returned == target
    assert "<svg" in (tmp_path / "graph.svg").read_text()


# Messages and the cache


def test_messages_have_exactly_the_documented_keys_in_order_of_cause(workflow: MaWorkflow) -> None:
    good = workflow.add_task(double, inputs={"x": 1})
    bad = workflow.add_task(broken, inputs={"x": 1})
    skipped = workflow.add_task(double, inputs={"x": bad.outputs["y"]})
    after_good = workflow.add_task(double, inputs={"x": good.outputs["y"]})
    messages = workflow.get_results(workflow.run(), verbose=False)
    keys = {
        "start_task": ["workflow_id", "task_id", "node_ip"],
        "finish_task": ["workflow_id", "task_id", "result"],
        "task_exception": ["workflow_id", "task_id", "result"],
        "finish_workflow": [],
    }
    for message in messages:
        assert list(message) == ["type", "data"]
        assert list(message["data"]) == keys[message["type"]]
    story = [(message["type"], message["data"].get("task_id")) for message in messages]
    assert story[-1] == ("finish_workflow", None)
    assert story.index(("start_task", good.task_id)) < story.index(("finish_task", good.task_id))
    assert story.index(("start_task", bad.task_id)) < story.index(("task_exception", bad.task_id))
    assert story.index(("finish_task", good.task_id)) < story.index(("start_task", after_good.task_id))
    assert ("finish_task", after_good.task_id) in story
    assert skipped.task_id not in [task_id for _, task_id in story]
    assert len(story) == 7


def test_node_ip_is_an_address(workflow: MaWorkflow) -> None:
    workflow.add_task(double, inputs={"x": 1})
    started = workflow.get_results(workflow.run(), verbose=False)[0]
    assert started["data"]["node_ip"].count(".") == 3 or ":" in started["data"]["node_ip"]


def test_the_exception_is_the_users_own(workflow: MaWorkflow) -> None:
    bad = workflow.add_task(broken, inputs={"x": 1})
    run_id = workflow.run()
    messages = workflow.get_results(run_id, verbose=False)
    failure = next(each for each in messages if each["type"] == "task_exception")
    lines = failure["data"]["result"].rstrip().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: bad thing"
    assert sum(line.startswith("  File ") for line in lines) == 1, "only the user's own frames"
    assert f"in {broken.__name__}" in lines[1]
    found = workflow.get_task_result(run_id, bad.task_id)
    assert found == {
        "task_id": bad.task_id,
        "result": None,
        "status": "exception",
        "error": failure["data"]["result"],
    }


def test_show_results_of_a_failing_branch(workflow: MaWorkflow) -> None:
    good = workflow.add_task(double, inputs={"x": 1})
    bad = workflow.add_task(broken, inputs={"x": 1})
    workflow.add_task(double, inputs={"x": bad.outputs["y"]})
    assert workflow.show_results(workflow.run()) == {
        "task_results": {good.task_id: {"y": 2}},
        "workflow_completed": True,
        "has_exception": True,
        "exception_tasks": [bad.task_id],
    }


def test_lists_are_fresh_and_equal(workflow: MaWorkflow) -> None:
    made = workflow.add_task(double, inputs={"x": [1]})
    run_id = workflow.run()
    first = workflow.get_results(run_id, verbose=False)
    second = workflow.get_results(run_id, verbose=False)
    assert first == second
    assert first is not second
    first.clear()
    second[1]["data"]["result"]["y"] = "spoilt"
    del second[0]["data"]["node_ip"]
    third = workflow.get_results(run_id, verbose=False)
    assert [message["type"] for message in third] == ["start_task", "finish_task", "finish_workflow"]
    assert "node_ip" in third[0]["data"]
    assert workflow.get_task_result(run_id, made.task_id)["result"] == {"y": [1, 1]}
    workflow.list_cached_runs().clear()
    assert workflow.list_cached_runs() == [run_id]


def test_cached_results_need_no_server(workflow: MaWorkflow, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    workflow.add_task(double, inputs={"x": 1})
    run_id = workflow.run()
    before = workflow.get_results(run_id, verbose=False)
    monkeypatch.setattr(socket.socket, "send", _unreachable)
    monkeypatch.setattr(socket.socket, "sendall", _unreachable)
    monkeypatch.setattr(socket.socket, "connect", _unreachable)
    assert workflow.get_results(run_id, verbose=False) == before


def _unreachable(*_: object) -> None:
    raise OSError("the network is forbidden here")


def test_verbose_prints_from_the_cache_too(workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    workflow.add_task(double, inputs={"x": 1})
    run_id = workflow.run()
    workflow.get_results(run_id)
    once = capsys.readouterr().out
    workflow.get_results(run_id)
    assert capsys.readouterr().out == once != ""


def test_runs_are_independent(workflow: MaWorkflow) -> None:
    made = workflow.add_task(double, inputs={"x": 1})
    one, two = workflow.run(), workflow.run()
    assert one != two
    workflow.get_results(one, verbose=False)
    with pytest.raises(ValueError, match="get_results"):
        workflow.get_task_result(two, made.task_id)
    assert workflow.list_cached_runs() == [one]
    workflow.get_results(two, verbose=False)
    workflow.clear_cache(one)
    assert workflow.list_cached_runs() == [two]
    workflow.clear_cache("run_that_never_was")
    assert workflow.list_cached_runs() == [two]


def test_get_task_result_of_a_task_that_is_not_there(workflow: MaWorkflow) -> None:
    workflow.add_task(double, inputs={"x": 1})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    assert workflow.get_task_result(run_id, "task_" + "0" * 32) is None


# Ids


def test_ids_and_their_short_forms(workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    made = workflow.add_task(double, inputs={"x": 1})
    word, digits = made.task_id.split("_")
    assert word == "task"
    assert len(digits) == 32
    assert int(digits, 16)
    run_id = workflow.run()
    workflow.show_results(run_id)
    shown = capsys.readouterr().out
    assert f"Task started: {made.task_id[:13]}\n" in shown
    workflow.print_graph()
    assert f"{made.task_id[:13]}... [double]" in capsys.readouterr().out
    for prefix in (made.task_id, made.task_id[:13], digits[:8], digits):
        assert workflow.get_task_result(run_id, prefix)["task_id"] == made.task_id
    assert workflow.get_task_result(run_id, digits[:7]) is None


# Documented errors


def test_errors_are_the_builtins_that_the_reference_names() -> None:
    assert issubclass(maze.UnknownRunError, ValueError)
    assert issubclass(maze.UnknownOutputError, KeyError)
    assert issubclass(maze.MissingDependencyError, ImportError)
    for error in (maze.UnknownRunError, maze.UnknownOutputError, maze.MissingDependencyError):
        assert issubclass(error, maze.MazeError)


def test_an_invalid_run_is_a_value_error(workflow: MaWorkflow) -> None:
    workflow.add_task(double, inputs={"x": 1})
    for unknown in ("nonsense", "run_" + "0" * 32, ""):
        with pytest.raises(ValueError, match=unknown or "run"):
            workflow.get_results(unknown, verbose=False)
        with pytest.raises(ValueError, match=unknown or "run"):
            workflow.show_results(unknown)
    with pytest.raises(ValueError, match="get_results"):
        workflow.get_task_result("nonsense", "task_00000000")


def test_another_workflows_run_is_a_value_error(client: MaClient) -> None:
    mine, other = client.create_workflow(), client.create_workflow()
    other.add_task(double, inputs={"x": 1})
    with pytest.raises(ValueError, match="workflow"):
        mine.get_results(other.run(), verbose=False)


def test_a_cycle_is_an_error_that_names_it_and_changes_nothing(workflow: MaWorkflow) -> None:
    first = workflow.add_task(double, inputs={"x": 1})
    second = workflow.add_task(double, inputs={"x": first.outputs["y"]})
    with pytest.raises(Exception, match="cycle") as caught:
        workflow.add_edge(second, first)
    assert first.task_id[:13] in str(caught.value)
    assert workflow.get_graph_info()["edges"] == [[first.task_id, second.task_id]]
    assert workflow.show_results(workflow.run())["workflow_completed"]


def test_failures_of_creation_are_exceptions_of_ours() -> None:
    with MaClient("http://127.0.0.1:1") as nowhere, pytest.raises(maze.MazeError, match=r"127\.0\.0\.1:1"):
        nowhere.create_workflow()
