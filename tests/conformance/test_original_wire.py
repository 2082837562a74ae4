"""The original's client, as a replica, against our head: its endpoints, its encodings, its rule for the close frame."""

from __future__ import annotations

import json
import math
import urllib.request
from typing import Any

import pytest

from conformance.seed_client import CLOSE, SeedClient, SeedError, frames, pickled, source
from support.cluster import Cluster

UPPER = "def upper(params):\n    return {'result': params['text'].upper()}\n"


@pytest.fixture
def seed(cluster: Cluster) -> SeedClient:
    """The original's client."""
    return SeedClient(cluster.url)


def increment(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] + 1}


def total(params: dict[str, Any]) -> dict[str, Any]:
    return {"sum": sum(params.values())}


def fail(params: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("bad thing")


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def results(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["data"]["task_id"]: each["data"]["result"] for each in messages if each["type"] == "finish_task"}


@pytest.mark.parametrize("code", [source(UPPER), source("import re\n" + UPPER)], ids=["plain", "with import"])
def test_source_text_runs(seed: SeedClient, code: dict[str, Any]) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "upper")
    seed.save((workflow, made), code, {"text": "hello"}, ["result"])
    messages = seed.results(workflow, seed.run(workflow))
    assert kinds(messages) == ["start_task", "finish_task", "finish_workflow"]
    assert results(messages) == {made: {"result": "HELLO"}}


def test_a_pickled_function_wins_over_its_source(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "increment")
    seed.save((workflow, made), pickled(increment), {"x": 41}, ["y"])
    assert results(seed.results(workflow, seed.run(workflow))) == {made: {"y": 42}}


