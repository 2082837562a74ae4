"""Every code block of the API reference, executed word for word against a real head and real nodes.

A fragment presumes names that the reference has introduced elsewhere (`workflow`, `task1`, `func1`, …). The test of
each block states them as Python text, its prelude, which runs in the same namespace before the block; then it asserts
what the reference says about the block. Printed output is compared modulo white space. The last tests prove that no
block of the reference is missing, altered or left unexecuted.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.reference_blocks import BLOCKS, BY_NAME, INDEX, Block
from support.cluster import Cluster

EXECUTED: set[tuple[str, str]] = set()
Names = dict[str, Any]
Presume = Callable[..., Names]

START = """
from maze import MaClient, task
client = MaClient()
workflow = client.create_workflow()
"""

HELLO = """
@task(inputs=["text"], outputs=["result"])
def upper(params):
    return {"result": params["text"].upper()}
task1 = workflow.add_task(upper, inputs={"text": "hello world"})
"""

TWO = """
@task(inputs=["text"], outputs=["result"])
def process_data(params):
    return {"result": params["text"].upper()}
@task(inputs=["text"], outputs=["line"])
def format_output(params):
    return {"line": "<" + params["text"] + ">"}
task1 = workflow.add_task(process_data, inputs={"text": "hello"})
task2 = workflow.add_task(format_output, inputs={"text": task1.outputs["result"]})
"""

APART = """
@task(inputs=[], outputs=["result"])
def lonely(params):
    return {"result": 1}
task1 = workflow.add_task(lonely)
task2 = workflow.add_task(lonely)
"""

FAILS = """
@task(inputs=[], outputs=["never"])
def fail(params):
    raise ValueError("bad thing")
failing = workflow.add_task(fail)
"""


def reference(member: str, heading: str = "Example") -> pytest.MarkDecorator:
    """Give the test the block of this name, and note that it is executed."""
    EXECUTED.add((member, heading))
    return pytest.mark.parametrize("block", [BY_NAME[member, heading]], ids=[f"{member}: {heading}"])


@pytest.fixture
def presume(url: str) -> Iterator[Presume]:
    """Make a namespace with `MaClient`, `task`, `client`, `workflow`, and what more preludes define."""
    made: list[Names] = []

    def presumed(*preludes: str) -> Names:
        names: Names = {"__name__": "__main__"}
        for prelude in (START, *preludes):
            exec(prelude, names)
        made.append(names)
        return names

    yield presumed
    for names in made:
        names["client"].close()


def result_of(names: Names, task: Any) -> Any:
    """Run the workflow and return the outputs of one task."""
    workflow = names["workflow"]
    run_id = workflow.run()
    messages = workflow.get_results(run_id, verbose=False)
    found = workflow.get_task_result(run_id, task.task_id)
    assert found["status"] == "success", messages
    return found["result"]


def short(task: Any) -> str:
    return str(task.task_id[:13])


def same_shape(found: object, form: object) -> None:
    """Compare keys and types with a printed form, all the way down; lists by their first element."""
    assert type(found) is type(form), (found, form)
    if isinstance(form, dict) and isinstance(found, dict):
        if not any("_id_" in key or key == "output_key" for key in form):
            assert list(found) == list(form)
        for value, pattern in zip(found.values(), form.values(), strict=False):
            same_shape(value, pattern)
    elif isinstance(form, list) and form and isinstance(found, list):
        for value in found:
            same_shape(value, form[0])


# MaClient


@reference("MaClient")
def test_clients_are_constructed_without_a_request(block: Block, url: str) -> None:
    names = block.run({})
    assert type(names["client"]).__name__ == "MaClient"
    names["client"].close()


@reference("create_workflow")
def test_create_workflow(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume())
    assert isinstance(names["workflow"].workflow_id, str)
    assert capsys.readouterr().out == f"Created workflow: {names['workflow'].workflow_id}\n"


# MaWorkflow: editing


@reference("add_task", "Example 1 - Using decorated function (recommended)")
def test_add_task_with_a_decorated_function(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    task1 = names["task1"]
    assert task1.task_name == "process_text"
    assert task1.outputs.keys() == ["result"]
    assert result_of(names, task1) == {"result": "HELLO"}


@reference("add_task", "Example 2 - Referencing other task outputs")
def test_a_reference_makes_an_edge(block: Block, presume: Presume) -> None:
    names = presume("""
