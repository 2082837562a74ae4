"""Views of runs continue where they stopped and are shared."""

from __future__ import annotations

import asyncio

import pytest

from maze_head.api import views as views_module
from maze_head.api.encoder import EventEncoder, OpenRun
from maze_head.api.views import RunViews
from maze_head.facts import RunPlace
from maze_protocol.events import RunSubmitted, TaskLeased, TaskStarted
from maze_protocol.resources import Claim
from support.api_double import RUN_ID, WORKFLOW_ID, MemoryHub, asynchronous, graph_of


async def begun() -> tuple[MemoryHub, OpenRun]:
    hub = MemoryHub(graph_of(["one", "two"]))
    await hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2))
    run = await EventEncoder(hub).open(RUN_ID)
    assert run is not None
    return hub, run


@asynchronous
async def test_a_view_is_brought_up_to_date_by_what_is_new() -> None:
    hub, run = await begun()
    views = RunViews(hub)
    first = await views.current(run)
    assert [task.status for task in first.tasks()] == ["ready", "ready"]
    await hub.commit(TaskLeased(1, 1, 9, "n", Claim(1000, 0)), TaskStarted(1, 1, 9, "n", "ip", 4.0))
    both = await asyncio.gather(views.current(run), views.current(run))
    assert both[0] is both[1] is first
    assert [task.status for task in first.tasks()] == ["ready", "running"]


@asynchronous
async def test_a_long_log_is_folded_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_module, "THREAD_FROM", 1)
    hub, run = await begun()
    assert len((await RunViews(hub).current(run)).tasks()) == 2


@asynchronous
async def test_old_views_are_dropped() -> None:
    hub, run = await begun()
    views = RunViews(hub, cache_tasks=3)
    for number in range(1, 4):
        await views.current(OpenRun(RUN_ID, RunPlace(number, WORKFLOW_ID, 1), run.names))
    assert len(views) == 1


@asynchronous
async def test_many_small_runs_are_not_kept_as_if_they_took_nothing() -> None:
    hub, run = await begun()
    views = RunViews(hub, cache_tasks=2_600)
    for number in range(1, 100):
        await views.current(OpenRun(RUN_ID, RunPlace(number, WORKFLOW_ID, 1), run.names))
    assert len(views) == 10
