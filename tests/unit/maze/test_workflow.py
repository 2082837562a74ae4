"""The blocking workflow as far as it needs no head; the rest is in tests/integration/test_sdk_*."""

from __future__ import annotations

import pytest

from maze._results import Entry, RunRecord
from maze._workflow import MaWorkflow
from maze.errors import HeadUnavailableError

URL = "http://127.0.0.1:1"


def test_printing_from_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    workflow = MaWorkflow("workflow_1", URL)
    workflow._keep(RunRecord("run_1", [Entry({"type": "finish_workflow", "data": {}})]))
    workflow.get_results("run_1")
    assert capsys.readouterr().out == "{'type': 'finish_workflow', 'data': {}}\n"
    assert workflow.show_results("run_1")["workflow_completed"]
    assert capsys.readouterr().out.endswith("✅ Workflow execution completed!\n")
    workflow.clear_cache()


@pytest.mark.parametrize(
    "name", ["get_tasks", "run", "print_graph", "get_graph_info", "get_graph_mermaid", "draw_graph"]
)
def test_a_workflow_made_elsewhere_is_fetched_on_first_use(name: str) -> None:
    with pytest.raises(HeadUnavailableError, match=URL):
        getattr(MaWorkflow("workflow_2", URL), name)()


@pytest.mark.parametrize("name", ["get_results", "show_results", "cancel", "retry"])
def test_runs_are_asked_for(name: str) -> None:
    with pytest.raises(HeadUnavailableError, match=URL):
        getattr(MaWorkflow("workflow_2", URL), name)("run_1")
