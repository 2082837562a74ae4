"""The async client without a head; the rest is in tests/integration/test_sdk_async.py."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import maze
from maze._async import AsyncMaClient, AsyncMaTask, AsyncMaWorkflow
from maze._decorator import task
from maze._shared import discard_edits
from maze.errors import ClosedError, GraphError, HeadUnavailableError

URL = "http://127.0.0.1:1"


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@pytest.fixture
def workflow() -> Iterator[AsyncMaWorkflow]:
    made = AsyncMaWorkflow("workflow_async", URL)
    made._state.draft.load((), (), 0)
    yield made
    discard_edits(URL)


@pytest.mark.parametrize(
    ("ours", "twin"),
    [
        (AsyncMaClient, maze.MaClient),
        (AsyncMaWorkflow, maze.MaWorkflow),
        (AsyncMaTask, maze.MaTask),
    ],
)
def test_the_twins_have_the_same_names_and_parameters(ours: type, twin: type) -> None:
    public = {name for name in dir(twin) if not name.startswith("_")} - {"local"}
    assert public <= {name for name in dir(ours) if not name.startswith("_")}
    for name in public:
        if callable(getattr(twin, name)):
            assert inspect.signature(getattr(ours, name)).parameters.keys() == (
                inspect.signature(getattr(twin, name)).parameters.keys()
            )


def test_edits_are_local_and_not_awaited(workflow: AsyncMaWorkflow) -> None:
    one = workflow.add_task(double, {"x": 1})
    two = workflow.add_task(double, {"x": one.outputs["y"]})
    assert isinstance(two, AsyncMaTask)
    two.delete()
    half = workflow.add_task(task_name="half")
    half.save("def f(params): return {}")
    assert len(workflow.get_graph_info()["nodes"]) == 2


def test_a_workflow_that_was_not_fetched_is_told() -> None:
    stranger = AsyncMaWorkflow("workflow_stranger", URL)
    with pytest.raises(GraphError, match="get_workflow"):
        stranger.add_task(double, {"x": 1})
    with pytest.raises(GraphError, match="get_workflow"):
        AsyncMaTask("task_1", "workflow_stranger", URL).delete()


def test_every_request_tells_that_nobody_answers() -> None:
    async def ask() -> None:
        async with AsyncMaClient(URL) as client:
            for work in (
                client.create_workflow(), client.get_workflow("w"), client.list_workflows(), client.list_runs(),
                client.get_run("r"), client.cancel_run("r"), client.retry_run("r"), client.list_nodes(),
                client.get_info(),
            ):  # fmt: skip
                with pytest.raises(HeadUnavailableError):
                    await work
        with pytest.raises(ClosedError):
            await client.create_workflow()
        assert "closed" in repr(client)

    asyncio.run(ask())