@task(inputs=["input"], outputs=["output"])
def func1(params):
    return {"output": params["input"] + " seen by one"}
@task(inputs=["input"], outputs=["output"])
def func2(params):
    return {"output": params["input"] + " and two"}
""")
    block.run(names)
    edges = names["workflow"].get_graph_info()["edges"]
    assert edges == [[names["task1"].task_id, names["task2"].task_id]]
    assert result_of(names, names["task2"]) == {"output": "value seen by one and two"}


@reference("add_task", "Example 3 - Custom task name")
def test_a_task_may_have_its_own_name(block: Block, presume: Presume) -> None:
    names = presume("""
@task(inputs=["data"], outputs=["data"])
def my_function(params):
    return params
""")
    block.run(names)
    made = names["task"]
    assert made.task_name == "Custom Task Name"
    assert names["workflow"].get_tasks() == [{"id": made.task_id, "name": "Custom Task Name"}]
    assert result_of(names, made) == {"data": "value"}


@reference("get_tasks")
def test_get_tasks(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = presume(TWO)
    block.run(names)
    one, two = names["task1"], names["task2"]
    assert capsys.readouterr().out == (
        f"Task ID: {one.task_id}, Name: process_data\nTask ID: {two.task_id}, Name: format_output\n"
    )


@reference("get_tasks", "Return Format")
def test_get_tasks_returns_the_form(block: Block, presume: Presume) -> None:
    tasks = presume(TWO)["workflow"].get_tasks()
    assert len(tasks) == 2
    same_shape(tasks, block.value())


@reference("add_edge")
def test_add_edge(block: Block, presume: Presume) -> None:
    names = block.run(presume(APART))
    edge = [names["task1"].task_id, names["task2"].task_id]
    assert names["workflow"].get_graph_info()["edges"] == [edge]


@reference("del_edge")
def test_del_edge(block: Block, presume: Presume) -> None:
    names = block.run(presume(APART, "workflow.add_edge(task1, task2)"))
    assert names["workflow"].get_graph_info()["edges"] == []


# MaWorkflow: running and results


@reference("run")
def test_run(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO))
    assert isinstance(names["run_id"], str)
    assert capsys.readouterr().out == f"Workflow started with run_id: {names['run_id']}\n"


MESSAGES = [heading for member, heading in BY_NAME if member == "get_results" and heading.startswith("Message")]
EXECUTED |= {("get_results", heading) for heading in MESSAGES}


@pytest.mark.parametrize("heading", MESSAGES)
def test_messages_have_exactly_the_documented_form(heading: str, presume: Presume) -> None:
    names = presume("""
@task(inputs=[], outputs=["output_key"])
def good(params):
    return {"output_key": "output_value"}
