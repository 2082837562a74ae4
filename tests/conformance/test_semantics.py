"""What the reference leaves open and the architecture decides about running: ids, messages, ends, results, print."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maze
from conformance.workflows import divide, error_of, finish, one, same, wait_for
from maze import MaWorkflow, _watch, task
from support.cluster import Cluster, start_cluster, wait_until

# Ids


def test_an_ambiguous_prefix_is_a_value_error(client: maze.MaClient, cluster: Cluster) -> None:
    workflow_id = client.create_workflow().workflow_id
    twins = ["task_" + "ab" * 15 + ending for ending in ("01", "02")]
    source = "def constant(params):\n    return {'y': 1}\n"
    _add_by_api(cluster, workflow_id, twins, source)
    workflow = MaWorkflow(workflow_id, cluster.url)
    run_id, _ = finish(workflow)
    with pytest.raises(ValueError, match="abab"):
        workflow.get_task_result(run_id, "abababab")
    assert workflow.get_task_result(run_id, twins[1])["task_id"] == twins[1]


def _add_by_api(cluster: Cluster, workflow_id: str, task_ids: list[str], source: str) -> None:
    import base64
    import hashlib
    import sys

    body = source.encode()
    code = {
        "hash": hashlib.blake2b(body, digest_size=16).hexdigest(),
        "kind": "source",
        "python": list(sys.version_info[:2]),
        "body": base64.b64encode(body).decode(),
    }
    ops = [
        {"op": "add_task", "task": {"task_id": each, "name": "constant", "code": code["hash"], "outputs": ["y"]}}
        for each in task_ids
    ]
    status, reply = cluster.request("POST", f"/api/v1/workflows/{workflow_id}/edits", {"ops": ops, "codes": [code]})
    assert status in (200, 201), reply


# Messages


def test_results_are_readable_by_others_and_again(workflow: MaWorkflow, url: str) -> None:
    workflow.add_task(same, inputs={"x": {"deep": [1, None, 2.5]}})
    run_id, first = finish(workflow)
    workflow.clear_cache()
    assert finish(workflow, run_id)[1] == first
    assert finish(MaWorkflow(workflow.workflow_id, url), run_id)[1] == first


def test_several_readers_follow_a_run_that_still_goes_on(workflow: MaWorkflow, url: str, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    held = workflow.add_task(wait_for, inputs={"started": str(started), "gate": str(gate)})
    workflow.add_task(same, inputs={"x": held.outputs["y"]})
    run_id = workflow.run()
    stories: list[list[dict[str, Any]]] = []

    def read() -> None:
        stories.append(finish(MaWorkflow(workflow.workflow_id, url), run_id)[1])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    wait_until(started.exists, "the task to run")
    assert stories == []
    gate.touch()
    for reader in readers:
        reader.join(30)
    assert len(stories) == 3
    assert stories[0] == stories[1] == stories[2] == finish(workflow, run_id)[1]


def test_the_rich_log_has_more_and_is_gapless(workflow: MaWorkflow, cluster: Cluster) -> None:
    workflow.add_task(same, inputs={"x": 1})
    run_id, messages = finish(workflow)
    events = cluster.events(run_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "run_submitted"
    assert kinds[-1] == "finish_workflow"
    assert [kind for kind in kinds if kind in {message["type"] for message in messages}] == [
        message["type"] for message in messages
    ]
    assert "task_leased" in kinds


def test_an_interrupted_wait_caches_nothing(python: Callable[..., Any], tmp_path: Path) -> None:
    script = """
import os, pathlib, signal, sys, threading, time, traceback
from maze import MaClient, task

@task(inputs=["started", "gate"], outputs=["y"])
def wait_for(params):
    import pathlib, time
    pathlib.Path(params["started"]).touch()
    while not pathlib.Path(params["gate"]).exists():
        time.sleep(0.01)
    return {"y": 1}

started, gate = pathlib.Path("started").resolve(), pathlib.Path("gate").resolve()
workflow = MaClient().create_workflow()
workflow.add_task(wait_for, inputs={"started": str(started), "gate": str(gate)})
run_id = workflow.run()

def waiting():
    stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])
    return started.exists() and any(frame.name == "get_results" for frame in stack)

def interrupt():
    while not waiting():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    workflow.get_results(run_id, verbose=False)
except KeyboardInterrupt:
    print("interrupted", workflow.list_cached_runs())
