"""Captured output: pulled, kept, followed."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.api import logs as logs_module
from maze_head.core.effects import LogPlace
from maze_head.core.errors import NotFound
from maze_head.core.events import LocateLog
from maze_head.facts import KeptLog
from maze_protocol.events import RunSubmitted, TaskLeased
from maze_protocol.messages import LogChunk
from maze_protocol.resources import Claim
from support.api_double import RUN_ID, RUN_TEXT, WORKFLOW_ID, Served, asynchronous, serving

PATH = f"/api/v1/runs/{RUN_TEXT}/tasks/task_{'00' * 16}/logs"
RUNNING = LogPlace(1, 0, 2, 77, b"link", over=False)
ENDED = LogPlace(1, 0, 2, 0, None, over=True)


def chunk(offset: int, data: bytes, *, end: bool = False, known: bool = True) -> LogChunk:
    return LogChunk(1, 77, 1, offset, data, end, known)


async def get(head: Served, query: str = "") -> tuple[bytes, int, bool]:
    async with head.http.get(PATH + query) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/plain"
        headers = response.headers
        return await response.read(), int(headers["Maze-Log-Offset"]), headers["Maze-Log-End"] == "true"


def placed(head: Served, *places: Any) -> None:
    """Answer LocateLog with these, one after the other, the last one for ever."""
    left = list(places)
    head.driver.answers[LocateLog] = lambda command: left.pop(0) if len(left) > 1 else left[0]


@asynchronous
async def test_a_running_attempt_is_pulled_from_its_node() -> None:
    async with serving() as head:
        placed(head, RUNNING)
        head.nodes.chunks = [chunk(3, b"abc")]
        assert await get(head, "?offset=3&stream=stdout") == (b"abc", 3, False)
        asked = head.driver.asked[-1]
        assert isinstance(asked, LocateLog)
        assert (asked.run_id, asked.task_id, asked.attempt) == (RUN_ID, bytes(16), 0)


@pytest.mark.parametrize("answer", [None, chunk(0, b"", known=False)])
@asynchronous
async def test_what_the_node_no_longer_has_is_read_from_the_kept_tail(answer: LogChunk | None) -> None:
    async with serving() as head:
        placed(head, RUNNING)
        head.nodes.chunks = [answer]
        head.hub.kept[0, 2, 1] = KeptLog(b"tail", 4)
        assert await get(head) == (b"tail", 0, True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (b"0123456789", 90, True)),  # the first 90 bytes are gone
        ("?offset=95", (b"56789", 95, True)),
        ("?offset=92&limit=3", (b"234", 92, False)),
        ("?offset=100", (b"", 100, True)),
        ("?offset=5000", (b"", 100, True)),
        ("?stream=stderr", (b"", 0, True)),  # nothing was kept of it
    ],
)
@asynchronous
async def test_a_kept_tail_is_read_by_offset(query: str, expected: tuple[bytes, int, bool]) -> None:
    async with serving() as head:
        placed(head, ENDED)
        head.hub.kept[0, 2, 1] = KeptLog(b"0123456789", 100)
        assert await get(head, query) == expected


@asynchronous
async def test_following_goes_on_over_the_end_of_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "POLL", 0.0)
    async with serving() as head:
        waiting = LogPlace(1, 0, 0, 0, None, over=True)  # nobody has begun it: that is no end
        placed(head, waiting, waiting, RUNNING, RUNNING, RUNNING, ENDED)
        head.nodes.chunks = [chunk(0, b"one "), chunk(4, b""), chunk(4, b"two ")]
        head.hub.kept[0, 2, 1] = KeptLog(b"one two three", 13)
        assert (await get(head, "?follow=1"))[0] == b"one two three"
        attempts = [command.attempt for command in head.driver.asked if isinstance(command, LocateLog)]
        assert attempts == [0, 0, 0, 2, 2, 2]  # once it has begun, a retry does not change what is followed


@asynchronous
async def test_a_sealed_run_is_located_by_its_log() -> None:
    async with serving() as head:
        placed(head, NotFound("run_sealed", "the run is over"))
        await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2), TaskLeased(0, 1, 77, "n", Claim(1000, 0)))
        head.hub.kept[0, 1, 1] = KeptLog(b"done", 4)
        assert await get(head) == (b"done", 0, True)
        async with head.http.get(f"{PATH}?attempt=2") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (404, "unknown_attempt")


@pytest.mark.parametrize("query", ["stream=x", "offset=-1", "limit=0", "limit=1048577", "attempt=x", "follow=2"])
@asynchronous
async def test_bad_questions_are_400(query: str) -> None:
    async with serving() as head, head.http.get(f"{PATH}?{query}") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_query")