workflow.add_task(good)
""")
    exec(FAILS, names)
    workflow = names["workflow"]
    messages = workflow.get_results(workflow.run(), verbose=False)
    form: Any = BY_NAME["get_results", heading].value()
    if form["type"] == "message_type":
        assert all(list(message) == ["type", "data"] for message in messages)
        return
    matching = [message for message in messages if message["type"] == form["type"]]
    assert matching
    for message in matching:
        same_shape(message, form)
        assert message["data"].get("workflow_id", workflow.workflow_id) == workflow.workflow_id
    if form["type"] == "task_exception":
        text = matching[0]["data"]["result"]
        assert text.startswith("Traceback (most recent call last):\n")
        assert text.rstrip().splitlines()[-1] == "ValueError: bad thing"


@reference("get_results", "Example 1 - Basic usage (raw messages)")
def test_raw_messages_are_printed(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO))
    printed = [str(message) for message in names["messages"]] + ["Task result: {'result': 'HELLO WORLD'}"]
    assert capsys.readouterr().out.splitlines() == printed
    assert [message["type"] for message in names["messages"]] == ["start_task", "finish_task", "finish_workflow"]


@reference("get_results", "Example 2 - Silent mode (no printing)")
def test_silent_mode(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO))
    assert capsys.readouterr().out == ""
    assert names["task_results"] == {names["task1"].task_id: {"result": "HELLO WORLD"}}


@reference("get_results", "Example 3 - Multiple queries (uses cache)")
def test_multiple_queries(block: Block, presume: Presume) -> None:
    names = block.run(presume(HELLO))
    assert names["messages1"] is not names["messages2"]


@reference("show_results", "Return Value")
def test_show_results_returns_the_form(block: Block, presume: Presume) -> None:
    names = presume(TWO)
    workflow = names["workflow"]
    result = workflow.show_results(workflow.run())
    form: Any = block.value()
    same_shape(result, form)
    assert result["task_results"] == {
        names["task1"].task_id: {"result": "HELLO"},
        names["task2"].task_id: {"line": "<HELLO>"},
    }
    assert (result["workflow_completed"], result["has_exception"], result["exception_tasks"]) == (True, False, [])


@reference("show_results", "Example 1 - Basic usage")
def test_show_results_prints_the_form(
    block: Block, presume: Presume, capsys: pytest.CaptureFixture[str], same_text: Callable[[str, str], None]
) -> None:
    names = block.run(presume(HELLO))
    form = block.comment_after("Prints formatted output:").replace("task_12345678", short(names["task1"]))
    same_text(capsys.readouterr().out, f"{form} {{'{names['task1'].task_id}': {{'result': 'HELLO WORLD'}}}}")


@reference("show_results", "Example 2 - Complete workflow")
def test_the_complete_workflow(block: Block, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: Any = block.run({})
    names["client"].close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["Workflow succeeded!", f"Results: {{'{names['task1'].task_id}': {{'result': 'HELLO'}}}}"]


@reference("show_results", "Example 3 - Error handling")
def test_failed_tasks_are_listed(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(FAILS))
    out = capsys.readouterr().out
    assert out.endswith(f"Some tasks failed:\n  - {names['failing'].task_id}\n")
    assert "ValueError: bad thing" in out
    assert "Traceback" not in out


@reference("show_results", "Example 4 - Multiple runs")
def test_each_run_has_independent_results(block: Block, presume: Presume) -> None:
    names = block.run(presume(HELLO))
    assert names["run_id1"] != names["run_id2"]
    assert names["result1"] == names["result2"]
    names["result1"]["task_results"].clear()
    assert names["result2"]["task_results"]


@reference("get_task_result", "Example 1 - Query specific task")
def test_query_a_task(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO))
    found = {"task_id": names["task1"].task_id, "result": {"result": "HELLO WORLD"}, "status": "success"}
    assert names["task_result"] == found
    assert capsys.readouterr().out == f"Task1 output: {found}\n"


@reference("get_task_result", "Example 2 - Check multiple tasks")
def test_query_several_tasks(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = presume(
        HELLO,
        FAILS,
        """
