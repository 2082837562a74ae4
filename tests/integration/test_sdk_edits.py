"""Two authors of one workflow, against a real head: `localhost` and `127.0.0.1` name it, so drafts are not shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maze import ConflictError, CycleError, GraphError, MaClient, MaTask, MaWorkflow, UnknownTaskError, task
from support.cluster import Cluster


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@pytest.fixture
def authors(cluster: Cluster) -> Iterator[tuple[MaWorkflow, MaWorkflow]]:
    with MaClient(cluster.url) as first, MaClient(cluster.url.replace("127.0.0.1", "localhost")) as second:
        mine = first.create_workflow()
        yield mine, second.get_workflow(mine.workflow_id)


def names(workflow: MaWorkflow) -> list[str]:
    return [each["name"] for each in workflow.get_tasks()]


def test_edits_that_do_not_touch_are_put_together(authors: tuple[MaWorkflow, MaWorkflow]) -> None:
    mine, theirs = authors
    mine.add_task(double, {"x": 1}, task_name="mine")
    theirs.add_task(double, {"x": 1}, task_name="theirs")
    assert names(mine) == ["mine"]
    assert names(theirs) == ["mine", "theirs"]
    assert names(mine) == ["mine", "theirs"]
    assert len(mine.get_graph_info()["nodes"]) == 2


def test_an_edit_that_no_longer_applies_is_named_and_the_rest_is_sent(authors: tuple[MaWorkflow, MaWorkflow]) -> None:
    mine, theirs = authors
    base = mine.add_task(double, {"x": 1}, task_name="base")
    mine.get_tasks()
    (seen,) = theirs.get_tasks()
    theirs_base = theirs.add_task(double, {"x": 1}, task_name="kept")
    for _ in range(2):
        theirs.add_task(double, {"x": 2}, task_name="also kept")
    base.delete()
    assert names(mine) == []
    old = MaTask(seen["id"], theirs.workflow_id, theirs.server_url)
    theirs.add_edge(old, theirs_base)
    with pytest.raises(ConflictError, match=r"add_edge 'base' .*not in the workflow any more") as caught:
        theirs.get_tasks()
    assert len(caught.value.refused) == 1
    assert names(theirs) == ["kept", "also kept", "also kept"]


def test_a_cycle_made_by_two_is_refused(authors: tuple[MaWorkflow, MaWorkflow]) -> None:
    mine, theirs = authors
    first, second = (mine.add_task(double, {"x": 1}, task_name=name) for name in ("a", "b"))
    mine.get_tasks()
    theirs.get_tasks()
    mine.add_edge(first, second)
    theirs.add_edge(*(MaTask(made.task_id, theirs.workflow_id, theirs.server_url) for made in (second, first)))
    mine.get_tasks()
    with pytest.raises((ConflictError, CycleError), match="cycle"):
        theirs.run()
    assert theirs.get_graph_info()["edges"] == [[first.task_id, second.task_id]]


def test_an_unknown_task_is_left_to_the_head(authors: tuple[MaWorkflow, MaWorkflow]) -> None:
    """It may have been added by somebody else a moment ago; here it was, and here it wasn't."""
    mine, theirs = authors
    known = mine.add_task(double, {"x": 1})
    mine.get_tasks()
    theirs_new = theirs.add_task(double, {"x": 2})
    theirs.get_tasks()
    mine.add_edge(known, MaTask(theirs_new.task_id, mine.workflow_id, mine.server_url, "new", ["y"]))
    mine.get_tasks()
    assert len(mine.get_graph_info()["edges"]) == 1
    mine.add_edge(known, MaTask("task_" + "0" * 32, mine.workflow_id, mine.server_url, "no", ["y"]))
    with pytest.raises((UnknownTaskError, ConflictError), match="task_00000000"):
        mine.get_tasks()
    assert len(mine.get_tasks()) == 2


def test_edits_of_a_sent_workflow_follow_the_same_rules(authors: tuple[MaWorkflow, MaWorkflow]) -> None:
    mine, _ = authors
    one = mine.add_task(double, {"x": 1}, task_name="one")
    two = mine.add_task(double, {"x": one.outputs["y"]}, task_name="two")
    mine.get_tasks()
    with pytest.raises(GraphError, match="used by 'two'"):
        one.delete()
    with pytest.raises(GraphError, match="carries input 'x'"):
        mine.del_edge(one, two)
    mine.add_edge(one, two)
    two.delete()
    one.delete()
    assert names(mine) == []


def test_edits_are_sent_when_the_client_is_closed(cluster: Cluster) -> None:
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        workflow.add_task(double, {"x": 1}, task_name="late")
    assert [each["name"] for each in cluster.get(f"/api/v1/workflows/{workflow.workflow_id}")["tasks"]] == ["late"]
