"""Bad input gives a clear error at the earliest layer; the head, and other runs, go on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import maze
from conformance.workflows import both, error_of, finish, one, same, value_of
from maze import InfeasibleWarning, MaClient, MaTask, MaWorkflow, RemoteValue, task
from support.cluster import Cluster

NOBODY = "task_" + "0" * 32


@pytest.fixture(autouse=True)
def _the_cluster_goes_on(cluster: Cluster, client: MaClient) -> Iterator[None]:
    """After each test the same head has the same nodes and another run ends well."""
    before = cluster.get("/api/v1/info")
    yield
    after = cluster.get("/api/v1/info")
    assert (after["pid"], after["epoch"]) == (before["pid"], before["epoch"])
    assert after["nodes_ready"] == before["nodes_ready"] == 2
    other = client.create_workflow()
    assert value_of(other, other.add_task(one)) == {"y": 1}


def edit_and_run(workflow: MaWorkflow, edit: Callable[[], object]) -> None:
    """Make an edit that the client may leave to the head to refuse."""
    edit()
    workflow.run()


# Refused by the client, before anything is sent


def test_a_missing_input_is_named(workflow: MaWorkflow) -> None:
    with pytest.raises(ValueError, match="'b'"):
        workflow.add_task(both, inputs={"a": 1})
    with pytest.raises(ValueError, match="'a'"):
        workflow.add_task(both)
    assert workflow.get_tasks() == []


def test_an_unknown_input_is_named_with_the_closest(workflow: MaWorkflow) -> None:
    with pytest.raises(ValueError, match="'xx'") as caught:
        workflow.add_task(same, inputs={"x": 1, "xx": 2})
    assert "'x'" in str(caught.value).replace("'xx'", "") or " x" in str(caught.value)


def test_an_unknown_output_is_a_key_error(workflow: MaWorkflow) -> None:
    made = workflow.add_task(one)
    with pytest.raises(KeyError, match="z"):
        made.outputs["z"]


def test_a_handmade_reference_to_an_unknown_output_is_refused(workflow: MaWorkflow) -> None:
    made = workflow.add_task(one)
    with pytest.raises(maze.MazeError, match="z"):
        workflow.add_task(same, inputs={"x": maze.TaskOutput(made.task_id, "z")})


@pytest.mark.parametrize("wrong", [len, "text", 7, object()])
def test_what_is_no_task_is_refused(workflow: MaWorkflow, wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="@task") as caught:
        workflow.add_task(wrong)
    assert isinstance(caught.value, maze.MazeError)


@pytest.mark.parametrize("wrong", [[1], "x", 7])
def test_inputs_that_are_no_dict_are_refused(workflow: MaWorkflow, wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="inputs"):
        workflow.add_task(same, inputs=wrong)


def test_a_self_edge_is_refused(workflow: MaWorkflow) -> None:
    made = workflow.add_task(one)
    with pytest.raises(ValueError, match=r"itself|cycle"):
        workflow.add_edge(made, made)


def test_a_long_cycle_is_refused_and_named(workflow: MaWorkflow) -> None:
    made = [workflow.add_task(one, task_name=f"step {number}") for number in range(5)]
    for earlier, later in itertools.pairwise(made):
        workflow.add_edge(earlier, later)
    with pytest.raises(maze.CycleError) as caught:
        workflow.add_edge(made[4], made[1])
    assert set(caught.value.tasks) == {each.task_id for each in made[1:]}
    assert len(workflow.get_graph_info()["edges"]) == 4


def test_tasks_of_another_workflow_are_refused(client: MaClient, workflow: MaWorkflow) -> None:
    foreign = client.create_workflow().add_task(one)
    mine = workflow.add_task(one)
    with pytest.raises(maze.MazeError, match="workflow"):
        workflow.add_edge(foreign, mine)
    with pytest.raises(maze.MazeError, match="workflow"):
        workflow.add_task(same, inputs={"x": foreign.outputs["y"]})


def test_an_input_that_cannot_be_pickled_is_named(workflow: MaWorkflow) -> None:
    with pytest.raises((ValueError, TypeError), match="x") as caught:
        workflow.add_task(same, inputs={"x": threading.Lock()})
    assert "lock" in str(caught.value)


def test_a_function_that_cannot_be_pickled_is_refused(workflow: MaWorkflow) -> None:
    lock = threading.Lock()

    @task(inputs=[], outputs=["y"])
    def holds(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": lock.locked()}

    with pytest.raises(maze.MazeError, match="holds"):
        edit_and_run(workflow, lambda: workflow.add_task(holds))


@pytest.mark.parametrize(
    ("declare", "rule"),
    [
        (lambda: task(inputs="text", outputs=["y"]), "list"),
        (lambda: task(inputs=["x", "x"], outputs=["y"]), "twice"),
        (lambda: task(inputs=[1], outputs=["y"]), "string"),
        (lambda: task(inputs=["x"], outputs=["y"], data_types={"x": "number"}), "number"),
        (lambda: task(inputs=["x"], outputs=["y"], data_types={"z": "int"}), "z"),
        (lambda: task(inputs=["x"], outputs=["y"])(print), "function"),
        (lambda: task(inputs=["x"], outputs=["y"])(lambda: {"y": 1}), "params"),
    ],
)
def test_wrong_declarations_fail_at_decoration_with_the_rule(declare: Any, rule: str) -> None:
    with pytest.raises((ValueError, TypeError), match=rule) as caught:
        declare()
    assert isinstance(caught.value, maze.MazeError)


# Refused by the head


def test_unknown_ids(workflow: MaWorkflow, url: str) -> None:
    ghost = MaTask(NOBODY, workflow.workflow_id, url)
    made = workflow.add_task(one)
    with pytest.raises(maze.MazeError, match="task"):
        edit_and_run(workflow, lambda: workflow.add_edge(made, ghost))
    with pytest.raises(maze.MazeError, match="task"):
        edit_and_run(workflow, ghost.delete)
    nowhere = MaWorkflow("workflow_" + "0" * 32, url)
    for attempt in (nowhere.get_tasks, nowhere.run, nowhere.get_graph_info):
        with pytest.raises(maze.MazeError, match="workflow"):
            attempt()


def test_a_refused_edit_leaves_the_rest(workflow: MaWorkflow, url: str) -> None:
    made = workflow.add_task(one)
    ghost = MaTask(NOBODY, workflow.workflow_id, url)
    with pytest.raises(maze.MazeError):
        edit_and_run(workflow, lambda: workflow.add_edge(made, ghost))
    assert value_of(workflow, made) == {"y": 1}


def test_resources_that_no_node_has_are_told(workflow: MaWorkflow, cluster: Cluster) -> None:
    """A run that cannot start anywhere waits, like one without a node; others pass it."""

    @task(inputs=[], outputs=["y"], resources={"gpu": 64})
    def huge(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": 1}

    waiting = workflow.add_task(huge)
    with pytest.warns(InfeasibleWarning, match="'huge' .* it asks for 64"):
        run_id = workflow.run()
    assert cluster.tasks(run_id)[waiting.task_id]["status"] in ("ready", "waiting")
    assert cluster.request("DELETE", f"/api/v1/runs/{run_id}")[0] == 202
    cluster.events(run_id)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/runs/nonsense", None, 400),
        ("GET", f"/api/v1/runs/run_{'0' * 32}/events", None, 404),
        ("GET", "/api/v1/workflows/nonsense", None, 400),
        ("GET", "/api/v1/nodes/nonsense", None, 404),
        ("GET", "/api/v1/nothing", None, 404),
        ("PATCH", "/api/v1/runs", None, 405),
        ("POST", "/api/v1/runs", {"workflow_id": "workflow_" + "0" * 32}, 404),
        ("POST", "/api/v1/runs", {"workflow": "x"}, 422),
        ("POST", "/api/v1/runs", [1], 422),
        ("POST", "/api/v1/workflows", {"name": 7}, 422),
    ],
)
def test_the_api_is_honest(cluster: Cluster, method: str, path: str, body: object, status: int) -> None:
    found, reply = cluster.request(method, path, body)
    assert (found, isinstance(reply, dict)) == (status, True), reply
    assert reply["error"]["code"]
    assert reply["error"]["message"]


# Failures of one task


def test_a_return_value_that_cannot_be_pickled_fails_its_task(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["fine", "held"])
    def returns_a_lock(params: dict[str, Any]) -> dict[str, Any]:
        import threading

        return {"fine": 1, "held": threading.Lock()}

    text = error_of(workflow, workflow.add_task(returns_a_lock))
    assert "'held'" in text
    assert "lock" in text


def test_a_huge_return_value_arrives_as_a_reference(workflow: MaWorkflow) -> None:
    @task(inputs=["x"], outputs=["y"])
    def huge(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": params["x"] * 2}

    made = workflow.add_task(huge, inputs={"x": b"x" * (9 * 1024 * 1024)})
    value = workflow.show_results(workflow.run())["task_results"][made.task_id]["y"]
    assert isinstance(value, RemoteValue)
    assert value.get() == b"x" * (18 * 1024 * 1024)


def test_a_module_that_the_worker_lacks_fails_its_task(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["y"])
    def needs(params: dict[str, Any]) -> dict[str, Any]:
        import a_module_that_nobody_has  # type: ignore[import-not-found]

        return {"y": a_module_that_nobody_has}

    text = error_of(workflow, workflow.add_task(needs))
    last = text.rstrip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: No module named 'a_module_that_nobody_has'")


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("import os; os._exit(3)", "3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os, signal; os.kill(0, signal.SIGKILL)", "SIGKILL"),
    ],
)
def test_code_that_kills_its_worker_fails_its_task(workflow: MaWorkflow, code: str, named: str) -> None:
    @task(inputs=["code"], outputs=["y"])
    def deadly(params: dict[str, Any]) -> dict[str, Any]:
        exec(params["code"])
        return {"y": 1}

    text = error_of(workflow, workflow.add_task(deadly, inputs={"code": code}))
    last = text.rstrip().splitlines()[-1]
    assert last.startswith("WorkerCrashed: ")
    assert named in last


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt()", "BaseException('odd')", "RecursionError()"])
def test_unusual_exceptions_are_the_tasks_own(workflow: MaWorkflow, raised: str) -> None:
    @task(inputs=["raised"], outputs=["y"])
    def raises(params: dict[str, Any]) -> dict[str, Any]:
        raise eval(params["raised"])

    text = error_of(workflow, workflow.add_task(raises, inputs={"raised": raised}))
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.rstrip().splitlines()[-1].startswith(raised.partition("(")[0])


def test_hostile_exceptions_are_told(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["y"])
    def raises(params: dict[str, Any]) -> dict[str, Any]:
        class Nasty(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text for you")

        raise Nasty

    assert "Nasty" in error_of(workflow, workflow.add_task(raises))


def test_output_and_descriptors_of_a_task_do_no_harm(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["y"])
    def rude(params: dict[str, Any]) -> dict[str, Any]:
        import os
        import sys

        print("to standard output")
        os.write(2, b"\xff\xfe not text\n")
        sys.stdout.close()
        for descriptor in range(3, 64):
            try:
                os.close(descriptor)
            except OSError:
                continue
        return {"y": 1}

    made = workflow.add_task(rude)
    run_id, _ = finish(workflow)
    assert workflow.get_task_result(run_id, made.task_id) is not None


def test_other_runs_go_on_beside_a_crash(client: MaClient, tmp_path: Path) -> None:
    @task(inputs=[], outputs=["y"])
    def deadly(params: dict[str, Any]) -> dict[str, Any]:
        import os

        os._exit(1)

    sick, healthy = client.create_workflow(), client.create_workflow()
    for _ in range(3):
        sick.add_task(deadly)
    made = [healthy.add_task(same, inputs={"x": number}) for number in range(20)]
    sick_run = sick.run()
    run_id, _ = finish(healthy)
    assert [healthy.get_task_result(run_id, each.task_id)["result"]["y"] for each in made] == list(range(20))
    assert len(sick.show_results(sick_run)["exception_tasks"]) == 3