task2 = failing
task3 = workflow.add_task(upper, inputs={"text": failing.outputs["never"]}, task_name="skipped")
""",
    )
    block.run(names)
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0].startswith("upper: {'task_id': '")
    assert lines[1].startswith("fail: {'task_id': '")
    assert "'status': 'exception'" in lines[1]
    assert lines[2] == "skipped: No result found"


@reference("list_cached_runs")
def test_list_cached_runs(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO))
    assert capsys.readouterr().out == f"Cached runs: {[names['run_id1'], names['run_id2']]}\n"


TWICE = """
run_id, other = workflow.run(), workflow.run()
workflow.get_results(run_id, verbose=False)
workflow.get_results(other, verbose=False)
"""


@reference("clear_cache", "Example 1 - Clear specific run")
def test_clear_one_run(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO, TWICE))
    assert capsys.readouterr().out == f"Cleared cache for {names['run_id']}\n"
    assert names["workflow"].list_cached_runs() == [names["other"]]


@reference("clear_cache", "Example 2 - Clear all cache")
def test_clear_everything(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    names = block.run(presume(HELLO, TWICE))
    assert capsys.readouterr().out == "All cache cleared\n"
    assert names["workflow"].list_cached_runs() == []


# MaWorkflow: pictures


@reference("print_graph")
def test_print_graph(
    block: Block, presume: Presume, capsys: pytest.CaptureFixture[str], same_text: Callable[[str, str], None]
) -> None:
    names = block.run(presume(TWO))
    form = block.comment_after("Output:")
    form = form.replace("task_12345678", short(names["task1"])).replace("task_87654321", short(names["task2"]))
    same_text(capsys.readouterr().out, form)


@reference("draw_graph", "Example 1 - Basic usage")
def test_draw_graph(block: Block, presume: Presume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = presume(TWO)
    monkeypatch.chdir(tmp_path)
    block.run(names)
    assert (tmp_path / "my_workflow.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@reference("draw_graph", "Example 2 - High-resolution PDF")
def test_draw_graph_with_graphviz(
    block: Block, presume: Presume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = presume(TWO)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ImportError, match="graphviz"):
        block.run(names)
    _imitate_dot(tmp_path / "bin/dot")
    block.run(names)
    assert (tmp_path / "workflow.pdf").read_bytes().startswith(b"%PDF")
    assert "600" in (tmp_path / "source.dot").read_text()


def _imitate_dot(path: Path) -> None:
    """Graphviz itself is rarely installed: keep the source that reaches it, and make the file it was asked for."""
    path.write_text("""#!/bin/sh
PATH=/usr/bin:/bin
out=""; source=""; next=""
for word in "$@"; do
  if [ "$next" = o ]; then out="$word"; next=""; continue; fi
  case "$word" in -o) next=o ;; -o*) out="${word#-o}" ;; -O) out=beside ;; -*) ;; *) source="$word" ;; esac
done
if [ -n "$source" ]; then cat "$source" > source.dot; else cat > source.dot; fi
if [ "$out" = beside ]; then out="$source.pdf"; fi
if [ -n "$out" ]; then printf '%%PDF-1.4' > "$out"; else printf '%%PDF-1.4'; fi
""")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@reference("draw_graph", "Example 3 - Custom size with matplotlib")
def test_draw_graph_with_matplotlib(
    block: Block, presume: Presume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = presume(TWO)
    monkeypatch.chdir(tmp_path)
    block.run(names)
    assert (tmp_path / "workflow.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@reference("draw_graph", "Requires")
def test_the_named_libraries_are_those_that_draw(block: Block) -> None:
    installs = [line.removeprefix("pip install ").split() for line in block.code.splitlines() if line.startswith("pip")]
    assert installs == [["graphviz"], ["matplotlib", "networkx"]]
    for name in [name for install in installs for name in install]:
        assert importlib.metadata.version(name), "in the test environment, so that both methods are tested"
        assert any(name in text for text in importlib.metadata.requires("maze-cluster") or [])


@reference("get_graph_mermaid")
def test_mermaid(
    block: Block, presume: Presume, capsys: pytest.CaptureFixture[str], same_text: Callable[[str, str], None]
) -> None:
    names = block.run(presume(TWO))
    form = block.comment_after("Output:")
    form = form.replace("task_12345678", names["task1"].task_id).replace("task_87654321", names["task2"].task_id)
    same_text(capsys.readouterr().out, form)
    assert isinstance(names["mermaid_code"], str)


@reference("get_graph_info", "Return Format")
def test_graph_info_has_the_form(block: Block, presume: Presume) -> None:
    names = presume(TWO)
    info = names["workflow"].get_graph_info()
    form: Any = block.value()
    assert list(info)[:3] == list(form)
    same_shape(info["nodes"], form["nodes"])
    assert [list(node) for node in info["nodes"].values()] == [list(form["nodes"]["task_id_1"])] * 2
    same_shape(info["edges"], form["edges"])
    assert {key: info["stats"][key] for key in form["stats"]} == {"total_nodes": 2, "total_edges": 1, "max_depth": 2}
    assert info["nodes"][names["task1"].task_id] == {
        "name": "process_data",
        "func_name": "process_data",
        "inputs": ["text"],
        "outputs": ["result"],
        "resources": {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0},
    }


@reference("get_graph_info")
def test_graph_info(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    block.run(presume(TWO))
    assert capsys.readouterr().out == "Total tasks: 2\nTotal dependencies: 1\n"


# MaTask, TaskOutput, TaskOutputs


@reference("outputs")
def test_outputs_are_references(block: Block, presume: Presume) -> None:
    names = presume("""