gate.touch()
print([message["type"] for message in workflow.get_results(run_id, verbose=False)])
"""
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["interrupted []", "['start_task', 'finish_task', 'finish_workflow']"]


# Ends


def test_a_crash_is_a_task_exception_that_names_the_signal(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["y"])
    def crash(params: dict[str, Any]) -> dict[str, Any]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return {"y": 1}

    made = workflow.add_task(crash)
    beside = workflow.add_task(one)
    run_id, messages = finish(workflow)
    found = workflow.get_task_result(run_id, made.task_id)
    assert found["status"] == "exception"
    assert found["error"].rstrip().splitlines()[-1].startswith("WorkerCrashed: SIGKILL")
    assert workflow.get_task_result(run_id, beside.task_id)["result"] == {"y": 1}
    assert messages[-1]["type"] == "finish_workflow"


def test_fail_fast_stops_at_the_first_failure(workflow: MaWorkflow, tmp_path: Path) -> None:
    failing = workflow.add_task(divide, inputs={"x": 0})
    never = str(tmp_path / "never")
    workflow.add_task(wait_for, inputs={"started": str(tmp_path / "started"), "gate": never})
    run_id = workflow.run(fail_fast=True)
    finish(workflow, run_id)
    assert workflow.get_task_result(run_id, failing.task_id)["status"] == "exception"


def test_a_cancelled_run_ends_without_finish_workflow(workflow: MaWorkflow, cluster: Cluster, tmp_path: Path) -> None:
    started = tmp_path / "started"
    held = workflow.add_task(wait_for, inputs={"started": str(started), "gate": str(tmp_path / "never")})
    later = workflow.add_task(same, inputs={"x": held.outputs["y"]})
    run_id = workflow.run()
    wait_until(started.exists, "the task to run")
    assert cluster.request("DELETE", f"/api/v1/runs/{run_id}")[0] == 202
    messages = finish(workflow, run_id)[1]
    assert [message["type"] for message in messages] == ["start_task", "task_exception"]
    assert messages[-1]["data"]["result"].startswith("Cancelled: ")
    assert workflow.get_task_result(run_id, later.task_id) is None
    assert workflow.show_results(run_id)["workflow_completed"] is False


def test_an_empty_workflow_does_not_run(workflow: MaWorkflow) -> None:
    with pytest.raises(maze.MazeError, match="no tasks"):
        workflow.run()


def test_a_run_without_a_node_waits_and_says_what_to_type(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "QUIET_SECONDS", 0.2)
    with start_cluster(nodes=0) as lonely, maze.MaClient(lonely.url) as client:
        workflow = client.create_workflow()
        made = workflow.add_task(one)
        run_id = workflow.run()
        printed: list[str] = []
        thread = threading.Thread(target=workflow.show_results, args=(run_id,))
        thread.start()

        def hint() -> bool:
            captured = capfd.readouterr()
            printed.append(captured.out + captured.err)
            return "maze-node" in "".join(printed)

        wait_until(hint, "the hint", 10)
        lonely.add_node("--cpus=1")
        thread.join(20)
        assert not thread.is_alive()
        assert workflow.get_task_result(run_id, made.task_id)["result"] == {"y": 1}


def test_a_run_is_a_snapshot(workflow: MaWorkflow, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = workflow.add_task(wait_for, inputs={"started": str(tmp_path / "started"), "gate": str(gate)})
    run_id = workflow.run()
    added = workflow.add_task(same, inputs={"x": held.outputs["y"]})
    assert len(workflow.get_tasks()) == 2
    gate.touch()
    messages = finish(workflow, run_id)[1]
    assert {message["data"].get("task_id") for message in messages} == {held.task_id, None}
    assert workflow.get_task_result(finish(workflow)[0], added.task_id)["result"] == {"y": "through"}


# Results


def test_missing_outputs_fail_the_task_by_name(workflow: MaWorkflow) -> None:
    @task(inputs=[], outputs=["here", "not_here"])
    def forgets(params: dict[str, Any]) -> dict[str, Any]:
        return {"here": 1}

    text = error_of(workflow, workflow.add_task(forgets))
    assert "'not_here'" in text
    assert "'here'" not in text.replace("'not_here'", "") or "returned" in text


@pytest.mark.parametrize(("returned", "named"), [(None, "NoneType"), ([1], "list"), ("text", "str"), (7, "int")])
def test_what_is_no_dict_fails_the_task_by_its_type(workflow: MaWorkflow, returned: object, named: str) -> None:
    @task(inputs=[], outputs=["y"])
    def strange(params: dict[str, Any]) -> Any:
        return returned

    text = error_of(workflow, workflow.add_task(strange))
    assert "dict" in text
    assert named in text


def test_extra_outputs_are_kept_with_a_warning(workflow: MaWorkflow, cluster: Cluster) -> None:
    @task(inputs=[], outputs=["y"])
    def generous(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": 1, "more": 2}

    made = workflow.add_task(generous)
    run_id, _ = finish(workflow)
    assert workflow.get_task_result(run_id, made.task_id)["result"] == {"y": 1, "more": 2}
    warnings = [event for event in cluster.events(run_id) if event["type"] == "task_warning"]
    assert len(warnings) == 1
    assert "more" in str(warnings[0]["data"])


# Printed forms


def test_the_printed_story_of_a_failure(
    workflow: MaWorkflow, capsys: pytest.CaptureFixture[str], same_text: Callable[[str, str], None]
) -> None:
    made = workflow.add_task(divide, inputs={"x": 0})
    result = workflow.show_results(workflow.run())
    short = made.task_id[:13]
    same_text(
        capsys.readouterr().out,
        f"""
