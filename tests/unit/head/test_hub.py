"""The hub: committed facts from memory, else from the journal, to any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from maze_head import hub as hub_module
from maze_head.core.effects import Append, DropRuns, SaveCode
from maze_head.facts import KeptLog, RunPlace
from maze_head.hub import RunHub
from maze_protocol.events import Segment
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, format_id
from maze_protocol.values import PICKLE, ObjectRef, OutputValue, Value
from support.head_shells import WORKFLOW, accept, batch_of, begin, finished, output, run_id, sealed, segment, submitted


class Disk:
    """A journal in dictionaries that counts its reads."""

    def __init__(self) -> None:
        self.logs: dict[int, list[Segment]] = {}
        self.rows: dict[tuple[int, int], tuple[OutputValue, ...]] = {}
        self.reads = 0

    def segments(self, run_no: int, after_seq: int, limit: int) -> list[Segment]:
        self.reads += 1
        log = self.logs.get(run_no, [])
        return [one for one in log if one.first_seq + len(one.events) > after_seq + 1][:limit]

    def accepted(self, run_no: int, task_no: int) -> tuple[OutputValue, ...] | None:
        self.reads += 1
        return self.rows.get((run_no, task_no))

    def code(self, hash_: bytes) -> bytes | None:
        self.reads += 1
        return b"kept" if hash_ == b"k" else None

    def graph(self, workflow_id: bytes, version: int) -> bytes | None:
        return b"graph" if (workflow_id, version) == (WORKFLOW, 1) else None

    def attempt_log(self, run_no: int, task_no: int, attempt: int) -> tuple[bytes, bytes, int, int] | None:
        return (b"out", b"err", 100, 3) if (run_no, task_no, attempt) == (1, 0, 1) else None


def scenario(check: Callable[[RunHub, Disk], Awaitable[None]]) -> Callable[[], None]:
    """Run a test against an empty hub."""

    def test() -> None:
        async def run() -> None:
            disk = Disk()
            hub = RunHub(disk)
            try:
                await check(hub, disk)
            finally:
                hub.close()

        asyncio.run(run())

    test.__name__ = check.__name__
    return test


@scenario
async def test_a_committed_run_is_found_and_read_from_memory(hub: RunHub, disk: Disk) -> None:
    assert await hub.find(run_id(1)) is None
    hub.commit(batch_of(begin(1)))
    hub.commit(batch_of(Append(1, 2, (finished(0), sealed()))))
    assert await hub.find(run_id(1)) == RunPlace(1, WORKFLOW, 1)
    first, second = segment(1, submitted(1)), segment(2, finished(0), sealed())
    assert await hub.read(1, 0) == [first, second]
    assert await hub.read(1, 1) == await hub.read(1, 2) == [second]
    assert await hub.read(1, 3) == []
    assert await hub.read(2, 0) == []
    assert (hub.last_seq(1), hub.last_seq(2), disk.reads) == (3, 0, 0)


@scenario
async def test_restored_runs_are_read_from_the_journal(hub: RunHub, disk: Disk) -> None:
    disk.logs[1] = [segment(1, submitted(1)), segment(2, finished(0))]
    for one in disk.logs[1]:
        hub.restore(1, one)
    assert await hub.read(1, 0) == disk.logs[1]
    assert disk.reads == 1
    hub.publish(1, segment(3, sealed()))
    assert await hub.read(1, 2) == [segment(3, sealed())]
    assert disk.reads == 1
    assert await hub.read(1, 1) == [segment(2, finished(0))]


@scenario
async def test_memory_is_bounded_over_all_runs_and_forgets_the_oldest(hub: RunHub, disk: Disk) -> None:
    many = hub_module.RING_EVENTS // 2
    for run_no in (1, 2, 3):
        disk.logs[run_no] = [segment(1, submitted(run_no), *(finished(task) for task in range(many - 1)))]
        hub.publish(run_no, disk.logs[run_no][0])
    assert hub.counters()["hub_ring_events"] <= hub_module.RING_EVENTS
    assert await hub.read(3, 0) == disk.logs[3]
    assert disk.reads == 0
    assert await hub.read(1, 0) == disk.logs[1]
    assert disk.reads == 1


@scenario
async def test_a_gap_in_a_run_is_a_bug(hub: RunHub, disk: Disk) -> None:
    hub.publish(1, segment(1, submitted(1)))
    with pytest.raises(AssertionError, match="segment 3 after 1"):
        hub.publish(1, segment(3, sealed()))
    with pytest.raises(AssertionError, match="run 2 begins with RunFinished"):
        hub.publish(2, segment(1, sealed()))


@scenario
async def test_waiting_ends_with_the_next_commit(hub: RunHub, disk: Disk) -> None:
    hub.publish(1, segment(1, submitted(1)))
    assert await hub.wait(1, 0, 60.0)
    waiting = [asyncio.create_task(hub.wait(1, 1, 60.0)) for _ in range(3)]
    await asyncio.sleep(0)
    hub.publish(1, segment(2, finished(0)))
    assert await asyncio.gather(*waiting) == [True] * 3


@scenario
async def test_waiting_ends_with_its_time(hub: RunHub, disk: Disk) -> None:
    hub.publish(1, segment(1, submitted(1)))
    assert not await hub.wait(1, 1, 0.001)
    assert not await hub.wait(1, 1, 0.0)
    assert not await hub.wait(9, 0, 60.0)
    assert not hub._tails[1].waiters


@scenario
async def test_a_reader_that_goes_away_leaves_nothing_behind(hub: RunHub, disk: Disk) -> None:
    hub.publish(1, segment(1, submitted(1)))
    waiting = asyncio.create_task(hub.wait(1, 1, 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert not hub._tails[1].waiters


@scenario
async def test_closing_lets_everybody_go(hub: RunHub, disk: Disk) -> None:
    hub.publish(1, segment(1, submitted(1)))
    waiting = asyncio.create_task(hub.wait(1, 1, 60.0))
    await asyncio.sleep(0)
    hub.close()
    assert not await waiting


@scenario
async def test_outputs_come_from_memory_or_disk_and_are_cached(hub: RunHub, disk: Disk) -> None:
    hub.commit(batch_of(begin(1), accept(1, 0, b"fresh")))
    assert await hub.outputs(1, 0) == hub.peek_outputs(1, 0) == (output(b"fresh"),)
    disk.rows[1, 1] = (output(b"old"),)
    assert hub.peek_outputs(1, 1) is None
    assert await hub.outputs(1, 1) == await hub.outputs(1, 1) == (output(b"old"),)
    assert disk.reads == 1
    with pytest.raises(LookupError):
        await hub.outputs(1, 2)


@scenario
async def test_an_object_costs_the_cache_no_more_than_what_is_said_of_it(hub: RunHub, disk: Disk) -> None:
    large = 2 * hub_module.CACHE_BYTES
    disk.rows[1, 0] = (OutputValue("y", Value(PICKLE, large, ref=ObjectRef(1, 0, large, 0))),)
    assert await hub.outputs(1, 0) == await hub.outputs(1, 0)
    assert disk.reads == 1


@scenario
async def test_functions_come_from_memory_or_disk_and_are_cached(hub: RunHub, disk: Disk) -> None:
    hub.commit(batch_of(SaveCode(b"h", b"fresh")))
    assert await hub.code(b"h") == hub.peek_code(b"h") == b"fresh"
    assert await hub.code(b"k") == await hub.code(b"k") == b"kept"
    assert disk.reads == 1
    with pytest.raises(LookupError):
        await hub.code(b"x")


@scenario
async def test_graphs_and_kept_logs_come_from_disk(hub: RunHub, disk: Disk) -> None:
    assert await hub.graph(WORKFLOW, 1) == b"graph"
    with pytest.raises(LookupError):
        await hub.graph(WORKFLOW, 2)
    assert await hub.kept_log(1, 0, 1, 1) == KeptLog(b"out", 100)
    assert await hub.kept_log(1, 0, 1, 2) == KeptLog(b"err", 3)
    assert await hub.kept_log(1, 0, 2, 1) is None


@scenario
async def test_the_publisher_hears_of_every_committed_segment_once(hub: RunHub, disk: Disk) -> None:
    heard: list[tuple[bytes, Segment]] = []
    hub.restore(1, segment(1, submitted(1)))
    hub.listener = lambda *publication: heard.append(publication)
    hub.commit(batch_of(Append(1, 2, (sealed(),))))
    assert heard == [(run_id(1), segment(2, sealed()))]


@scenario
async def test_a_tip_tells_where_the_committed_log_ends(hub: RunHub, disk: Disk) -> None:
    assert hub.tip(run_id(1)) is None
    hub.restore(1, segment(1, submitted(1)))
    assert hub.tip(run_id(1)) == (1, False)
    hub.commit(batch_of(Append(1, 2, (sealed(),))))
    assert hub.tip(run_id(1)) == (2, True)


@scenario
async def test_a_removed_run_is_forgotten_and_whoever_waits_for_it_is_let_go(hub: RunHub, disk: Disk) -> None:
    hub.commit(batch_of(begin(1), begin(2)))
    hub.commit(batch_of(Append(1, 2, (finished(0), sealed()))))
    waiting = asyncio.create_task(hub.wait(1, 3, 60.0))
    await asyncio.sleep(0)
    hub.commit(batch_of(DropRuns((1, 7))))
    assert not await waiting
    assert await hub.find(run_id(1)) is None
    assert (await hub.read(1, 0), hub.last_seq(1)) == ([], 0)
    assert hub.counters()["hub_runs"] == 1
    assert hub.counters()["hub_ring_events"] == 1
    hub.commit(batch_of(Append(2, 2, (sealed(),))))
    assert hub.last_seq(2) == 2


@scenario
async def test_a_run_restored_by_its_summary_is_found_and_read_from_the_disk(hub: RunHub, disk: Disk) -> None:
    body = RunBody(
        format_id(run_id(4), RUN),
        format_id(WORKFLOW, "workflow"),
        3,
        "finished",
        1,
        1,
        0,
        0,
        0,
        1.0,
        2.0,
        3,
        sealed=True,
    )
    hub.restore_sealed(4, body)
    disk.logs[4] = [segment(1, submitted(4), finished(0), sealed())]
    assert await hub.find(run_id(4)) == RunPlace(4, WORKFLOW, 3)
    assert hub.tip(run_id(4)) == (3, True)
    assert await hub.read(4, 1) == disk.logs[4]


@scenario
async def test_the_ring_survives_the_removal_of_a_run_in_it(hub: RunHub, disk: Disk) -> None:
    hub.commit(batch_of(begin(1), begin(2)))
    hub.commit(batch_of(DropRuns((1,))))
    for seq in range(2, hub_module.RING_EVENTS + 50):
        hub.commit(batch_of(Append(2, seq, (finished(0),))))
    assert hub.counters()["hub_ring_events"] <= hub_module.RING_EVENTS
