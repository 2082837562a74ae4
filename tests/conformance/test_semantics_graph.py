"""What the reference leaves open and the architecture decides about authoring: graph, add_task, types, resources."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

import maze
from conformance.workflows import both, error_of, finish, one, same, value_of
from maze import MaWorkflow, task

# Graph


def test_depth_edges_and_stats(workflow: MaWorkflow) -> None:
    assert workflow.get_graph_info()["stats"]["max_depth"] == 0
    first = workflow.add_task(same, inputs={"x": 1})
    second = workflow.add_task(both, inputs={"a": first.outputs["y"], "b": first.outputs["y"]})
    third = workflow.add_task(both, inputs={"a": first.outputs["y"], "b": second.outputs["y"]})
    workflow.add_edge(first, third)
    info = workflow.get_graph_info()
    edges = [[first.task_id, second.task_id], [first.task_id, third.task_id], [second.task_id, third.task_id]]
    assert sorted(info["edges"]) == sorted(edges)
    assert all(type(edge) is list for edge in info["edges"])
    assert info["stats"]["max_depth"] == 3
    assert info["stats"]["total_edges"] == 3
    assert value_of(workflow, third) == {"y": [1, [1, 1]]}


def test_an_edge_may_be_added_twice_and_deleted_once(workflow: MaWorkflow) -> None:
    first, second = workflow.add_task(one), workflow.add_task(one)
    workflow.add_edge(first, second)
    workflow.add_edge(first, second)
    assert len(workflow.get_graph_info()["edges"]) == 1
    workflow.del_edge(first, second)
    with pytest.raises(maze.MazeError, match="edge"):
        workflow.del_edge(first, second)


def test_an_edge_that_carries_a_reference_is_not_deleted(workflow: MaWorkflow) -> None:
    first = workflow.add_task(one)
    second = workflow.add_task(same, inputs={"x": first.outputs["y"]})
    with pytest.raises(maze.MazeError, match="'x'"):
        workflow.del_edge(first, second)
    assert len(workflow.get_graph_info()["edges"]) == 1


def test_a_referenced_task_is_not_deleted_and_its_users_are_named(workflow: MaWorkflow) -> None:
    first = workflow.add_task(one)
    second = workflow.add_task(same, inputs={"x": first.outputs["y"]}, task_name="the consumer")
    with pytest.raises(maze.MazeError, match="the consumer"):
        first.delete()
    second.delete()
    first.delete()
    assert workflow.get_tasks() == []


def test_manual_edges_vanish_with_their_task(workflow: MaWorkflow) -> None:
    first, second, third = (workflow.add_task(one) for _ in range(3))
    workflow.add_edge(first, second)
    workflow.add_edge(second, third)
    second.delete()
    assert workflow.get_graph_info()["edges"] == []
    assert [each["id"] for each in workflow.get_tasks()] == [first.task_id, third.task_id]
    with pytest.raises(maze.MazeError):
        second.delete()


def test_manual_edges_order_the_run(workflow: MaWorkflow) -> None:
    first, second = workflow.add_task(one), workflow.add_task(one)
    workflow.add_edge(second, first)
    story = [(message["type"], message["data"].get("task_id")) for message in finish(workflow)[1]]
    assert story.index(("finish_task", second.task_id)) < story.index(("start_task", first.task_id))


@pytest.mark.parametrize(
    ("output_path", "method"), [("graph.txt", "auto"), ("graph.png", "crayons"), ("graph", "auto")]
)
def test_draw_graph_refuses_what_it_cannot_draw(
    workflow: MaWorkflow, tmp_path: Path, output_path: str, method: str
) -> None:
    workflow.add_task(one)
    with pytest.raises(ValueError, match=r"(?i)method|format|extension|png"):
        workflow.draw_graph(str(tmp_path / output_path), method=method)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<"), ("jpg", b"\xff\xd8")]
)
def test_draw_graph_renders_the_documented_formats(
    workflow: MaWorkflow, tmp_path: Path, suffix: str, magic: bytes
) -> None:
    first = workflow.add_task(one, task_name='quoted "name" <b> $x_1$')
    workflow.add_task(same, inputs={"x": first.outputs["y"]})
    path = workflow.draw_graph(str(tmp_path / f"graph.{suffix}"), method="matplotlib", dpi=60)
    assert Path(path).read_bytes().startswith(magic)


def test_mermaid_uses_full_ids_and_escapes(workflow: MaWorkflow) -> None:
    made = workflow.add_task(one, task_name='say "hi"')
    code = workflow.get_graph_mermaid()
    assert code.splitlines()[0] == "graph TD"
    assert made.task_id in code
    assert 'say "hi"' not in code


# add_task


def test_the_legacy_flow(workflow: MaWorkflow) -> None:
    made = workflow.add_task(task_type="code", task_name="old style")
    assert isinstance(made.outputs, maze.TaskOutputs)
    assert made.outputs.keys() == []
    with pytest.raises(maze.MazeError, match="old style"):
        workflow.run()
    made.save(
        "def old(params):\n    return {'y': params['x'] + 1}\n",
        {"input_params": {"1": {"key": "x", "input_schema": "from_user", "data_type": "int", "value": 41}}},
        {"output_params": {"1": {"key": "y", "data_type": "int"}}},
        {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0},
    )
    assert made.outputs.keys() == ["y"]
    after = workflow.add_task(same, inputs={"x": made.outputs["y"]})
    assert value_of(workflow, after) == {"y": 42}


def test_unknown_task_types_are_refused(workflow: MaWorkflow) -> None:
    with pytest.raises(maze.MazeError, match="quantum"):
        workflow.add_task(one, task_type="quantum")


def test_references_may_be_nested_at_any_depth(workflow: MaWorkflow) -> None:
    first, second = workflow.add_task(one), workflow.add_task(same, inputs={"x": "two"})
    nested = {"list": [0, {"deep": first.outputs["y"]}], "again": [first.outputs["y"], second.outputs["y"]]}
    made = workflow.add_task(same, inputs={"x": nested})
    edges = workflow.get_graph_info()["edges"]
    assert sorted(edges) == sorted([[first.task_id, made.task_id], [second.task_id, made.task_id]])
    assert value_of(workflow, made) == {"y": {"list": [0, {"deep": 1}], "again": [1, "two"]}}


def test_arguments_may_be_given_by_position(workflow: MaWorkflow) -> None:
    made = workflow.add_task(same, {"x": 1}, "code", "by position")
    assert made.task_name == "by position"
    assert value_of(workflow, made) == {"y": 1}


@pytest.mark.parametrize("wrong", [lambda made: made, lambda made: made.outputs, lambda made: [made]])
def test_a_task_is_no_input_but_its_output_is(workflow: MaWorkflow, wrong: Any) -> None:
    made = workflow.add_task(one)
    with pytest.raises(ValueError, match="outputs"):
        workflow.add_task(same, inputs={"x": wrong(made)})


def test_output_names_may_hold_dots_and_letters_of_any_script(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["a.b", "größe"])
    def odd(params: dict[str, Any]) -> dict[str, Any]:
        return {"a.b": 1, "größe": 2}

    made = workflow.add_task(odd)
    assert made.outputs["a.b"].to_reference_string() == f"{made.task_id}.output.a.b"
    after = workflow.add_task(same, inputs={"x": [made.outputs["a.b"], made.outputs["größe"]]})
    assert value_of(workflow, after) == {"y": [1, 2]}


def test_a_task_may_run_for_its_side_effects(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=[])
    def nothing(params: dict[str, Any]) -> dict[str, Any]:
        return {}

    made = workflow.add_task(nothing)
    assert made.outputs.keys() == []
    after = workflow.add_task(one)
    workflow.add_edge(made, after)
    assert value_of(workflow, made) == {}


def test_a_task_may_call_another_tasks_function(workflow: MaWorkflow) -> None:
    @task(inputs=["x"], outputs=["y"])
    def calls(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": [same(params)["y"]]}

    assert value_of(workflow, workflow.add_task(calls, inputs={"x": 5})) == {"y": [5]}


def test_a_decorated_function_stays_callable() -> None:
    assert same({"x": 3}) == {"y": 3}


def typed(kind: str) -> Any:
    @task(inputs=["x"], outputs=["y"], data_types={"x": kind, "y": kind})
    def checked(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": params["x"]}

    return checked


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("str", "a", 1),
        ("int", 3, True),
        ("int", 3, 3.0),
        ("float", 2.5, "2.5"),
        ("float", 2, True),
        ("bool", True, 1),
        ("list", [1], {"a": 1}),
        ("dict", {"a": 1}, [1]),
    ],
)
def test_declared_literals_are_checked_at_add_task(workflow: MaWorkflow, kind: str, good: object, bad: object) -> None:
    with pytest.raises(TypeError, match=kind) as caught:
        workflow.add_task(typed(kind), inputs={"x": bad})
    assert isinstance(caught.value, maze.MazeError)
    assert "'x'" in str(caught.value) or "x" in str(caught.value)
    assert workflow.get_tasks() == []
    made = workflow.add_task(typed(kind), inputs={"x": good})
    assert value_of(workflow, made) == {"y": good}


def test_declared_outputs_are_checked_by_the_worker(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["y"], data_types={"y": "int"})
    def lies(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": "not a number"}

    text = error_of(workflow, workflow.add_task(lies))
    assert "'y'" in text
    assert "int" in text
    assert "str" in text


@pytest.mark.parametrize("kind", ["any", "file", "file:image"])
def test_types_of_the_front_client_are_accepted(workflow: MaWorkflow, kind: str) -> None:
    made = workflow.add_task(typed(kind), inputs={"x": "picture.png"})
    assert value_of(workflow, made) == {"y": "picture.png"}


def test_undeclared_parameters_take_any_value(workflow: MaWorkflow) -> None:
    assert value_of(workflow, workflow.add_task(same, inputs={"x": 1.5})) == {"y": 1.5}
    assert value_of(workflow, workflow.add_task(same, inputs={"x": None})) == {"y": None}


# Resources


def shown(**resources: float) -> dict[str, float]:
    @task(inputs=[], outputs=["y"], resources=resources)
    def sized(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": 1}

    return dict(maze.get_task_metadata(sized).resources)


def test_resources_are_shown_as_documented() -> None:
    assert shown() == {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0}
    assert shown(cpu=0)["cpu"] == 1
    assert shown(cpu=-2)["cpu"] == 1
    assert shown(cpu=0.5)["cpu"] == 0.5
    assert shown(gpu=0.5) == {"cpu": 1, "cpu_mem": 0, "gpu": 0.5, "gpu_mem": 0}
    assert shown(gpu_mem=4096)["gpu"] == 1
    assert shown(gpu=0.5, gpu_mem=4096)["gpu"] == 0.5
    assert shown(gpu=2, gpu_mem=10)["gpu"] == 2


@pytest.mark.parametrize(
    "resources",
    [
        {"gpu": -1},
        {"cpu_mem": -1},
        {"gpu_mem": -1},
        {"cpu": float("nan")},
        {"gpu": float("inf")},
        {"cpu": True},
        {"cpus": 1},
        {"cpu": "4"},
        [1],
    ],
)
def test_impossible_resources_fail_at_decoration(resources: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        task(inputs=[], outputs=["y"], resources=resources)
    assert isinstance(caught.value, maze.MazeError)
    assert "resource" in str(caught.value)


def meeting(**resources: float) -> Any:
    """A task that ends only when `count` of its kind run at the same time."""

    @task(inputs=["folder", "name", "count"], outputs=["device"], resources=resources)
    def meet(params: dict[str, Any]) -> dict[str, Any]:
        import os
        import pathlib
        import time

        folder = pathlib.Path(params["folder"])
        (folder / params["name"]).touch()
        while len(list(folder.iterdir())) < params["count"]:
            time.sleep(0.01)
        return {"device": os.environ.get("CUDA_VISIBLE_DEVICES")}

    return meet


def together(workflow: MaWorkflow, folder: Path, function: Any, count: int) -> list[Any]:
    made = [
        workflow.add_task(function, inputs={"folder": str(folder), "name": str(number), "count": count})
        for number in range(count)
    ]
    run_id, _ = finish(workflow)
    return [workflow.get_task_result(run_id, each.task_id)["result"]["device"] for each in made]


def test_small_tasks_run_at_once_whatever_the_number_of_cpus(workflow: MaWorkflow, tmp_path: Path) -> None:
    assert len(together(workflow, tmp_path, meeting(cpu=0.01), 6)) == 6


def test_gpu_memory_alone_shares_a_device(workflow: MaWorkflow, tmp_path: Path) -> None:
    assert together(workflow, tmp_path, meeting(gpu_mem=4096, cpu=0.1), 3) == ["0", "0", "0"]


def test_a_whole_gpu_is_not_shared(workflow: MaWorkflow) -> None:
    @task(inputs=["n"], outputs=["span"], resources={"gpu": 1, "cpu": 0.1})
    def alone(params: dict[str, Any]) -> dict[str, Any]:
        import time

        began = time.monotonic()
        time.sleep(0.05)
        return {"span": [began, time.monotonic()]}

    made = [workflow.add_task(alone, inputs={"n": number}) for number in range(3)]
    run_id, _ = finish(workflow)
    spans = sorted(workflow.get_task_result(run_id, each.task_id)["result"]["span"] for each in made)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


def test_tasks_without_gpu_see_none(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["device"])
    def look(params: dict[str, Any]) -> dict[str, Any]:
        import os

        return {"device": os.environ.get("CUDA_VISIBLE_DEVICES")}

    assert value_of(workflow, workflow.add_task(look))["device"] in ("", "-1")