@task(inputs=["in"], outputs=["output_key"])
def func1(params):
    return {"output_key": [params["in"]]}
@task(inputs=["in"], outputs=["out"])
def func2(params):
    return {"out": params["in"] * 2}
""")
    block.run(names)
    reference_ = names["output_ref"]
    assert (type(reference_).__name__, reference_.output_key) == ("TaskOutput", "output_key")
    assert reference_.task_id == names["task1"].task_id
    assert result_of(names, names["task2"]) == {"out": ["value", "value"]}


@reference("delete")
def test_delete(block: Block, presume: Presume) -> None:
    names = block.run(presume(HELLO, "task = task1"))
    assert names["workflow"].get_tasks() == []


@reference("to_reference_string")
def test_reference_string(block: Block, presume: Presume) -> None:
    names = block.run(presume(HELLO))
    form = re.findall(r'# Returns: "(.*)"', block.code)[0]
    assert names["ref_str"] == form.replace("task_id_123", names["task1"].task_id)


@reference("__getitem__")
def test_getitem(block: Block, presume: Presume) -> None:
    names = block.run(presume(HELLO, "task = task1"))
    assert names["output"].output_key == "result"


@reference("keys")
def test_keys(block: Block, presume: Presume, capsys: pytest.CaptureFixture[str]) -> None:
    block.run(presume(HELLO, "task = task1"))
    assert capsys.readouterr().out == "Output: result\n"


# Decorators


def shown_resources(names: Names, function: str, inputs: dict[str, object]) -> tuple[Any, dict[str, object]]:
    """Add a task of the function; return it and the resources that the graph shows for it."""
    added = names["workflow"].add_task(names[function], inputs=inputs)
    return added, names["workflow"].get_graph_info()["nodes"][added.task_id]["resources"]


@reference("task", "Example 1 - Basic task")
def test_basic_task(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    added, shown = shown_resources(names, "uppercase_text", {"text": "abc"})
    assert shown == ast.literal_eval(block.comment_after("Equivalent to (auto-filled):").strip()[len("resources=") :])
    assert result_of(names, added) == {"result": "ABC"}


@reference("task", "Example 2 - Multiple inputs and outputs")
def test_several_outputs(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    added, shown = shown_resources(names, "calculate", {"a": 7, "b": 3})
    assert shown == {"cpu": 2, "cpu_mem": 256, "gpu": 0, "gpu_mem": 0}
    assert result_of(names, added) == {"sum": 10, "product": 21, "difference": 4}


@reference("task", "Example 3 - Using external libraries")
def test_numpy_task(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    added, _ = shown_resources(names, "statistics", {"numbers": [1, 2, 3, 6]})
    assert result_of(names, added) == {"mean": 3.0, "std": pytest.approx(1.8708286933869707)}


@reference("task", "Example 4 - GPU task")
def test_gpu_task_word_for_word(block: Block, presume: Presume) -> None:
    """Without torch the example ends in an honest ModuleNotFoundError."""
    names = presume("""
def process_with_gpu(data):
    return data + 1