🔗 Connected to server, starting workflow execution...
▶ Task started: {short}
❌ Task failed: {short}
  error: ZeroDivisionError: division by zero
⚠️ Workflow execution completed with exceptions
""",
    )
    assert result["has_exception"]


def test_the_story_is_printed_while_the_run_goes_on(
    workflow: MaWorkflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = tmp_path / "gate"
    first = workflow.add_task(one)
    second = workflow.add_task(
        wait_for, inputs={"started": str(tmp_path / "started"), "gate": str(gate)}, task_name="second"
    )
    workflow.add_edge(first, second)
    thread = threading.Thread(target=workflow.show_results, args=(workflow.run(),))
    thread.start()
    printed: list[str] = []

    def shows(text: str) -> bool:
        printed.append(capsys.readouterr().out)
        return text in "".join(printed)

    wait_until(lambda: shows(f"Task started: {second.task_id[:13]}"), "the start of the second task")
    assert "execution completed" not in "".join(printed)
    gate.touch()
    thread.join(20)
    assert shows("Workflow execution completed!")


def test_a_story_from_the_cache_reads_the_same(workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    workflow.add_task(one)
    run_id = workflow.run()
    live_result = workflow.show_results(run_id)
    live = capsys.readouterr().out
    assert workflow.show_results(run_id) == live_result
    assert capsys.readouterr().out == live


def test_outputs_are_printed_one_per_line(workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    @task(inputs=[], outputs=["first", "second"])
    def two(params: dict[str, Any]) -> dict[str, Any]:
        return {"first": "one", "second": [2]}

    workflow.add_task(two)
    workflow.show_results(workflow.run())
    lines = capsys.readouterr().out.splitlines()
    assert "  first: one" in lines
    assert lines[lines.index("  first: one") + 1] == "  second: [2]"


def test_the_title_is_centred_in_a_box_of_62(workflow: MaWorkflow, capsys: pytest.CaptureFixture[str]) -> None:
    workflow.add_task(one)
    workflow.print_graph()
    top, title, bottom, *_ = capsys.readouterr().out.splitlines()
    assert (top, bottom) == ("╔" + "═" * 62 + "╗", "╚" + "═" * 62 + "╝")
    text = "Workflow Structure Visualization"
    assert re.fullmatch(f"║( +){text}( +)║", title)
    assert len(title) == 64
    assert abs(title.index("W") - 1 - (63 - title.rindex("n") - 1)) <= 1


def test_what_cannot_be_printed_is_replaced(python: Callable[..., Any], tmp_path: Path) -> None:
    script = """
from maze import MaClient, task
@task(inputs=[], outputs=["y"])
def f(params):
    return {"y": "é → 🔗"}
with MaClient() as client:
    workflow = client.create_workflow()
    workflow.add_task(f)
    workflow.show_results(workflow.run())
    workflow.print_graph()
"""
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = python("script.py", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert "Task completed" in done.stdout


def test_output_dir_is_only_made_when_something_lands_in_it(workflow: MaWorkflow, tmp_path: Path) -> None:
    workflow.add_task(one)
    workflow.show_results(workflow.run(), output_dir=str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()
