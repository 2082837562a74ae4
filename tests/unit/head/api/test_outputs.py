"""Outputs over HTTP: their bytes, and the reasons why there are none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from maze_head.blobfile import BlobError, BlobMissing, BlobUnwritable, NoRoomForBlob
from maze_head.core.effects import ObjectPlace
from maze_head.core.events import LocateObject
from maze_protocol.events import RunEvent, RunFinished, RunSubmitted, TaskFailed, TaskFinished, TaskLeased, TaskStarted
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim
from maze_protocol.values import MSGPACK, PICKLE, ObjectRef, OutputValue, Value
from support.api_double import RUN_ID, RUN_TEXT, WORKFLOW_ID, Served, asynchronous, serving

TASKS = ["task_" + f"{number:02x}" * 16 for number in range(3)]
SUBMITTED = RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2)
LEASED = (TaskLeased(1, 1, 2, "n1", Claim(1000, 0)), TaskStarted(1, 1, 2, "n1", "10.0.0.1", 1.0))
FAILED = TaskFailed(1, 1, 2, ErrorInfo("user", "ValueError", "bad"))
DONE = (
    TaskLeased(0, 1, 1, "n1", Claim(1000, 0)),
    TaskStarted(0, 1, 1, "n1", "10.0.0.1", 1.0),
    TaskFinished(0, 1, 1, (), 1.0),
)
BODY = msgspec.msgpack.encode(list(range(1000)))
OUTPUTS = (
    OutputValue("y", Value(MSGPACK, len(BODY), BODY)),
    OutputValue("a/b ü", Value(PICKLE, 3, b"abc")),
    OutputValue("big", Value(PICKLE, 1 << 20, ref=ObjectRef(1, 2, 1 << 20, 0)), "numpy.ndarray"),
)


async def ask(path: str, events: Iterable[Any] = (*DONE, *LEASED), **headers: str) -> tuple[int, Any, Any]:
    async with serving() as head:
        await head.hub.commit(SUBMITTED, *events)
        head.hub.results[0] = OUTPUTS
        head.driver.answers[LocateObject] = ObjectPlace(1, 0, 2, None, kept=False)
        url = f"/api/v1/runs/{RUN_TEXT}/tasks/{path}"
        async with head.http.get(url, headers=headers) as response:
            is_json = response.content_type == "application/json"
            body = (await response.json())["error"] if is_json else await response.read()
            async with head.http.head(url, headers=headers) as alone:
                assert (alone.status, await alone.read()) == (response.status, b"")
                assert alone.headers.get("ETag") == response.headers.get("ETag")
            return response.status, body, response.headers


@asynchronous
async def test_the_bytes_of_an_output_and_what_they_are() -> None:
    status, body, headers = await ask(f"{TASKS[0]}/outputs/y")
    assert (status, body) == (200, BODY)
    assert (headers["Maze-Codec"], headers["Content-Type"]) == ("0", "application/octet-stream")
    assert (await ask(f"{TASKS[0]}/outputs/y", Range="bytes=-7"))[:2] == (206, BODY[-7:])
    assert (await ask(f"{TASKS[0]}/outputs/a%2Fb%20%C3%BC"))[:2] == (200, b"abc")


BIG = f"/api/v1/runs/{RUN_TEXT}/tasks/{TASKS[0]}/outputs/big"


@asynccontextmanager
async def with_object(*more: RunEvent) -> AsyncIterator[Served]:
    """Serve a run with an object that the core knows, and nobody has yet."""
    async with serving() as head:
        await head.hub.commit(SUBMITTED, *DONE, *more)
        head.hub.results[0] = OUTPUTS
        head.driver.answers[LocateObject] = ObjectPlace(1, 0, 2, ObjectRef(1, 2, 1 << 20, 0), kept=False)
        yield head


@asynchronous
async def test_an_object_is_brought_here_once_and_then_read_from_the_disk() -> None:
    async with with_object() as head:
        data = bytes(range(256)) * 4096
        head.bringing.there[1, 0, 2] = data
        async with head.http.get(BIG) as response:
            assert (response.status, await response.read()) == (200, data)
            assert response.headers["Maze-Type"] == "numpy.ndarray"
        (asked,) = [command for command in head.driver.asked if isinstance(command, LocateObject)]
        assert (asked.run_id, asked.task_no, asked.output) == (RUN_ID, 0, 2)
        head.bringing.there.clear()
        async with head.http.get(BIG, headers={"Range": "bytes=1000000-"}) as response:
            assert (response.status, await response.read()) == (206, data[1_000_000:])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BlobMissing("lost"), (503, "value_away")),
        (NoRoomForBlob("full"), (507, "disk_full")),
        (BlobUnwritable("broken"), (503, "disk_refuses")),
    ],
)
def test_an_object_that_cannot_be_brought_here(error: BlobError, expected: tuple[int, str]) -> None:
    @asynchronous
    async def check() -> None:
        async with with_object() as head:
            head.bringing.there[1, 0, 2] = error
            async with head.http.get(BIG) as response:
                assert (response.status, (await response.json())["error"]["code"]) == expected

    check()


@asynchronous
async def test_an_object_that_nobody_holds_says_how_to_keep_the_next_one() -> None:
    status, error, _ = await ask(f"{TASKS[0]}/outputs/big", (*DONE, *LEASED, FAILED, RunFinished(1, 1, 0)))
    assert (status, error["code"]) == (410, "value_expired")
    assert "keep=True" in error["hint"]
    assert "maze retry --from-failed" in error["hint"]


@pytest.mark.parametrize(
    ("path", "events", "expected"),
    [
        (f"{TASKS[0]}/outputs/z", DONE, (404, "no_such_output")),
        (f"{TASKS[1]}/outputs/y", (), (409, "task_not_over")),
        (f"{TASKS[1]}/outputs/y", LEASED, (409, "task_not_over")),
        (f"{TASKS[1]}/outputs/y", (*LEASED, FAILED), (404, "no_outputs")),
        (f"{TASKS[2]}/outputs/y", (), (404, "unknown_task")),
        ("task_x/outputs/y", (), (400, "bad_id")),
        (f"{TASKS[0]}/outputs/", DONE, (404, "unknown_path")),
    ],
)
def test_there_is_no_output(path: str, events: Any, expected: tuple[int, str]) -> None:
    @asynchronous
    async def check() -> None:
        status, error, _ = await ask(path, events)
        assert (status, error["code"]) == expected

    check()


@asynchronous
async def test_runs_that_are_unknown() -> None:
    async with serving() as head, head.http.get(f"/api/v1/runs/run_{'ff' * 16}/tasks/{TASKS[0]}/outputs/y") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "unknown_run")
