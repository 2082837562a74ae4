"""Turns of the driver: one pass and one commit per turn, nothing seen before its commit, no life after a bug."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, get_args

import pytest

from maze_head.batch import Batch
from maze_head.core.effects import DropObjects, Effect, ReadGraph, Reply, Send
from maze_head.core.errors import NotFound, Unavailable
from maze_head.core.events import (
    Command,
    DescribeNodes,
    DiskTurned,
    EditWorkflow,
    Event,
    Instant,
    LinkLost,
    NodeSaid,
    Ticked,
)
from maze_head.dispatch import LinkEffect
from maze_head.driver import _DURABLE, _ON_LINKS, _ON_OBJECTS, MAX_TURN, Driver, ObjectEffect, Ports
from maze_protocol.http import DelTask, EditRequest
from maze_protocol.messages import Cancel, Heartbeat, Recall
from support.head_shells import ScriptedCore, begin, note

LINK = b"link"
GATED = Send(LINK, Cancel((1,)))
FREE = Send(LINK, Recall((1,)), free=True)


class World:
    """A driver whose journal commits when the test says so."""

    def __init__(self) -> None:
        self.core = ScriptedCore()
        self.trace: list[Any] = []
        self.in_flight: list[tuple[Batch, Callable[[BaseException | None], None]]] = []
        self.failures: list[BaseException] = []
        self.instant = Instant(10.0, 1000.0)
        self.read_only = False
        self.prompt = False
        self.driver = Driver(self.core, 5, self.failures.append, lambda: self.instant)
        self.ports = Ports(
            self._submit, self._commit, self._release, lambda: self.trace.append("tick"), self._commit_now,
            lambda: self.read_only, self._see_to,
        )  # fmt: skip

    def _commit_now(self, batch: Batch) -> bool:
        if self.prompt:
            self.trace.append("now")
        return self.prompt

    def _submit(self, batch: Batch, done: Callable[[BaseException | None], None]) -> None:
        self.trace.append("submit")
        self.in_flight.append((batch, done))

    def _commit(self, batch: Batch) -> None:
        self.trace.append("shown")

    def _release(self, effects: Iterable[LinkEffect]) -> None:
        self.trace.append(list(effects))

    def _see_to(self, effects: list[ObjectEffect]) -> None:
        self.trace.append(effects)

    async def written(self, error: BaseException | None = None) -> Batch:
        """Let the journal finish the batch in flight, from another thread."""
        batch, done = self.in_flight.pop(0)
        await asyncio.to_thread(done, error)
        await turn()
        return batch


async def turn() -> None:
    """Let the loop run what it was asked to run soon, and what that asks for."""
    for _ in range(4):
        await asyncio.sleep(0)


def ask(ticket: int) -> Command:
    return DescribeNodes(ticket)


def said(number: int) -> Event:
    return NodeSaid(b"%d" % number, Heartbeat(0.0))


def lost(number: int) -> Event:
    return LinkLost(b"%d" % number, "gone")


def scenario(check: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Run a test against a started world."""

    def test() -> None:
        async def run() -> None:
            world = World()
            world.driver.start(world.ports)
            await check(world)
            world.driver.fail(RuntimeError("the test is over"))

        asyncio.run(run())

    test.__name__ = check.__name__
    test.__doc__ = check.__doc__
    return test


def test_every_effect_is_carried_out_by_somebody() -> None:
    assert {*_DURABLE, *_ON_LINKS, *_ON_OBJECTS, Reply, ReadGraph} == set(get_args(Effect))


@scenario
async def test_one_turn_handles_everything_that_came_with_one_clock_reading_and_one_pass(world: World) -> None:
    for number in range(3):
        world.driver.feed(lost(number))
    await turn()
    assert world.core.handled == [lost(0), lost(1), lost(2)]
    assert world.core.instants == [world.instant] * 3
    assert world.core.passes == 1


@scenario
async def test_a_turn_that_is_due_is_made_in_the_call_that_fed_it_and_only_once(world: World) -> None:
    world.driver.feed(lost(0))
    world.driver.feed(lost(1))
    world.driver.turn_now()
    assert world.core.handled == [lost(0), lost(1)]
    world.driver.turn_now()
    await turn()
    assert world.core.passes == 1


@scenario
async def test_what_is_gathered_has_its_turn_when_its_share_is_over(world: World) -> None:
    world.driver.gather(said(1))
    world.driver.gather(said(2))
    await turn()
    assert world.core.handled == []
    world.driver.turn_now()
    assert world.core.handled == [said(1), said(2)]
    world.core.patient = lambda event: 0.01
    world.driver.gather(said(3))
    world.driver.turn_now()
    async with asyncio.timeout(30):
        while len(world.core.handled) < 3:
            await turn()


