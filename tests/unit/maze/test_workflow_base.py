"""What both workflows have in common: edits of a loaded draft, pictures, the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maze._decorator import task
from maze._handles import MaTask
from maze._results import Entry, RunRecord
from maze._shared import discard_edits
from maze._workflow import MaWorkflow
from maze.errors import (
    CycleError,
    DeclarationError,
    DeclarationTypeError,
    ForeignTaskError,
    GraphError,
    InputError,
    InputTypeError,
    InvalidTaskError,
    UnknownRunError,
)
from maze_protocol.policy import Policy
from maze_protocol.terms import Terms

URL = "http://127.0.0.1:9"
SOURCE = "def area(params):\n    return {'a': 1}"


@task(inputs=["x"], outputs=["y"], data_types={"x": "int"})
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@task(inputs=["items"], outputs=["total"])
def add_up(params: dict[str, Any]) -> dict[str, Any]:
    return {"total": sum(params["items"])}


def loaded(workflow_id: str) -> MaWorkflow:
    workflow = MaWorkflow(workflow_id, URL)
    workflow._state.draft.load((), (), 0)
    return workflow


@pytest.fixture
def workflow() -> Iterator[MaWorkflow]:
    yield loaded("workflow_of_a_test")
    discard_edits(URL)


def edges(workflow: MaWorkflow) -> list[list[str]]:
    found: list[list[str]] = workflow.get_graph_info()["edges"]
    return found


def test_references_make_edges_at_any_depth(workflow: MaWorkflow) -> None:
    one = workflow.add_task(double, inputs={"x": 1})
    two = workflow.add_task(double, {"x": one.outputs["y"]}, task_name="Two")
    three = workflow.add_task(add_up, inputs={"items": [one.outputs["y"], [two.outputs["y"]], one.outputs["y"]]})
    assert isinstance(three, MaTask)
    assert [task.task_name for task in (one, two, three)] == ["double", "Two", "add_up"]
    assert edges(workflow) == [
        [one.task_id, two.task_id], [one.task_id, three.task_id], [two.task_id, three.task_id]
    ]  # fmt: skip
    assert workflow.get_graph_info()["stats"]["max_depth"] == 3


def test_ids_are_made_here(workflow: MaWorkflow) -> None:
    ids = {workflow.add_task(double, {"x": 1}).task_id for _ in range(100)}
    assert len(ids) == 100
    assert all(task_id.startswith("task_") and len(task_id) == 37 for task_id in ids)


def test_edges_by_hand(workflow: MaWorkflow) -> None:
    one, two = (workflow.add_task(double, {"x": 1}) for _ in range(2))
    workflow.add_edge(one, two)
    workflow.add_edge(source_task=one, target_task=two)
    assert edges(workflow) == [[one.task_id, two.task_id]]
    with pytest.raises(CycleError, match=r"'double' \(task_.*-> 'double'"):
        workflow.add_edge(two, one)
    workflow.del_edge(source_task=one, target_task=two)
    assert edges(workflow) == []
    with pytest.raises(GraphError, match="no edge"):
        workflow.del_edge(one, two)


def test_what_belongs_elsewhere_is_refused(workflow: MaWorkflow) -> None:
    other = loaded("workflow_another")
    mine, foreign = workflow.add_task(double, {"x": 1}), other.add_task(double, {"x": 1})
    with pytest.raises(ForeignTaskError, match="workflow_another"):
        workflow.add_edge(mine, foreign)
    with pytest.raises(ForeignTaskError):
        workflow.add_task(double, {"x": foreign.outputs["y"]})
    with pytest.raises(InputTypeError, match="str"):
        workflow.add_edge(mine.task_id, mine)  # type: ignore[arg-type]  # what a user might pass


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"task_func": len}, InvalidTaskError, "len is not decorated"),
        ({"task_func": double, "inputs": {"x": "1"}}, InputTypeError, "'x' is declared as 'int'"),
        ({"task_func": double, "inputs": {"z": 1}}, InputError, "no input 'z'"),
        ({"task_type": "langgraph"}, InvalidTaskError, "Invalid task_type"),
        ({"task_func": double, "inputs": {"x": 1}, "task_name": ""}, InvalidTaskError, "task_name"),
        ({"task_func": double, "inputs": {"x": 1}, "retry": 3}, InputTypeError, "'retry'; it also takes .*retries"),
        ({"task_func": double, "inputs": {"x": 1}, "retries": -3}, DeclarationError, "0 to 1000"),
        ({"code_str": SOURCE, "timeout": "1"}, DeclarationTypeError, "timeout must be a number of seconds"),
        ({"task_func": double, "inputs": {"x": 1}, "nodes": 0}, DeclarationError, "nodes = 0"),
        ({"task_func": double, "inputs": {"x": 1}, "same_node_as": "task_1"}, DeclarationTypeError, "not str"),
        ({"task_func": double, "inputs": {"x": 1}, "code_str": "def f(p): ..."}, InvalidTaskError, "not both"),
        ({"inputs": {"x": 1}}, InvalidTaskError, "decorated function"),
        ({"code_str": "x = 1"}, InvalidTaskError, "no function"),
    ],
)
def test_wrong_calls_are_told_and_change_nothing(
    workflow: MaWorkflow, arguments: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        workflow.add_task(**arguments)
    assert workflow.get_graph_info()["nodes"] == {}


def test_source_text_at_once(workflow: MaWorkflow) -> None:
    made = workflow.add_task(
        task_name="area",
        code_str=SOURCE,
        task_input={"input_params": {}},
        task_output={"output_params": {"1": {"key": "a", "data_type": "str"}}},
        resources={"cpu": 0.5},
    )
    node = workflow.get_graph_info()["nodes"][made.task_id]
    assert (node["name"], node["func_name"], node["outputs"], node["resources"]["cpu"]) == ("area", "area", ["a"], 0.5)


def test_a_task_without_a_name_has_its_short_id(workflow: MaWorkflow) -> None:
    made = workflow.add_task()
    assert made.task_name == made.task_id[:13]


def test_resources_can_be_replaced(workflow: MaWorkflow) -> None:
    made = workflow.add_task(double, {"x": 1}, resources={"cpu_mem": 64})
    assert workflow.get_graph_info()["nodes"][made.task_id]["resources"] == {
        "cpu": 1, "cpu_mem": 64, "gpu": 0, "gpu_mem": 0,
    }  # fmt: skip


def test_options_of_the_decorator_can_be_replaced(workflow: MaWorkflow) -> None:
    sturdy = task(inputs=["x"], outputs=["y"], retries=3, retry_on=OSError, timeout=60)(double)
    as_declared = workflow.add_task(sturdy, {"x": 1})
    replaced = workflow.add_task(sturdy, {"x": 1}, retries=0, timeout=None, at_most_once=True)
    assert policy_of(workflow, as_declared) == Policy(3, 0.5, ("builtins.OSError",), 60.0)
    assert policy_of(workflow, replaced) == Policy(0, 0.5, ("builtins.OSError",), 0.0, 0.0, at_most_once=True)
    with pytest.raises(DeclarationError, match="at_most_once forbids retries"):
        workflow.add_task(sturdy, {"x": 1}, at_most_once=True)


def test_source_text_has_options_too_and_keeps_them_when_it_is_saved_later(workflow: MaWorkflow) -> None:
    at_once = workflow.add_task(code_str=SOURCE, retries=2)
    later = workflow.add_task(task_name="later", timeout=5)
    later.save(SOURCE)
    assert policy_of(workflow, at_once) == Policy(2)
    assert policy_of(workflow, later) == Policy(timeout=5.0)


def test_where_a_task_runs_can_be_replaced(workflow: MaWorkflow) -> None:
    placed = task(inputs=["x"], outputs=["y"], require="ssd", limits={"openai": 2})(double)
    as_declared = workflow.add_task(placed, {"x": 1})
    replaced = workflow.add_task(placed, {"x": 1}, require=None, apart="replica")
    source = workflow.add_task(code_str=SOURCE, nodes=2)
    assert terms_of(workflow, as_declared) == Terms((("ssd", ""),), (), (("openai", 2),))
    assert terms_of(workflow, replaced) == Terms((), (), (("openai", 2),), "replica")
    assert terms_of(workflow, source) == Terms(nodes=2)


def test_a_task_can_ask_for_the_node_of_another(workflow: MaWorkflow) -> None:
    one = workflow.add_task(double, {"x": 1})
    two = workflow.add_task(double, {"x": 1}, same_node_as=one)
    three = workflow.add_task(task_name="later", same_node_as=two, require="ssd")
    three.save(SOURCE)
    assert edges(workflow) == [[one.task_id, two.task_id], [two.task_id, three.task_id]]
    assert terms_of(workflow, three) == Terms((("ssd", ""),))
    with pytest.raises(GraphError, match="its node is to be that of 'later'"):
        two.delete()
    with pytest.raises(DeclarationError, match="exclude each other"):
        workflow.add_task(double, {"x": 1}, same_node_as=one, nodes=2)
    with pytest.raises(ForeignTaskError, match="same_node_as takes a task of the same workflow"):
        workflow.add_task(double, {"x": 1}, same_node_as=loaded("workflow_other").add_task(double, {"x": 1}))


def terms_of(workflow: MaWorkflow, made: MaTask) -> Terms:
    return workflow._state.draft.graph.tasks[made.task_id].definition.terms


def policy_of(workflow: MaWorkflow, made: MaTask) -> Policy:
    return workflow._state.draft.graph.tasks[made.task_id].definition.policy


def test_pictures(workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    made = workflow.add_task(double, {"x": 1}, task_name="first")
    workflow.print_graph()
    assert f"• {made.task_id[:13]}... [first]" in capsys.readouterr().out
    assert workflow.get_graph_mermaid() == f'graph TD\n    {made.task_id}["first"]'


def test_the_cache(workflow: MaWorkflow) -> None:
    done = {"type": "finish_task", "data": {"workflow_id": "w", "task_id": "task_" + "a" * 32, "result": {"y": 1}}}
    for run_id in ("run_1", "run_2", "run_3"):
        workflow._keep(RunRecord(run_id, [Entry(done)]))
    assert workflow.list_cached_runs() == ["run_1", "run_2", "run_3"]
    assert workflow.get_results("run_1", verbose=False) == [done]
    found = workflow.get_task_result("run_1", "aaaaaaaa")
    assert found is not None
    assert found["result"] == {"y": 1}
    workflow.clear_cache("run_2")
    workflow.clear_cache("run_9")
    assert workflow.list_cached_runs() == ["run_1", "run_3"]
    workflow.clear_cache()
    assert workflow.list_cached_runs() == []
    with pytest.raises(UnknownRunError) as caught:
        workflow.get_task_result("run_1", "aaaaaaaa")
    assert str(caught.value) == (
        "No cached results for run_id: run_1. Please call get_results() or show_results() first."
    )


def test_workflows_are_equal_by_what_they_name(workflow: MaWorkflow) -> None:
    twin = MaWorkflow(workflow.workflow_id, URL + "/")
    assert twin == workflow
    assert len({twin, workflow}) == 1
    assert twin != MaWorkflow("workflow_b", URL)
    assert repr(loaded("workflow_" + "b" * 32)) == "MaWorkflow(id='workflow_bbbbbbbb...', tasks=0)"


def test_unsaved_tasks_are_named_before_a_run(workflow: MaWorkflow) -> None:
    workflow.add_task(task_name="half made")
    with pytest.raises(GraphError, match=r"'half made' .*save"):
        workflow._check_saved()
