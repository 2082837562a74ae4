"""Segments are encoded once for all readers, and the cache is bounded."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from maze_head.api.encoder import Encoded, EventEncoder, OpenRun
from maze_head.api.render import JSON, PACKED
from maze_protocol.events import RunFinished, RunSubmitted, TaskFinished, TaskStarted
from maze_protocol.values import OutputValue, Value
from support.api_double import RUN_ID, WORKFLOW_ID, MemoryHub, asynchronous, graph_of


class SlowHub(MemoryHub):
    """Outputs come only once the gate opens."""

    def __init__(self) -> None:
        super().__init__(graph_of(["one", "two"]))
        self.gate = asyncio.Event()
        self.asked = 0

    def peek_outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...] | None:
        return super().peek_outputs(run_no, task_no) if self.gate.is_set() else None

    async def outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...]:
        self.asked += 1
        await self.gate.wait()
        return await super().outputs(run_no, task_no)


async def opened(encoder: EventEncoder) -> OpenRun:
    run = await encoder.open(RUN_ID)
    assert run is not None
    return run


async def filled() -> SlowHub:
    hub = SlowHub()
    hub.results[0] = (OutputValue("y", Value(0, 1, b"\x07")),)
    await hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 2), TaskStarted(0, 1, 5, "n", "ip", 1.0))
    await hub.commit(TaskFinished(0, 1, 5, (), 1.0))
    await hub.commit(RunFinished(2, 0, 0))
    return hub


def test_a_reader_begins_anywhere_in_a_segment() -> None:
    encoded = Encoded(range(4, 7), (b"4", b"5", b"6"), 6, sealed=False)
    assert [encoded.since(after) for after in (0, 3, 4, 6, 9)] == [
        (b"4", b"5", b"6"), (b"4", b"5", b"6"), (b"5", b"6"), (), (),
    ]  # fmt: skip


def test_a_part_of_the_log_is_sent_whole_to_who_has_half_of_it() -> None:
    encoded = Encoded((4, 6), (b"45", b"6"), 6, sealed=False)
    assert [encoded.since(after) for after in (0, 3, 4, 5, 6)] == [
        (b"45", b"6"), (b"45", b"6"), (b"45", b"6"), (b"6",), (),
    ]  # fmt: skip


@asynchronous
async def test_readers_that_come_together_share_one_encoding() -> None:
    hub = await filled()
    encoder = EventEncoder(hub)
    run = await opened(encoder)
    readers = [asyncio.create_task(encoder.encode(run, hub.segments[1], JSON)) for _ in range(10)]
    await asyncio.sleep(0)
    readers[0].cancel()  # the one that began it leaves
    hub.gate.set()
    told = await asyncio.gather(*readers[1:])
    assert (encoder.made, hub.asked) == (1, 1)
    assert all(each is told[0] for each in told)
    assert msgspec.json.decode(told[0].pieces[0])["data"]["result"] == {"y": 7}
    with pytest.raises(asyncio.CancelledError):
        await readers[0]


@asynchronous
async def test_formats_are_kept_apart_and_the_end_is_marked() -> None:
    hub = await filled()
    encoder = EventEncoder(hub)
    run = await opened(encoder)
    ends = [await encoder.encode(run, hub.segments[2], fmt) for fmt in (JSON, PACKED)]
    assert [end.sealed for end in ends] == [True, True]
    assert msgspec.json.decode(ends[0].pieces[0]) == msgspec.msgpack.decode(ends[1].pieces[0])
    assert not (await encoder.encode(run, hub.segments[0], JSON)).sealed


@asynchronous
async def test_a_small_cache_forgets_and_encodes_again() -> None:
    hub = await filled()
    encoder = EventEncoder(hub, cache_bytes=10)
    run = await opened(encoder)
    first, second = [await encoder.encode(run, hub.segments[0], JSON) for _ in range(2)]
    assert first == second
    assert encoder.made == 2


def test_an_encoding_takes_more_than_its_bytes() -> None:
    assert Encoded(range(1, 11), (b"x",) * 10, 10, sealed=False).size >= 10 * 50 + 500


@asynchronous
async def test_a_failure_reaches_every_reader_and_is_not_kept() -> None:
    hub = await filled()
    hub.gate.set()
    outputs = hub.results.pop(0)
    encoder = EventEncoder(hub)
    run = await opened(encoder)
    with pytest.raises(KeyError):
        await encoder.encode(run, hub.segments[1], JSON)
    hub.results[0] = outputs
    assert (await encoder.encode(run, hub.segments[1], JSON)).pieces


@asynchronous
async def test_an_unknown_run_is_none() -> None:
    assert await EventEncoder(await filled()).open(b"\xff" * 16) is None
