"""The blocking client against a real head and node: building, running, reading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from maze import (
    EmptyWorkflowError,
    GraphError,
    MaClient,
    MaTask,
    MaWorkflow,
    UnknownRunError,
    UnknownWorkflowError,
    task,
)
from support.cluster import Cluster, wait_until


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@task(inputs=["items"], outputs=["total"])
def add_up(params: dict[str, Any]) -> dict[str, Any]:
    return {"total": sum(params["items"])}


@task(inputs=["x"], outputs=["y"])
def divide(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1 / params["x"]}


@task(inputs=["value"], outputs=["value", "kind"])
def echo(params: dict[str, Any]) -> dict[str, Any]:
    return {"value": params["value"], "kind": type(params["value"]).__name__}


@task(inputs=["path"], outputs=["y"])
def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
    import pathlib
    import time

    while not pathlib.Path(params["path"]).exists():
        time.sleep(0.01)
    return {"y": "seen"}


@pytest.fixture
def client(cluster: Cluster) -> Iterator[MaClient]:
    with MaClient(cluster.url) as made:
        yield made


@pytest.fixture
def workflow(client: MaClient) -> MaWorkflow:
    return client.create_workflow()


def results(workflow: MaWorkflow) -> dict[str, Any]:
    found: dict[str, Any] = workflow.show_results(workflow.run())
    return found


def test_values_flow_from_task_to_task(workflow: MaWorkflow) -> None:
    ones = [workflow.add_task(double, {"x": number}) for number in range(5)]
    total = workflow.add_task(add_up, {"items": [one.outputs["y"] for one in ones]})
    again = workflow.add_task(add_up, {"items": [total.outputs["total"], 1]})
    found = results(workflow)
    assert found["task_results"][again.task_id] == {"total": 21}
    assert (found["workflow_completed"], found["has_exception"]) == (True, False)


def test_messages_are_the_documented_ones_in_order(workflow: MaWorkflow) -> None:
    one = workflow.add_task(double, {"x": 2})
    two = workflow.add_task(divide, {"x": 0})
    workflow.add_edge(one, two)
    messages = workflow.get_results(workflow.run(), verbose=False)
    about = {"workflow_id": workflow.workflow_id}
    assert messages[:2] == [
        {"type": "start_task", "data": {**about, "task_id": one.task_id, "node_ip": messages[0]["data"]["node_ip"]}},
        {"type": "finish_task", "data": {**about, "task_id": one.task_id, "result": {"y": 4}}},
    ]
    assert messages[3]["data"].keys() == {"workflow_id", "task_id", "result"}
    text = messages[3]["data"]["result"]
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert messages[4:] == [{"type": "finish_workflow", "data": {}}]


def test_results_are_read_any_number_of_times(
    workflow: MaWorkflow, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    made = workflow.add_task(double, {"x": [1]})
    run_id = workflow.run()
    first = workflow.get_results(run_id)
    printed = capsys.readouterr().out
    assert printed == "".join(f"{message}\n" for message in first)
    assert workflow.get_results(run_id) == first
    assert capsys.readouterr().out == printed
    first[1]["data"]["result"]["y"].append("mine")
    assert workflow.get_task_result(run_id, made.task_id[:13]) == {
        "task_id": made.task_id, "result": {"y": [1, 1]}, "status": "success"
    }  # fmt: skip
    workflow.clear_cache(run_id)
    elsewhere = MaWorkflow(workflow.workflow_id, cluster.url.replace("127.0.0.1", "localhost"))
    assert elsewhere.get_results(run_id, verbose=False)[1]["data"]["result"] == {"y": [1, 1]}
    assert elsewhere.list_cached_runs() == [run_id]
    assert workflow.list_cached_runs() == []


@pytest.mark.parametrize(
    "value", [None, True, 2**70, 1.5, "ü", b"\0", (1, [2]), {1: {2}}, {"a": [1, {"b": None}]}, 1 + 2j]
)
def test_values_survive_the_round_trip(workflow: MaWorkflow, value: Any) -> None:
    made = workflow.add_task(echo, {"value": value})
    assert results(workflow)["task_results"][made.task_id] == {"value": value, "kind": type(value).__name__}


def test_a_failure_skips_what_depends_on_it_and_nothing_else(
    workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = workflow.add_task(divide, {"x": 0})
    skipped = workflow.add_task(double, {"x": bad.outputs["y"]})
    fine = workflow.add_task(double, {"x": 1})
    run_id = workflow.run()
    found = workflow.show_results(run_id)
    assert found["exception_tasks"] == [bad.task_id]
    assert list(found["task_results"]) == [fine.task_id]
    assert found["workflow_completed"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "🔗 Connected to server, starting workflow execution..."
    assert f"❌ Task failed: {bad.task_id[:13]}" in lines
    assert "  error: ZeroDivisionError: division by zero" in lines
    assert lines[-1] == "⚠️ Workflow execution completed with exceptions"
    assert workflow.get_task_result(run_id, skipped.task_id) is None
    failure = workflow.get_task_result(run_id, bad.task_id)
    assert failure is not None
    assert (failure["status"], failure["result"]) == ("exception", None)


def test_results_are_shown_while_the_run_goes_on(
    workflow: MaWorkflow, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second task waits for a file that is made when the first one's end has been printed."""
    from maze import _report

    first = workflow.add_task(double, {"x": 1})
    workflow.add_edge(first, workflow.add_task(wait_for_file, {"path": str(tmp_path / "go")}))
    real = _report.print_line

    def spy(text: str) -> None:
        real(text)
        if text.startswith("✓"):
            (tmp_path / "go").touch()

    monkeypatch.setattr(_report, "print_line", spy)
    assert results(workflow)["workflow_completed"]