@scenario
async def test_a_command_has_its_turn_in_the_call_that_asks_if_the_last_one_was_a_while_ago(world: World) -> None:
    world.core.on = lambda event: [Reply(event.ticket, "done")] if isinstance(event, DescribeNodes) else []
    world.driver.feed(lost(0))
    asked = world.driver.ask(ask)
    with pytest.raises(StopIteration, match="done"):
        asked.send(None)
    assert world.core.handled == [lost(0), DescribeNodes(1)]
    assert world.core.passes == 1


@scenario
async def test_commands_that_come_fast_gather_for_a_turn(world: World) -> None:
    world.core.on = lambda event: [Reply(event.ticket, "done")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maze_head.driver.RARE", float("inf"))
        replies = await asyncio.gather(*(world.driver.ask(ask) for _ in range(3)))
    assert replies == ["done"] * 3
    assert world.core.passes == 1


@scenario
async def test_a_turn_that_waits_for_more_is_not_hurried(world: World) -> None:
    world.driver.feed(lost(0))
    await turn()
    world.core.patient = lambda event: 60.0
    world.driver.feed(said(1))
    world.driver.turn_now()
    assert world.core.handled == [lost(0)]


@scenario
async def test_no_turn_is_made_while_a_batch_is_being_committed(world: World) -> None:
    world.core.on = lambda event: [begin(1)]
    world.driver.feed(lost(0))
    world.driver.turn_now()
    world.driver.feed(lost(1))
    world.driver.turn_now()
    assert world.core.handled == [lost(0)]
    await world.written()
    assert world.core.handled == [lost(0), lost(1)]
    await world.written()


@scenario
async def test_a_turn_without_rows_releases_at_once(world: World) -> None:
    world.core.on = lambda event: [GATED]
    world.driver.feed(lost(1))
    await turn()
    assert world.trace == [[GATED]]


@scenario
async def test_effects_wait_for_their_commit_and_free_ones_do_not(world: World) -> None:
    world.core.on = lambda event: [begin(1), GATED, FREE, Reply(1, "done")]
    asked = asyncio.create_task(world.driver.ask(ask))
    await turn()
    assert world.trace == [[FREE], "submit"]
    assert not asked.done()
    batch = await world.written()
    assert world.trace == [[FREE], "submit", "shown", [GATED]]
    assert await asked == "done"
    assert (batch.epoch, batch.time, [row.run_no for row in batch.runs.values()]) == (5, 1000.0, [1])


@scenario
async def test_what_is_to_be_done_about_objects_waits_for_the_commit_too(world: World) -> None:
    stop = DropObjects((1,))
    world.core.on = lambda event: [begin(1), stop, GATED]
    world.driver.feed(lost(1))
    await turn()
    assert world.trace == ["submit"]
    await world.written()
    assert world.trace == ["submit", "shown", [GATED], [stop]]


@scenario
async def test_a_batch_that_is_committed_at_once_is_released_in_the_same_turn(world: World) -> None:
    world.core.on = lambda event: [begin(1), GATED]
    world.prompt = True
    world.driver.feed(lost(1))
    await turn()
    assert world.trace == ["now", "shown", [GATED]]


@scenario
async def test_what_nodes_say_waits_for_more_while_the_core_has_patience(world: World) -> None:
    world.driver.feed(said(1))
    await turn()
    world.core.patient = lambda event: 3600.0
    world.driver.feed(said(2))
    world.driver.feed(said(3))
    await turn()
    assert len(world.core.handled) == 1
    asked = asyncio.create_task(world.driver.ask(ask))
    await turn()
    assert len(world.core.handled) == 4, "a command waits for nothing, and takes along what waits"
    asked.cancel()


@scenario
async def test_the_least_patient_message_says_when(world: World) -> None:
    world.driver.feed(said(1))
    await turn()
    world.core.patient = lambda event: 3600.0 if event == said(2) else 0.0
    world.driver.feed(said(2))
    await turn()
    assert world.core.handled == [said(1)]
    world.driver.feed(said(3))
    world.driver.feed(said(2))
    await turn()
    assert world.core.handled == [said(1), said(2), said(3), said(2)]


@scenario
async def test_messages_of_the_time_of_a_commit_wait_as_long_as_they_may(world: World) -> None:
    world.core.patient = lambda event: 0.0 if event == said(3) else 3600.0
    for hurried in (False, True):
        world.core.on = lambda event: [note(1)]
        world.driver.feed(lost(1))
        await turn()
        world.core.on = lambda event: []
        world.driver.feed(said(2))
        if hurried:
            world.driver.feed(said(3))
        world.core.handled.clear()
        await world.written()
        assert world.core.handled == ([said(2), said(3)] if hurried else [])


@scenario
async def test_patience_ends_by_itself(world: World) -> None:
    world.driver.feed(said(1))
    await turn()
    world.core.patient = lambda event: 0.001
    world.driver.feed(said(2))
    async with asyncio.timeout(30):
        while len(world.core.handled) < 2:
            await turn()


@scenario
async def test_what_comes_during_a_commit_becomes_one_next_turn(world: World) -> None:
    world.core.on = lambda event: [note(1)]
    world.driver.feed(lost(1))
    await turn()
    for number in (2, 3, 4):
        world.driver.feed(lost(number))
        await turn()
    assert len(world.core.handled) == 1
    assert len(world.in_flight) == 1
    await world.written()
    assert len(world.core.handled) == 4
    assert len(world.in_flight) == 1
    assert len((await world.written()).facts) == 3


@scenario
async def test_placement_of_a_turn_is_committed_with_its_events(world: World) -> None:
    world.core.on = lambda event: [note(1)]
    world.core.placed = [note(2), GATED]
    world.driver.feed(lost(1))
    await turn()
    assert len(world.in_flight) == 1
    assert [row.body["number"] for row in (await world.written()).facts] == [1, 2]
    assert world.trace[-1] == [GATED]


@scenario
async def test_a_turn_is_bounded(world: World) -> None:
    for number in range(MAX_TURN + 1):
        world.driver.feed(lost(number))
    world.core.on = lambda event: [note(1)]
    await turn()
    assert len(world.core.handled) == MAX_TURN
    await world.written()
    assert len(world.core.handled) == MAX_TURN + 1


@scenario
async def test_edits_of_several_clients_fill_a_turn_by_their_operations(world: World) -> None:
    edit = EditWorkflow(1, b"w" * 16, EditRequest([DelTask("task")] * (MAX_TURN // 2 + 1)))
    fed = [edit, lost(0), edit, edit, lost(1)]
    for event in fed:
        world.driver.feed(event)
    world.driver.turn_now()
    assert world.core.handled == fed[:3]
    world.driver.turn_now()
    assert world.core.handled == fed
    assert world.core.passes == 2


@scenario
async def test_a_refusal_reaches_who_asked(world: World) -> None:
    world.core.on = lambda event: [Reply(event.ticket, NotFound("run_not_found", "no such run"))]
    with pytest.raises(NotFound, match="no such run"):
        await world.driver.ask(ask)


@scenario
async def test_every_question_has_its_own_ticket_and_answer(world: World) -> None:
    world.core.on = lambda event: [Reply(event.ticket, event.ticket * 10)]
    assert await asyncio.gather(*(world.driver.ask(ask) for _ in range(3))) == [10, 20, 30]
    assert world.driver.counters()["driver_asked"] == 0


@scenario
async def test_an_answer_to_somebody_who_went_away_is_dropped(world: World) -> None:
    world.core.on = lambda event: [note(1), Reply(1, "late")]
    asked = asyncio.create_task(world.driver.ask(ask))
    await turn()
    asked.cancel()
    await turn()
    await world.written()
    assert world.failures == []


@scenario
async def test_a_bug_in_the_core_ends_everything_once(world: World) -> None:
    bug = AssertionError("impossible")

    def fail(event: Event) -> list[Effect]:
        raise bug

    world.core.on = fail
    with pytest.raises(Unavailable):
        await world.driver.ask(ask)
    assert world.failures == [bug]
    assert not world.driver.running
    world.driver.feed(lost(1))
    await turn()
    assert world.driver.counters()["driver_inputs"] == 0
    with pytest.raises(Unavailable):
        await world.driver.ask(ask)


@scenario
async def test_a_failed_commit_answers_nobody_and_ends_everything(world: World) -> None:
    world.core.on = lambda event: [begin(1), GATED, Reply(1, "done")]
    asked = asyncio.create_task(world.driver.ask(ask))
    await turn()
    error = OSError("disk")
    await world.written(error)
    with pytest.raises(Unavailable):
        await asked
    assert world.trace == ["submit"]
    assert world.failures == [error]


@scenario
async def test_a_bug_while_releasing_ends_everything(world: World) -> None:
    world.core.on = lambda event: [note(1), GATED]
    object.__setattr__(world.ports, "release", _broken)
    world.driver.feed(lost(1))
    await turn()
    await world.written()
    assert [str(error) for error in world.failures] == ["broken"]


def _broken(effects: Iterable[LinkEffect]) -> None:
    raise RuntimeError("broken")


@scenario
async def test_stopping_waits_for_the_commit_and_for_what_came_before_it(world: World) -> None:
    world.core.on = lambda event: [note(1)]
    world.driver.feed(lost(1))
    await turn()
    world.driver.feed(lost(2))
    stopping = asyncio.create_task(world.driver.stop())
    await turn()
    assert not stopping.done()
    await world.written()
    await world.written()
    await stopping
    assert len(world.core.handled) == 2
    assert not world.driver.running
    assert world.failures == []


@scenario
async def test_a_turn_learns_of_the_disk_before_its_inputs(world: World) -> None:
    world.read_only = True
    world.driver.feed(lost(1))
    await turn()
    assert world.core.handled == [DiskTurned(full=True), lost(1)]
    world.driver.feed(lost(2))
    await turn()
    world.read_only = False
    world.driver.feed(lost(3))
    await turn()
    assert world.core.handled[2:] == [lost(2), DiskTurned(full=False), lost(3)]


@scenario
async def test_a_commit_that_filled_the_disk_is_the_last_one_before_the_core_knows(world: World) -> None:
    world.core.on = lambda event: [note(1)]
    world.driver.feed(lost(1))
    await turn()
    world.driver.feed(lost(2))
    world.read_only = True  # as the journal's thread does before it tries again
    await world.written()
    assert world.core.handled == [lost(1), DiskTurned(full=True), lost(2)]


@scenario
async def test_what_is_asked_during_a_commit_is_answered_after_it(world: World) -> None:
    """No dirty reads: an answer never tells of what may still be lost."""
    world.core.on = lambda event: [note(1)] if isinstance(event, LinkLost) else [Reply(event.ticket, "state")]
    world.driver.feed(lost(1))
    await turn()
    asked = asyncio.create_task(world.driver.ask(ask))
    await turn()
    assert not asked.done()
    await world.written()
    assert await asked == "state"


@scenario
async def test_a_late_tick_tells_how_long_the_head_stood_still(world: World) -> None:
    told: list[Event] = []
    world.core.handle = lambda event, now: told.append(event) or []  # type: ignore[method-assign, func-returns-value]
    world.driver._tick_due -= 2.0
    world.driver._tick()
    await turn()
    (tick,) = told
    assert isinstance(tick, Ticked)
    assert 1.5 < tick.stall < 3.0
    assert world.trace == ["tick"]
    assert world.driver._ticker is not None


@scenario
async def test_a_tick_that_waited_for_a_turn_while_the_head_stood_still_is_told_after_that(world: World) -> None:
    told: list[Event] = []
    world.core.handle = lambda event, now: told.append(event) or []  # type: ignore[method-assign, func-returns-value]
    world.driver.feed(Ticked(0.0))
    world.driver._tick_due -= 2.0
    await turn()
    pause, tick = told
    assert isinstance(pause, Ticked)
    assert 1.5 < pause.stall < 3.0
    assert tick == Ticked(0.0)
    world.driver._tick()
    await turn()
    assert told[2:] == [Ticked(0.0)], "it is told once"


@scenario
async def test_a_late_tick_goes_before_one_that_waits_for_a_commit(world: World) -> None:
    told: list[Event] = []
    world.core.handle = lambda event, now: told.append(event) or []  # type: ignore[method-assign, func-returns-value]
    world.driver.feed(Ticked(0.0))
    world.driver._tick_due -= 2.0
    world.driver._tick()
    await turn()
    assert [event.stall > 1.5 for event in told if isinstance(event, Ticked)] == [True, False]


@scenario
async def test_a_tick_in_time_is_no_stall(world: World) -> None:
    told: list[Event] = []
    world.core.handle = lambda event, now: told.append(event) or []  # type: ignore[method-assign, func-returns-value]
    world.driver._tick()
    await turn()
    assert told == [Ticked(0.0)]


def test_effects_of_recovery_are_the_first_turn_and_inputs_wait_for_the_start() -> None:
    async def check() -> None:
        world = World()
        world.driver.feed(lost(1))
        assert not world.driver.running
        with pytest.raises(Unavailable):
            await world.driver.ask(ask)
        world.driver.start(world.ports, [note(1), GATED])
        assert world.trace == ["submit"]
        await world.written()
        assert world.trace[:3] == ["submit", "shown", [GATED]]
        assert world.core.handled == [lost(1)]
        world.driver.fail(RuntimeError("the test is over"))

    asyncio.run(check())