""")
    block.run(names)
    added, shown = shown_resources(names, "gpu_processing", {"data": 1})
    assert shown == {"cpu": 4, "cpu_mem": 2048, "gpu": 1, "gpu_mem": 4096}
    run_id = names["workflow"].run()
    names["workflow"].get_results(run_id, verbose=False)
    found = names["workflow"].get_task_result(run_id, added.task_id)
    if importlib.util.find_spec("torch"):
        assert found["result"] == {"result": 2}
    else:
        last = found["error"].rstrip().splitlines()[-1]
        assert last.startswith("ModuleNotFoundError: No module named 'torch'")


def test_gpu_task_is_placed_on_the_gpu(presume: Presume, cluster: Cluster) -> None:
    """The declaration of the GPU example with a body that says where it runs."""
    code = BY_NAME["task", "Example 4 - GPU task"].code
    declaration = code[: code.index("    import torch")]
    names = presume(declaration + "    import os\n    return {'result': os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    workflow = names["workflow"]
    added = workflow.add_task(names["gpu_processing"], inputs={"data": None})
    run_id = workflow.run()
    workflow.get_results(run_id, verbose=False)
    assert workflow.get_task_result(run_id, added.task_id)["result"] == {"result": "0"}
    node = cluster.tasks(run_id)[added.task_id]["node"]
    assert any(node in (known["node_id"], known["hostname"]) and known["gpus"] for known in nodes(cluster))


def nodes(cluster: Cluster) -> list[dict[str, Any]]:
    return list(cluster.get("/api/v1/nodes")["nodes"])


@reference("task", "Example 5 - Auto-filled resources")
def test_auto_filled_resources(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    gpu, minimal = (ast.literal_eval(text) for text in re.findall(r"# Effective resources: (.*)", block.code))
    on_gpu, shown = shown_resources(names, "auto_gpu_task", {"data": 0})
    assert shown == gpu
    plain, shown = shown_resources(names, "minimal_task", {"x": 21})
    assert shown == minimal
    assert result_of(names, on_gpu) == {"result": "processed"}
    assert result_of(names, plain) == {"y": 42}


@reference("task", "Example 6 - Custom data types")
def test_data_types(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    added, _ = shown_resources(names, "calculate_total", {"count": 4, "rate": 2.5})
    assert result_of(names, added) == {"total": 10.0}


# Data types

ECHO = """
@task(inputs=["key"], outputs=["seen"])
def echo(params):
    return {"seen": params["key"]}
"""


@reference("Input Schema Types", "from_user: Direct user input")
def test_input_from_user(block: Block, presume: Presume) -> None:
    names = presume(ECHO)
    added = names["workflow"].add_task(names["echo"], inputs=block.value(names))
    assert result_of(names, added) == {"seen": "direct_value"}


@reference("Input Schema Types", "from_task: Reference to another task's output")
def test_input_from_task(block: Block, presume: Presume) -> None:
    names = presume(
        ECHO,
        """
@task(inputs=[], outputs=["output_key"])
def other(params):
    return {"output_key": "made elsewhere"}
other_task = workflow.add_task(other)
""",
    )
    added = names["workflow"].add_task(names["echo"], inputs=block.value(names))
    assert result_of(names, added) == {"seen": "made elsewhere"}


@reference("Resource Configuration", "Resource requirements are specified as dictionaries")
def test_resource_configuration(block: Block, presume: Presume) -> None:
    names = block.run(presume())
    exec("@task(inputs=[], outputs=['ok'], resources=resources)\ndef sized(params):\n    return {'ok': 1}\n", names)
    added, shown = shown_resources(names, "sized", {})
    assert shown == names["resources"]
    assert result_of(names, added) == {"ok": 1}


# Completeness


def test_every_block_of_the_reference_is_here_word_for_word() -> None:
    index = [line.split() for line in INDEX.read_text().splitlines() if not line.startswith("#")]
    assert len(index) == 50
    here = {(block.digest, block.language) for block in BLOCKS}
    assert here == {(digest, language) for digest, language, _ in index}
    assert len(BLOCKS) == len(BY_NAME) == len(index)


def test_every_block_is_executed() -> None:
    assert set(BY_NAME) == EXECUTED


def test_the_environment_is_the_one_that_the_examples_presume() -> None:
    assert "MAZE_URL" not in os.environ, "the suite sets it per test"
    assert importlib.util.find_spec("numpy")