def test_one_workflow_runs_many_times_each_as_it_is(workflow: MaWorkflow) -> None:
    one = workflow.add_task(double, {"x": 1})
    runs = [workflow.run() for _ in range(3)]
    workflow.add_task(double, {"x": one.outputs["y"]})
    runs.append(workflow.run())
    assert len(set(runs)) == 4
    assert [len(workflow.show_results(run)["task_results"]) for run in runs] == [1, 1, 1, 2]
    assert workflow.list_cached_runs() == runs


def test_the_original_flow(workflow: MaWorkflow) -> None:
    source = "import math\n\ndef area(params):\n    return {'area': math.pi * params['r'] ** 2}\n"
    made = workflow.add_task(task_type="code", task_name="area")
    with pytest.raises(GraphError, match=r"'area' .*no code"):
        workflow.run()
    made.save(
        source,
        {"input_params": {"1": {"key": "r", "input_schema": "from_user", "data_type": "float", "value": 2.0}}},
        {"output_params": {"1": {"key": "area", "data_type": "float"}}},
        {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0},
    )
    reference = made.outputs["area"].to_reference_string()
    rounded = workflow.add_task(
        task_name="rounded",
        code_str="def f(params):\n    return {'r': round(params['a'], 2)}",
        task_input={"input_params": {"1": {"key": "a", "input_schema": "from_task", "value": reference}}},
        task_output={"output_params": {"1": {"key": "r"}}},
    )  # fmt: skip
    assert results(workflow)["task_results"][rounded.task_id] == {"r": 12.57}


def test_handles_built_directly_work(workflow: MaWorkflow, cluster: Cluster) -> None:
    made = workflow.add_task(double, {"x": 1}, task_name="seen")
    assert [each["name"] for each in workflow.get_tasks()] == ["seen"]
    url = cluster.url.replace("127.0.0.1", "localhost")
    other = MaWorkflow(workflow.workflow_id, url)
    built = MaTask(made.task_id, workflow.workflow_id, url)
    assert (built.task_name, built.outputs.keys()) == ("seen", ["y"])
    more = other.add_task(double, {"x": built.outputs["y"]})
    assert other.show_results(other.run())["task_results"][more.task_id] == {"y": 4}
    more.delete()
    built.delete()
    assert other.get_tasks() == []


