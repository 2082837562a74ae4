"""The composition root, in this process: start, serve, recover, stop, and the exit codes of what went wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from maze._daemon.connection import read_connection
from maze._daemon.signals import Stop
from maze_head.app import Head, settings_of
from maze_head.config import HeadConfig
from maze_head.core.errors import Unavailable
from maze_head.core.events import (
    CountersAsked,
    CreateWorkflow,
    DescribeRun,
    EditWorkflow,
    ListWorkflows,
    SubmitRun,
    Ticked,
)
from maze_head.core.hacs import Hacs
from maze_head.errors import AlreadyRunning, JournalFailed, Misconfigured, PortBusy, StateDirUnusable
from maze_protocol.http import AddTask, CodeBody, EditRequest, RunRequest, TaskBody, WorkflowRequest
from support.tokens import shown


def config(state: Path, **given: Any) -> HeadConfig:
    ports: dict[str, Any] = {"port": 0, "node_port": 0, "blob_port": 0, "event_port": 0}
    return HeadConfig(**{"state_dir": state, "connection_file": state / "connection.json", **ports, **given})


def with_head(state: Path, check: Callable[[Head], Awaitable[None]], **given: Any) -> None:
    """Run a test against a head in this process."""

    async def run() -> None:
        async with Head(config(state, **given)) as head:
            await check(head)

    asyncio.run(run())


def test_nodes_are_given_up_a_little_before_the_promised_times(tmp_path: Path) -> None:
    settings = settings_of(config(tmp_path))
    assert (settings.heartbeat, settings.suspect_after, settings.lost_after) == (1.0, 2.5, 9.0)
    settings = settings_of(config(tmp_path, heartbeat=0.5, suspect_after=1.5, lost_after=3.0))
    assert (settings.heartbeat, settings.suspect_after, settings.lost_after) == (0.5, 1.25, 2.7)


def test_what_the_operator_says_reaches_the_core(tmp_path: Path) -> None:
    told = {"recovery_grace": 4.0, "max_pending_tasks": 7, "priority_step": 60.0, "reserve_after": 5.0}
    settings = settings_of(config(tmp_path, **told))
    assert {name: getattr(settings, name) for name in told} == told


def test_the_order_is_found_by_its_name_and_told(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        assert isinstance(head.core.state.discipline, Hacs)
        assert head.services.info().order == "hacs"

    with_head(tmp_path / "s", check, order="hacs")
    with pytest.raises(Misconfigured, match="lifo is none of"):
        settings_of(config(tmp_path, order="lifo"))


async def create(head: Head, number: int) -> None:
    await head.driver.ask(
        lambda ticket: CreateWorkflow(ticket, bytes([number]) * 16, WorkflowRequest(name=f"w{number}"))
    )


def test_it_answers_over_http_and_counts(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        async with aiohttp.ClientSession(head.info.url, headers=shown(head.info.to_dict())) as client:
            async with client.get("/api/v1/readyz") as response:
                assert response.status == 200
            async with client.get("/api/v1/metrics") as response:
                counters = (await response.json())["counters"]
        assert counters["driver_turns_total"] > 0
        assert counters["transport_links"] == counters["journal_failing"] == 0

    with_head(tmp_path / "s", check)


def test_facts_come_back_with_a_higher_epoch(tmp_path: Path) -> None:
    epochs = []

    async def write(head: Head) -> None:
        epochs.append(head.journal.epoch)
        await create(head, 1)

    async def read(head: Head) -> None:
        epochs.append(head.journal.epoch)
        listed = await head.driver.ask(ListWorkflows)
        assert [one.name for one in listed.workflows] == ["w1"]

    with_head(tmp_path / "s", write)
    with_head(tmp_path / "s", read)
    assert epochs[1] > epochs[0]


def test_the_address_is_published_and_withdrawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def check(head: Head) -> None:
        head.announce()
        assert read_connection(head.config.connection_file) == head.info

    with_head(tmp_path / "s", check)
    assert capsys.readouterr().out.startswith("MAZE-READY {")
    assert not (tmp_path / "s" / "connection.json").exists()


def test_a_start_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        with pytest.raises(AlreadyRunning):
            async with Head(config(tmp_path / "s")):
                pass
        with pytest.raises(PortBusy):
            async with Head(config(tmp_path / "t", port=head.endpoints.ports["url"])):
                pass

    with_head(tmp_path / "s", check)

    async def nothing(head: Head) -> None:
        pass

    with_head(tmp_path / "t", nothing)


def test_told_to_stop_it_ends_with_zero(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        stop = Stop()
        serving = asyncio.create_task(head.until(stop))
        await asyncio.sleep(0)
        stop.request("test")
        assert await serving == 0

    with_head(tmp_path / "s", check)


def test_a_bug_in_the_core_ends_with_seventy(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        def broken(*args: object) -> list[Any]:
            raise AssertionError("impossible")

        head.core.handle = broken  # type: ignore[method-assign]
        head.driver.feed(Ticked())
        assert await head.until(Stop()) == 70
        with pytest.raises(Unavailable):
            await head.driver.ask(CountersAsked)

    with_head(tmp_path / "s", check)


def test_a_dead_disk_ends_with_seventy_five_and_acknowledges_nothing(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        await create(head, 1)
        head.journal._writer._patience = 0.0
        head.journal._connection.execute("PRAGMA query_only=1")
        with pytest.raises(Unavailable):
            await create(head, 2)
        assert isinstance(head._failure.result(), JournalFailed)
        assert await head.until(Stop()) == 75

    with_head(tmp_path / "s", check)
    with sqlite3.connect(tmp_path / "s" / "journal.db") as connection:
        assert connection.execute("SELECT count(*) FROM cluster_event").fetchone() == (1,)
    connection.close()


def test_open_streams_are_closed_and_requests_finished_at_the_end(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        client = aiohttp.ClientSession(head.info.url, headers=shown(head.info.to_dict()))
        response = await client.get("/api/v1/livez")
        await response.read()
        await head._undo.aclose()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("/api/v1/livez")
        await client.close()

    with_head(tmp_path / "s", check)


def test_a_second_signal_does_not_wait_for_requests(tmp_path: Path) -> None:
    class Stuck:
        async def cleanup(self) -> None:
            await asyncio.Event().wait()

    async def check(head: Head) -> None:
        stop = Stop()
        stop.request("first")
        assert await head.until(stop) == 0
        stop.request("second")
        await head._finish_http(Stuck())  # type: ignore[arg-type]
        assert head.services.shutting_down.is_set()

    with_head(tmp_path / "s", check)


def test_an_address_that_others_reach_is_warned_of_at_every_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(head: Head) -> None:
        assert head.info.url.startswith("http://head.example:")

    for _ in range(2):
        caplog.clear()
        with_head(tmp_path / "s", check, host="0.0.0.0", insecure=True, advertise="head.example")
        assert "--insecure" in caplog.text


def test_a_connection_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        raise AssertionError("it did not start")

    (tmp_path / "file").touch()
    with pytest.raises(StateDirUnusable, match=r"connection file .*--connection-file"):
        with_head(tmp_path / "s", check, connection_file=tmp_path / "file" / "c.json")


def test_runs_and_graphs_come_back(tmp_path: Path) -> None:
    body = b"not a pickle"
    code = CodeBody(blake2b(body, digest_size=16).hexdigest(), "pickle", (3, 11), body)
    task = TaskBody("task_" + "1" * 32, "t", code=code.hash, outputs=["y"])

    async def write(head: Head) -> None:
        await create(head, 1)
        edit = EditRequest([AddTask(task)], [code])
        await head.driver.ask(lambda ticket: EditWorkflow(ticket, b"\x01" * 16, edit))
        request = RunRequest("workflow_" + "01" * 16)
        await head.driver.ask(lambda ticket: SubmitRun(ticket, b"r" * 16, request))

    async def read(head: Head) -> None:
        place = await head.hub.find(b"r" * 16)
        assert place is not None
        assert await head.hub.graph(place.workflow_id, place.version)
        (submitted, *_) = await head.hub.read(place.run_no, 0)
        assert submitted.first_seq == 1
        run = await head.driver.ask(lambda ticket: DescribeRun(ticket, b"r" * 16))
        assert (run.tasks, run.sealed) == (1, False)

    with_head(tmp_path / "s", write)
    with_head(tmp_path / "s", read)


def test_the_core_keeps_what_the_operator_said(tmp_path: Path) -> None:
    settings = settings_of(config(tmp_path, keep_runs=7, keep_days=1.5, keep_bytes=1000))
    assert (settings.keep_runs, settings.keep_days, settings.keep_bytes) == (7, 1.5, 1000)


def test_a_journal_beyond_its_size_loses_its_oldest_runs(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        told: list[int] = []
        head.driver.feed = lambda event: told.append(event.used)  # type: ignore[method-assign]
        head._measure()
        head.journal._writer.sweeping = True  # what was removed is still on the disk: the size says nothing yet
        head._measure()
        head.journal._writer.sweeping = False
        assert told == [head.journal.size]

    with_head(tmp_path / "s", check, keep_bytes=1)
