"""Tasks, outputs and references, as users hold them. No head: the draft is filled by hand."""

from __future__ import annotations

import pytest

from maze._graph import AddTask
from maze._handles import MaTask, TaskOutput, TaskOutputs
from maze._shared import discard_edits, state_of
from maze._workflow import MaWorkflow
from maze.errors import InvalidTaskError, UnknownOutputError, UnknownTaskError
from support.drafts import task_of

URL, WORKFLOW = "http://127.0.0.1:9", "workflow_1"
SOURCE = "def shout(params):\n    return {'loud': params['text'].upper()}\n"


@pytest.fixture
def workflow() -> MaWorkflow:
    made = MaWorkflow(WORKFLOW, URL)
    made._state.draft.load((), (), 0)
    yield made  # type: ignore[misc]  # a generator fixture
    discard_edits(URL)


def test_a_reference_prints_as_the_server_reads_it() -> None:
    output = TaskOutput("task_1", "result")
    assert output.to_reference_string() == "task_1.output.result"
    assert (output.task_id, output.output_key) == ("task_1", "result")
    assert repr(TaskOutput("task_6af195ef0000", "y")) == "TaskOutput(task_6af195ef...:y)"


def test_references_compare_by_what_they_name() -> None:
    assert TaskOutput("a", "x") == TaskOutput("a", "x", _workflow_id="w")
    assert len({TaskOutput("a", "x"), TaskOutput("a", "x"), TaskOutput("a", "y")}) == 2
    assert TaskOutput("a", "x") != "a.output.x"


def test_outputs_are_found_by_name() -> None:
    outputs = TaskOutputs("task_1", ["sum", "product"])
    assert outputs["sum"] == TaskOutput("task_1", "sum")
    assert outputs.keys() == list(outputs) == ["sum", "product"]
    assert isinstance(outputs.keys(), list)
    assert outputs.items() == list(zip(outputs.keys(), outputs.values(), strict=True))
    assert (len(outputs), "sum" in outputs, "zz" in outputs) == (2, True, False)
    assert repr(outputs) == "TaskOutputs(task_1...: sum, product)"


def test_an_unknown_output_is_a_key_error_that_lists_what_there_is() -> None:
    with pytest.raises(KeyError) as caught:
        TaskOutputs("task_1", ["sum", "product"])["prodcut"]
    assert isinstance(caught.value, UnknownOutputError)
    assert str(caught.value) == (
        "Task does not have output parameter named 'prodcut'; it has: sum, product\n  hint: did you mean 'product'?"
    )


def test_a_task_knows_its_name_and_outputs_from_the_draft(workflow: MaWorkflow) -> None:
    workflow._state.record(AddTask(task_of("task_1", "first", "f", "hash", outputs=("y",))))
    built = MaTask("task_1", WORKFLOW, URL)
    assert (built.task_name, built.outputs.keys()) == ("first", ["y"])
    assert built == MaTask("task_1", WORKFLOW, URL, "other name", ["z"])
    assert len({built, MaTask("task_1", WORKFLOW, URL)}) == 1
    assert "first" in repr(built)


def test_a_task_that_is_not_in_the_workflow_is_told(workflow: MaWorkflow) -> None:
    with pytest.raises(UnknownTaskError, match="has no task task_9"):
        MaTask("task_9", WORKFLOW, URL).outputs  # noqa: B018
    given = MaTask("task_9", WORKFLOW, URL, "name", ["y"])
    assert (given.task_name, given.outputs.keys()) == ("name", ["y"]), "what was given needs no look-up"


def test_the_legacy_flow_fills_outputs_by_save(workflow: MaWorkflow) -> None:
    task = workflow.add_task(task_type="code", task_name="shout")
    outputs = task.outputs
    assert outputs.keys() == []
    with pytest.raises(KeyError, match="it has: none"):
        outputs["loud"]
    task.save(
        SOURCE,
        {"input_params": {"1": {"key": "text", "input_schema": "from_user", "data_type": "str", "value": "hi"}}},
        {"output_params": {"1": {"key": "loud", "data_type": "str"}}},
        {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0},
    )
    assert outputs["loud"] == task.outputs["loud"] == TaskOutput(task.task_id, "loud")
    assert task.task_name == "shout"


def test_a_refused_save_changes_nothing(workflow: MaWorkflow) -> None:
    task = workflow.add_task(task_name="t")
    with pytest.raises(InvalidTaskError, match="line 1"):
        task.save("def f(:", None, None, None)
    assert [each.name for each in workflow._state.draft.graph.unsaved()] == ["t"]


def test_a_deleted_task_is_told(workflow: MaWorkflow) -> None:
    task = workflow.add_task(task_name="t")
    task.delete()
    assert workflow.get_graph_info()["nodes"] == {}
    with pytest.raises(UnknownTaskError, match=r"'t' .* was deleted"):
        task.delete()


def test_handles_of_one_workflow_share_its_state() -> None:
    assert MaTask("a", WORKFLOW, URL + "/")._state is MaWorkflow(WORKFLOW, URL)._state is state_of(URL, WORKFLOW)