def test_what_does_not_exist_is_told(client: MaClient, workflow: MaWorkflow) -> None:
    with pytest.raises(EmptyWorkflowError):
        workflow.run()
    for run_id in ("run_" + "0" * 32, "nonsense", "../x"):
        with pytest.raises(UnknownRunError, match="knows no run"):
            workflow.get_results(run_id)
    with pytest.raises(UnknownWorkflowError):
        client.get_workflow("workflow_" + "0" * 32)
    with pytest.raises(UnknownWorkflowError):
        MaWorkflow("workflow_" + "0" * 32, client.server_url).get_tasks()
    with pytest.raises(UnknownRunError):
        client.cancel_run("run_" + "0" * 32)


def test_a_run_of_another_workflow_is_unknown(client: MaClient, workflow: MaWorkflow) -> None:
    workflow.add_task(double, {"x": 1})
    run_id = workflow.run()
    with pytest.raises(UnknownRunError, match="belongs to workflow"):
        client.create_workflow().show_results(run_id)
    workflow.get_results(run_id, verbose=False)


def test_a_cancelled_run_ends_without_finish_workflow(
    cluster: Cluster, client: MaClient, workflow: MaWorkflow, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    running = workflow.add_task(wait_for_file, {"path": str(tmp_path / "never")})
    workflow.add_task(double, {"x": running.outputs["y"]})
    run_id = workflow.run()
    wait_until(lambda: cluster.tasks(run_id)[running.task_id]["status"] == "running", "the task to run")
    assert workflow.cancel(run_id)["status"] in {"cancelling", "cancelled"}
    found = workflow.show_results(run_id)
    assert (found["workflow_completed"], found["exception_tasks"]) == (False, [running.task_id])
    result = workflow.get_task_result(run_id, running.task_id)
    assert result is not None
    assert result["error"].startswith("Cancelled: ")
    assert capsys.readouterr().out.splitlines()[-1] == "⏹ Workflow execution cancelled"
    assert client.get_run(run_id)["status"] == "cancelled"


def test_lists(client: MaClient, workflow: MaWorkflow) -> None:
    workflow.add_task(double, {"x": 1})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    assert run_id in [run["run_id"] for run in client.list_runs()]
    assert workflow.workflow_id in [each["workflow_id"] for each in client.list_workflows()]
    assert [node["state"] for node in client.list_nodes()] == ["ready"]
    assert client.get_info()["name"] == "maze"
    assert client.get_workflow(workflow.workflow_id) == workflow


def test_fail_fast_stops_at_the_first_failure(workflow: MaWorkflow, tmp_path: Any) -> None:
    workflow.add_task(wait_for_file, {"path": str(tmp_path / "never")})
    workflow.add_task(divide, {"x": 0})
    began = time.monotonic()
    found = workflow.show_results(workflow.run(fail_fast=True))
    assert found["has_exception"]
    assert time.monotonic() - began < 30


def test_a_chain_of_short_tasks_goes_on_without_asking_the_head(workflow: MaWorkflow, cluster: Cluster) -> None:
    early = cluster.get("/api/v1/metrics")["counters"]["leases_early"]
    last = workflow.add_task(double, inputs={"x": 1})
    for _ in range(59):
        last = workflow.add_task(double, inputs={"x": last.outputs["y"]})
    for _ in range(2):
        messages = workflow.get_results(workflow.run(), verbose=False)
        assert [message["type"] for message in messages[-3:]] == ["start_task", "finish_task", "finish_workflow"]
        assert messages[-2]["data"]["result"] == {"y": 2**60}
        assert [message["type"] for message in messages].count("finish_task") == 60
    assert cluster.get("/api/v1/metrics")["counters"]["leases_early"] >= early + 59


def test_a_thousand_tasks_are_one_request(client: MaClient, cluster: Cluster) -> None:
    workflow = client.create_workflow("large")
    before = cluster.get("/api/v1/metrics")["counters"]["http_requests_total"]
    made = [workflow.add_task(double, {"x": number}) for number in range(10_000)]
    assert len(workflow.get_tasks()) == len(made)
    assert cluster.get("/api/v1/metrics")["counters"]["http_requests_total"] - before <= 10 + 2