def test_a_chain(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = [seed.add_task(workflow, f"step {number}") for number in range(4)]
    for number, task_id in enumerate(made):
        inputs = {"x": f"{made[number - 1]}.output.y" if number else 0}
        seed.save((workflow, task_id), pickled(increment), inputs, ["y"])
    messages = seed.results(workflow, seed.run(workflow))
    assert [each["data"]["task_id"] for each in messages if each["type"] == "start_task"] == made
    assert results(messages)[made[-1]] == {"y": 4}
    assert messages[-1]["type"] == "finish_workflow"


def test_a_fan_out(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    root = seed.add_task(workflow, "root")
    seed.save((workflow, root), pickled(increment), {"x": 0}, ["y"])
    middle = [seed.add_task(workflow, f"part {number}") for number in range(5)]
    for task_id in middle:
        seed.save((workflow, task_id), pickled(increment), {"x": f"{root}.output.y"}, ["y"])
    end = seed.add_task(workflow, "end")
    seed.save((workflow, end), pickled(total), {str(n): f"{each}.output.y" for n, each in enumerate(middle)}, ["sum"])
    messages = seed.results(workflow, seed.run(workflow))
    assert results(messages)[end] == {"sum": 10}
    assert kinds(messages).count("start_task") == kinds(messages).count("finish_task") == 7


def test_a_failing_workflow_ends_well_for_the_reader(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "fail")
    seed.save((workflow, made), pickled(fail), {}, ["never"])
    messages = seed.results(workflow, seed.run(workflow))
    assert kinds(messages)[:2] == ["start_task", "task_exception"]
    assert messages[1]["data"]["result"].rstrip().endswith("ValueError: bad thing")


def test_messages_carry_more_than_the_reference_here(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, None)
    seed.save((workflow, made), source(UPPER), {"text": "a"}, ["result"])
    run = seed.run(workflow)
    first, second, last = seed.results(workflow, run)
    assert first["data"]["workflow_id"] == second["data"]["workflow_id"] == workflow
    assert first["data"]["run_id"] == last["data"]["run_id"] == run
    assert first["data"]["node_ip"]
    assert first["data"]["node_id"]


def test_the_stream_ends_with_1000_and_no_reason_and_may_be_read_again(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "upper")
    seed.save((workflow, made), source(UPPER), {"text": "a"}, ["result"])
    run = seed.run(workflow)
    first = seed.results(workflow, run)
    assert seed.results(workflow, run) == first
    opcode, payload = list(frames(seed.url, f"/get_workflow_res/{workflow}/{run}"))[-1]
    assert (opcode, payload) == (CLOSE, (1000).to_bytes(2, "big"))


def test_leaving_the_stream_does_not_stop_the_run(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "upper")
    seed.save((workflow, made), source(UPPER), {"text": "a"}, ["result"])
    run = seed.run(workflow)
    stream = frames(seed.url, f"/get_workflow_res/{workflow}/{run}")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert kinds(seed.results(workflow, run))[-1] == "finish_workflow"


def test_values_that_are_no_json_are_rendered(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "odd")
    code = "def odd(params):\n    return {'b': b'\\x00', 't': (1, 2), 's': {3}, 'n': float('nan')}\n"
    seed.save((workflow, made), source(code), {}, ["b"])
    found = results(seed.results(workflow, seed.run(workflow)))[made]
    assert found["b"] == {"__bytes__": "AA=="}
    assert math.isnan(found["n"]), "as the original's json.dumps wrote it"
    assert found["t"] == [1, 2], "likewise"
    assert "__pickle__" in found["s"]


def test_bodies_are_json_whatever_the_content_type_says(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    body = {"workflow_id": workflow, "task_type": "code", "task_name": "a"}
    assert seed.post("/add_task", body, "text/plain")["task_id"]


def test_partial_resources_get_their_defaults(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "upper")
    body = seed.task_body((workflow, made), source(UPPER), {"text": "a"}, ["result"])
    body["resources"] = {"cpu": 1}
    seed.post("/save_task_and_add_edge", body)
    assert results(seed.results(workflow, seed.run(workflow))) == {made: {"result": "A"}}


def test_editing(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    first, second = seed.add_task(workflow, "first"), seed.add_task(workflow, "second")
    for made in (first, second):
        seed.post("/save_task", seed.task_body((workflow, made), source(UPPER), {"text": "a"}, ["result"]))
    listed = seed.get(f"/get_workflow_tasks/{workflow}")["tasks"]
    assert listed == [{"id": first, "name": "first"}, {"id": second, "name": "second"}]
    edge = {"workflow_id": workflow, "source_task_id": first, "target_task_id": second}
    seed.post("/add_edge", edge)
    seed.post("/add_edge", edge)
    back = {"workflow_id": workflow, "source_task_id": second, "target_task_id": first}
    with pytest.raises(SeedError, match="cycle"):
        seed.post("/add_edge", back)
    seed.post("/del_edge", edge)
    with pytest.raises(SeedError):
        seed.post("/del_edge", edge)
    seed.post("/add_edge", back)
    seed.post("/del_task", {"workflow_id": workflow, "task_id": second})
    assert seed.get(f"/get_workflow_tasks/{workflow}")["tasks"] == [{"id": first, "name": "first"}]
    assert results(seed.results(workflow, seed.run(workflow))) == {first: {"result": "A"}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/add_task", {"task_type": "code", "task_name": "a"}),
        ("/add_task", {"workflow_id": "nope", "task_type": "code", "task_name": "a"}),
        ("/add_task", [1]),
        ("/save_task", {"workflow_id": "nope", "task_id": "nope"}),
        ("/run_workflow", {"workflow_id": "nope"}),
        ("/run_workflow", {}),
        ("/del_task", {"workflow_id": "nope", "task_id": "nope"}),
        ("/add_edge", {"workflow_id": "nope", "source_task_id": "a", "target_task_id": "b"}),
    ],
)
def test_bad_requests_get_honest_codes_and_a_detail(seed: SeedClient, path: str, body: object) -> None:
    with pytest.raises(SeedError) as caught:
        seed.post(path, body)
    assert 400 <= caught.value.status < 500
    text = str(caught.value).partition("response: ")[2]
    assert json.loads(text)["detail"]


def test_what_the_original_let_through_and_hung_on_is_refused(seed: SeedClient) -> None:
    workflow = seed.create_workflow()
    with pytest.raises(SeedError):
        seed.run(workflow)
    made = seed.add_task(workflow, "unsaved")
    with pytest.raises(SeedError):
        seed.run(workflow)
    body = seed.task_body((workflow, made), {}, {}, [])
    with pytest.raises(SeedError, match="code_str or code_ser"):
        seed.post("/save_task", body)
    for nonsense in ({"cpu": -1, "gpu": -1}, {"gpu": "many"}, 7):
        with pytest.raises(SeedError) as caught:
            seed.post("/save_task", {**body, **source(UPPER), "resources": nonsense})
        assert 400 <= caught.value.status < 500


def test_an_unknown_run_is_refused_before_the_upgrade(seed: SeedClient) -> None:
    with pytest.raises(SeedError) as caught:
        seed.results("nope", "nope")
    assert caught.value.status == 404


def test_the_sdk_and_the_original_see_the_same_workflow(seed: SeedClient, url: str) -> None:
    from maze import MaWorkflow

    workflow = seed.create_workflow()
    made = seed.add_task(workflow, "upper")
    seed.save((workflow, made), source(UPPER), {"text": "a"}, ["result"])
    ours = MaWorkflow(workflow, url)
    assert ours.get_tasks() == [{"id": made, "name": "upper"}]
    run = ours.run()
    assert kinds(ours.get_results(run, verbose=False)) == kinds(seed.results(workflow, run))


def test_the_original_accepts_an_empty_post_body(cluster: Cluster) -> None:
    request = urllib.request.Request(cluster.url + "/create_workflow", data=None, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.loads(response.read())["status"] == "success"
