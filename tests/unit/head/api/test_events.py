"""Streams and pages over a log whose commits are large, empty of news, or far away."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiohttp import WSMsgType

from maze_head.api.encoder import EventEncoder
from maze_head.api.events import publication
from maze_head.api.frames import FRAME_BYTES
from maze_head.core.errors import Gone
from maze_head.core.events import DescribeRun
from maze_protocol.events import RunFinished, RunSubmitted, TaskStarted, TaskWarned
from support.api_double import RUN_ID, RUN_TEXT, WORKFLOW_ID, WORKFLOW_TEXT, Served, asynchronous, serving

PATH = f"/api/v1/runs/{RUN_TEXT}/events"
LARGE = "x" * (FRAME_BYTES // 3)


async def whole(head: Served) -> None:
    await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2))
    await head.hub.commit(*(TaskWarned(0, LARGE) for _ in range(7)))
    await head.hub.commit(RunFinished(2, 0, 0))


@asynchronous
async def test_a_large_commit_comes_in_frames_of_bounded_size() -> None:
    async with serving() as head:
        await whole(head)
        socket = await head.http.ws_connect(PATH, max_msg_size=0)
        frames = []
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            frames.append(message.data)
        assert socket.close_code == 1000
        assert max(map(len, frames)) < 2 * FRAME_BYTES
        events = [event for frame in frames for event in msgspec.json.decode(frame)]
        assert [event["seq"] for event in events] == list(range(1, 10))


@asynchronous
async def test_a_large_log_comes_in_pages_of_bounded_size() -> None:
    async with serving() as head:
        await whole(head)
        after, seen, sealed = 0, [], False
        while not sealed:
            async with head.http.get(f"{PATH}?after={after}&limit=3") as response:
                data = await response.read()
            page = msgspec.json.decode(data)
            assert len(data) < 2 * FRAME_BYTES
            assert 1 <= len(page["events"]) <= 3
            seen += [event["seq"] for event in page["events"]]
            after, sealed = page["last_seq"], page["sealed"]
        assert seen == list(range(1, 10))


@asynchronous
async def test_a_reader_ahead_of_the_log_waits_for_its_place() -> None:
    async with serving() as head:
        await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2))
        socket = await head.http.ws_connect(f"{PATH}?after=2")
        polling = asyncio.create_task(head.http.get(f"{PATH}?after=2&wait=30"))
        await head.hub.commit(TaskWarned(0, "second"))
        await head.hub.commit(TaskWarned(0, "third"))
        first = msgspec.json.decode((await socket.receive()).data)
        assert [(event["seq"], event["data"]["text"]) for event in first] == [(3, "third")]
        async with await polling as response:
            page = await response.json()
        assert ([event["seq"] for event in page["events"]], page["last_seq"]) == ([3], 3)
        await socket.close()


@asynchronous
async def test_a_long_poll_may_end_with_nothing() -> None:
    async with serving() as head:
        head.hub.patience = 0.0
        await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2))
        async with head.http.get(f"{PATH}?after=1&wait=30") as response:
            assert await response.json() == {"events": [], "last_seq": 1, "sealed": False}


@asynchronous
async def test_a_publication_is_what_a_websocket_gets_in_smaller_pieces() -> None:
    async with serving() as head:
        await whole(head)
        encoder = EventEncoder(head.hub)
        pieces = [piece for part in head.hub.segments for piece in await publication(encoder, RUN_ID, part, 1000)]
        assert len(pieces) == 9, "one event is never cut"
        socket = await head.http.ws_connect(f"{PATH}?format=msgpack", max_msg_size=0)
        frames = []
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            frames.append(message.data)
        assert flat(pieces) == flat(frames)
        assert await publication(encoder, bytes(16), head.hub.segments[0], 1000) == []


@pytest.mark.parametrize("path", [PATH, f"/get_workflow_res/{WORKFLOW_TEXT}/{RUN_TEXT}"])
@asynchronous
async def test_a_run_that_is_removed_under_its_readers_ends_their_streams(path: str) -> None:
    async with serving() as head:
        head.hub.patience = 0.01
        await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2), TaskStarted(0, 1, 1, "n", "ip", 0.0))
        async with head.http.ws_connect(path) as socket:
            assert (await socket.receive()).type is WSMsgType.TEXT
            head.driver.answers[DescribeRun] = Gone("run_removed", "it was removed")
            head.hub.segments.clear()
            head.hub.removed = True
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1011
        async with head.http.get(path, headers={"Accept": "application/json"}) as response:
            assert response.status == 410


def flat(arrays: list[bytes]) -> list[object]:
    return [event for array in arrays for event in msgspec.msgpack.decode(array)]
